"""Outlines of white blood cell nuclei, as unions of discs.

Every arrangement draws points (k, 2), radii (k,) and the width over which discs melt into each
other, within about the unit circle.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_Discs = tuple[NDArray[np.float64], NDArray[np.float64], float]

_MELT = 0.08


def _arc(turn: NDArray[np.floating], radius: float) -> NDArray[np.float64]:
    """Points of a circular arc around the origin, (k, 2)."""
    return radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1)


def _lump(rng: np.random.Generator, uneven: float) -> _Discs:
    radii = rng.uniform(0.92 - 1.6 * uneven, 0.92 - 0.6 * uneven, 4)
    return rng.normal(0, uneven, (4, 2)), radii, _MELT


def _kidney(rng: np.random.Generator) -> _Discs:
    span = rng.uniform(0.7, 1.9)
    points = _arc(np.linspace(-span, span, 7), 0.5) * (1, rng.uniform(0.9, 1.25))
    return points, rng.uniform(0.36, 0.5) * rng.uniform(0.9, 1.1, 7), _MELT


def _band(rng: np.random.Generator) -> _Discs:
    span, bow = rng.uniform(1.35, 2.3), 0.64
    turn = np.linspace(-span, span, 15)
    points = _arc(turn, bow)
    if rng.random() < 0.3:  # an S: the second half bends the other way
        mirrored = (2 * bow, 0.0) - points * (1, -1)
        points = 0.72 * np.where(turn[:, None] > 0, mirrored, points)
    uneven = 1 + 0.1 * np.abs(turn) / span + rng.normal(0, 0.03, 15)
    return points, rng.uniform(0.25, 0.33) * uneven, _MELT


def _lobed(rng: np.random.Generator, lobes: int) -> _Discs:
    size = {2: 0.47, 3: 0.39, 4: 0.34, 5: 0.30}[lobes] * rng.uniform(0.9, 1.08)
    span = {2: 1.25, 3: 1.75, 4: 2.1, 5: 2.4}[lobes] * rng.uniform(0.85, 1.1)
    middles = _arc(np.linspace(-span, span, lobes), 0.6) + rng.normal(0, 0.07, (lobes, 2))
    # Each lobe is two discs, so that lobes are not all round.
    stretch = rng.normal(0, 0.11, (lobes, 2))
    share = np.linspace(0, 1, 8)[:, None]
    threads = [a + share * (b - a) for a, b in pairwise(middles)]
    points = np.concatenate([middles + stretch, middles - stretch, *threads])
    radii = np.full(len(points), rng.uniform(0.04, 0.13))
    radii[: 2 * lobes] = np.tile(size * rng.uniform(0.85, 1.1, lobes), 2)
    return points, radii, 0.035


def _segmented(rng: np.random.Generator) -> _Discs:
    return _lobed(rng, int(rng.choice([2, 3, 4, 5], p=[0.1, 0.4, 0.35, 0.15])))


def _clump(rng: np.random.Generator) -> _Discs:
    count = int(rng.integers(2, 5))
    turn = rng.uniform(0, 2 * np.pi) + np.arange(count) * (2 * np.pi / count)
    points = _arc(turn, rng.uniform(0.35, 0.5)) + rng.normal(0, 0.08, (count, 2))
    return points, rng.uniform(0.4, 0.55, count), _MELT


def _smear(rng: np.random.Generator) -> _Discs:
    count = int(rng.integers(1, 4))
    return rng.normal(0, 0.32, (count, 2)) * (1, 1.5), rng.uniform(0.5, 0.78, count), _MELT


_ARRANGEMENTS: dict[str, Callable[[np.random.Generator], _Discs]] = {
    "round": lambda rng: _lump(rng, 0.10),
    "irregular": lambda rng: _lump(rng, 0.26),
    "kidney": _kidney,
    "band": _band,
    "segmented": _segmented,
    "bilobed": lambda rng: _lobed(rng, 2),
    "clump": _clump,
    "smear": _smear,
}


def nucleus_discs(kind: str, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """Draw a nucleus of one kind, centred and turned at random.

    Args:
        kind: One of round, irregular, kidney, band, segmented, bilobed, clump and smear.
        rng: Source of all randomness.

    Returns:
        (k, 3) rows of x, y and radius, and the width over which the discs melt together, both
        relative to the extent of the nucleus.
    """
    points, radii, melt = _ARRANGEMENTS[kind](rng)
    points = points - 0.5 * (points.min(0) + points.max(0))
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    discs = np.concatenate([points @ rotation, radii[:, None]], axis=1)
    return discs.astype(np.float32), melt
