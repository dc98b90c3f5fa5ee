"""Post-hoc corruptions of views, at published severities or matched to a distance."""

from raw2logit.drift.corruptions.apply import CORRUPTIONS, PUBLISHED, corrupt, corrupt_at
from raw2logit.drift.corruptions.constants import (
    CONSTANT_SETS,
    PUBLISHED_CONSTANTS,
    SEVERITIES,
    ConstantSet,
)
from raw2logit.drift.corruptions.matched import (
    MEASURES,
    Matched,
    Measure,
    UnreachedWarning,
    image_distance,
    match_strength,
)

__all__ = [
    "CONSTANT_SETS",
    "CORRUPTIONS",
    "MEASURES",
    "PUBLISHED",
    "PUBLISHED_CONSTANTS",
    "SEVERITIES",
    "ConstantSet",
    "Matched",
    "Measure",
    "UnreachedWarning",
    "corrupt",
    "corrupt_at",
    "image_distance",
    "match_strength",
]
