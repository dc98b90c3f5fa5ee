"""The image signal processor: functions, steps, the pipeline, and the ready views."""

from raw2logit.isp.pipeline import Pipeline
from raw2logit.isp.presets import VIEWS, parametrized_pipeline, parse_views, static_pipeline
from raw2logit.isp.steps import FAMILIES, Step

__all__ = [
    "FAMILIES",
    "VIEWS",
    "Pipeline",
    "Step",
    "parametrized_pipeline",
    "parse_views",
    "static_pipeline",
]
