"""Corruptions as strong as something else: the strength at a given distance from the clean view."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from raw2logit.drift.corruptions.apply import check_choice, corrupt_with_seeds, seeds_for
from raw2logit.drift.corruptions.constants import SEVERITIES, ConstantSet
from raw2logit.errors import InputError
from raw2logit.similarity import ssim

Measure = Literal["rmse", "ssim"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

TOLERANCE = 0.01
"""Share of a distance by which a match may miss it."""

_AIM = 0.001  # at which the search ends, well within the tolerance
_SCAN_STEPS_PER_SEVERITY = 2
_MOST_HALVINGS = 40


@dataclass(frozen=True)
class Matched:
    """The outcome of a match.

    Attributes:
        strength: On the scale of severities, 0 to 5; for `corrupt_at`.
        reached: Mean distance at that strength.
        wanted: Mean distance that was asked for.
    """

    strength: float
    reached: float
    wanted: float

    @property
    def met(self) -> bool:
        """Whether the distance was reached within 1 %."""
        return abs(self.reached - self.wanted) <= TOLERANCE * self.wanted


class UnreachedWarning(UserWarning):
    """No strength up to severity 5 leads as far as was asked."""


def image_distance(view: Tensor, clean: Tensor, measure: Measure = "rmse") -> Tensor:
    """Return the distance of each pair of images.

    Args:
        view: ``(B, 3, H, W)`` in [0, 1].
        clean: The same shape.
        measure: ``rmse``, the root of the mean square over pixels and channels, or ``ssim``, 1
            less the structural similarity of `raw2logit.similarity`.

    Returns:
        ``(B,)``, at least 0.

    Raises:
        InputError: The measure is unknown, or the images are too small for it.
    """
    if measure not in MEASURES:
        raise InputError(f"unknown measure {measure!r}: choose {' or '.join(MEASURES)}")
    if measure == "ssim":
        return 1 - ssim(view, clean)
    return (view - clean).square().flatten(1).mean(dim=1).sqrt()


def match_strength(
    clean: Tensor,
    name: str,
    distance: float,
    *,
    measure: Measure = "rmse",
    constants: ConstantSet = "cifar10-c",
    generator: torch.Generator | None = None,
) -> Matched:
    """Find the strength at which corrupted views are as far from the clean ones as is asked.

    Mean distance over the views, all strengths with the same random numbers: `corrupt_at` with a
    generator in the state that this one had makes exactly the views that were measured. Goes up
    from 0 in half severities until the distance is passed, then halves that interval: where the
    published constants do not rise throughout, the smallest strength is found. Shot noise is drawn
    anew at each strength, so give it enough pixels: at n values
    its distance wavers by 0.7 / sqrt(n) or so.

    Args:
        clean: ``(B, 3, H, W)`` in [0, 1], at least one.
        name: One of `CORRUPTIONS`.
        distance: At least 0.
        measure: ``rmse`` or ``ssim`` (1 - SSIM), see `image_distance`.
        constants: Whose severities the strength is between.
        generator: On the CPU; None: PyTorch's global one.

    Returns:
        The strength and what it reached. If no strength up to 5 reaches the distance within 1 %,
        `met` is false, and strength and `reached` are the furthest that was found.

    Warns:
        UnreachedWarning: The distance was not reached; says how far it came.

    Raises:
        InputError: An argument has the wrong shape or range, or is no known name.
    """
    check_choice(clean, name, constants)
    if not len(clean):
        raise InputError("clean holds no views: give at least one")
    if measure not in MEASURES:
        raise InputError(f"unknown measure {measure!r}: choose {' or '.join(MEASURES)}")
    if not 0 <= distance < float("inf"):
        raise InputError(f"distance must be finite and at least 0, got {distance}")
    seeds = seeds_for(clean, name, generator)

    def reach(strength: float) -> float:
        corrupted = corrupt_with_seeds(clean, name, strength, constants, seeds)
        return float(image_distance(corrupted, clean, measure).double().mean())

    with torch.no_grad():
        strength, reached = _search(reach, distance)
    matched = Matched(strength, reached, distance)
    if not matched.met:
        warnings.warn(
            f"{name}: no strength reaches a distance ({measure}) of {distance:.4g}; "
            f"nearest is {reached:.4g} at strength {strength:.3g} of {constants}",
            UnreachedWarning,
            stacklevel=2,
        )
    return matched


def _search(reach: Callable[[float], float], distance: float) -> tuple[float, float]:
    """Return the strength that comes nearest, and what it reaches."""
    below, above = 0.0, None
    found = [(0.0, 0.0)]
    for step in range(1, SEVERITIES[-1] * _SCAN_STEPS_PER_SEVERITY + 1):
        if distance == 0:
            break
        strength = step / _SCAN_STEPS_PER_SEVERITY
        found.append((strength, reach(strength)))
        if found[-1][1] >= distance:
            above = strength
            break
        below = strength
    for _ in range(_MOST_HALVINGS if above is not None else 0):
        if abs(found[-1][1] - distance) <= _AIM * distance:
            break
        strength = (below + above) / 2 if above is not None else below
        found.append((strength, reach(strength)))
        if found[-1][1] >= distance:
            above = strength
        else:
            below = strength
    return min(found, key=lambda pair: abs(pair[1] - distance))
