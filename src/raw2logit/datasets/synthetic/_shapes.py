"""Soft shapes and smooth noise on a fixed field, whatever the pixel count.

Every length is in *field units*: the field of view is `FIELD` units wide, so one unit is one pixel
at 256 pixels. A *depth* is the signed distance to an outline, positive inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FIELD = 256.0

Plane = NDArray[np.float32]

# Standard deviation, over the plane, of white lattice noise smoothed by the cubic B-spline.
_SPLINE_STD = 151 / 315


@dataclass(frozen=True)
class Patch:
    """A rectangular part of the pixel grid around one object.

    Attributes:
        rows: Rows of the full plane.
        cols: Columns of the full plane.
        y: Row positions relative to the object's centre, (h, 1), field units.
        x: Column positions relative to the object's centre, (1, w), field units.
        reach: Half the width of the uncropped patch, field units.
    """

    rows: slice
    cols: slice
    y: Plane
    x: Plane
    reach: float

    @classmethod
    def around(cls, count: int, centre: tuple[float, float], reach: float) -> Patch:
        """Cut the patch of `count` x `count` pixels that holds everything within `reach`.

        Args:
            count: Pixels along one side of the full plane.
            centre: (x, y) in field units; may lie outside the field, then the patch may be empty.
            reach: Half the patch width, field units.
        """
        scale = count / FIELD
        axis = _axis(count)
        low_x, low_y = (max(0, int((c - reach) * scale)) for c in centre)
        high_x, high_y = (max(0, min(count, int((c + reach) * scale) + 1)) for c in centre)
        rows, cols = slice(min(low_y, high_y), high_y), slice(min(low_x, high_x), high_x)
        y = (axis[rows] - np.float32(centre[1]))[:, None]
        return cls(rows, cols, y, (axis[cols] - np.float32(centre[0]))[None, :], reach)


@lru_cache(maxsize=16)
def _axis(count: int) -> Plane:
    """Pixel centres in field units, (count,)."""
    axis = ((np.arange(count) + 0.5) * (FIELD / count)).astype(np.float32)
    axis.flags.writeable = False
    return axis


def _spline_rows(values: Plane, position: Plane, reach: float, pitch: float) -> Plane:
    """Interpolate lattice rows (m, k) at each position by the cubic B-spline, (position.size, k).

    Four gathered rows rather than a matrix product: its threads would cost more than they bring,
    and its rounding differs between machines.
    """
    place = (position.reshape(-1) + np.float32(reach)) / np.float32(pitch)
    first = place.astype(np.intp)
    t = (place - first)[:, None]
    s = 1 - t
    rows: Plane = values[first] * (s * s * s)
    rows += values[first + 1] * (4 - 6 * t * t + 3 * t * t * t)
    rows += values[first + 2] * (4 - 6 * s * s + 3 * s * s * s)
    rows += values[first + 3] * (t * t * t)
    rows *= np.float32(1 / 6)
    return rows


def smooth_noise(rng: np.random.Generator, patch: Patch, pitch: float) -> Plane:
    """Draw smooth noise of about unit standard deviation, (h, w).

    The lattice depends on the patch's reach only, so one seed gives one scene at every size.

    Args:
        rng: Source of the lattice values.
        patch: Where to evaluate it.
        pitch: Distance of the lattice nodes, field units.
    """
    nodes = int(np.ceil(2 * patch.reach / pitch)) + 4
    lattice = rng.standard_normal((nodes, nodes), dtype=np.float32)
    half = _spline_rows(lattice, patch.y, patch.reach, pitch)
    noise = np.ascontiguousarray(_spline_rows(half.T, patch.x, patch.reach, pitch).T)
    noise /= np.float32(_SPLINE_STD)
    return noise


def blob_depth(y: Plane, x: Plane, radius: float, harmonics: NDArray[np.complex64]) -> Plane:
    """Depth below a deformed circle.

    Args:
        y: Row positions relative to the centre, field units.
        x: Column positions relative to the centre, broadcastable with `y`.
        radius: Mean radius, field units.
        harmonics: Relative radial amplitudes of orders 2, 3, ... as complex numbers.
    """
    position = x + np.complex64(1j) * y
    distance = np.abs(position)
    turn = position / np.maximum(distance, np.float32(1e-3))
    wave = np.zeros_like(position)
    for amplitude in harmonics[::-1]:
        wave = (wave + amplitude) * turn
    depth = np.float32(radius) * (1 + (wave * turn).real) - distance
    return depth.astype(np.float32, copy=False)


def chain_depth(y: Plane, x: Plane, discs: NDArray[np.float32], blend: float) -> Plane:
    """Depth below the smooth union of discs.

    Args:
        y: Row positions, (h, w), field units.
        x: Column positions, (h, w), field units.
        discs: (k, 3) rows of x, y and radius, field units.
        blend: Width over which neighbouring discs melt into each other, field units.
    """
    total = np.full(np.broadcast(y, x).shape, 1e-30, np.float32)
    sharpness = np.float32(1 / blend)
    for disc_x, disc_y, radius in discs:
        distance = np.sqrt((x - disc_x) ** 2 + (y - disc_y) ** 2)
        total += np.exp((radius - distance) * sharpness)
    depth: Plane = np.log(total) * np.float32(blend)
    return depth


def soft_inside(depth: Plane, width: float) -> Plane:
    """Turn depth into coverage in [0, 1] by a smooth step of `width` field units."""
    ramp = np.clip(depth * np.float32(1 / width) + np.float32(0.5), 0, 1)
    coverage: Plane = ramp * ramp * (3 - 2 * ramp)
    return coverage


def stamp_discs(patch: Patch, discs: NDArray[np.float32], heights: NDArray[np.float32]) -> Plane:
    """Draw many small soft discs at once; where they meet, the higher one shows.

    Args:
        patch: Where to draw.
        discs: (k, 3) rows of x, y (relative to the patch's centre) and radius, field units.
        heights: (k,) value of each disc at its middle.

    Returns:
        (h, w) plane, 0 where no disc lies.
    """
    plane = np.zeros((patch.y.size, patch.x.size), np.float32)
    if plane.size == 0 or len(discs) == 0:
        return plane
    pitch = float(patch.x[0, 1] - patch.x[0, 0]) if patch.x.size > 1 else 1.0
    margin = int(np.ceil((float(discs[:, 2].max()) + 1) / pitch))
    offset = np.arange(-margin, margin + 1)
    cols = np.rint((discs[:, :1] - patch.x[0, 0]) / pitch).astype(np.intp) + offset
    rows = np.rint((discs[:, 1:2] - patch.y[0, 0]) / pitch).astype(np.intp) + offset
    dx = cols * np.float32(pitch) + patch.x[0, 0] - discs[:, :1]
    dy = rows * np.float32(pitch) + patch.y[0, 0] - discs[:, 1:2]
    distance = np.sqrt(dy[:, :, None] ** 2 + dx[:, None, :] ** 2)
    value = heights[:, None, None] * soft_inside(discs[:, 2, None, None] - distance, 1.6)
    inside = ((rows >= 0) & (rows < plane.shape[0]))[:, :, None]
    inside = inside & ((cols >= 0) & (cols < plane.shape[1]))[:, None, :]
    index = rows[:, :, None] * plane.shape[1] + cols[:, None, :]
    np.maximum.at(plane.reshape(-1), index[inside], value[inside])
    return plane
