"""Ground canvas of the aerial scene: soft-edged painting by distance, height, sun and shadow.

Convention: the ground is measured in metres; a frame is painted as albedo (0..1, linear light)
together with a height map, and lit once at the end, so that every shadow and every highlight
follows the same sun.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PX_PER_M = 12.5
"""Pixels per metre at scale 1: a car of 4.4 m is 55 px long."""

Image = NDArray[np.floating[Any]]
"""Pixels of one window or frame; float32 throughout, though the stubs cannot tell."""

Colour = Sequence[float] | Image


@dataclass(frozen=True)
class Light:
    """Sun, sky and air of one frame; colours are relative to a neutral 1."""

    azimuth_rad: float
    elevation_rad: float
    direct: float
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    haze: float
    air: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw a light: from clear and low to nearly overcast."""
        direct = rng.uniform(0.35, 0.86)
        warm = rng.uniform(-0.07, 0.05)
        cool = 0.05 + 0.10 * direct
        return cls(
            azimuth_rad=rng.uniform(0.0, 2.0 * math.pi),
            elevation_rad=math.radians(rng.uniform(27.0, 56.0)),
            direct=direct,
            sun=(1.0 + warm, 1.0, 1.0 - warm),
            sky=(1.0 - cool, 1.0, 1.0 + 1.3 * cool),
            haze=rng.uniform(0.0, 0.07),
            air=(0.125, 0.14, 0.165),
        )


@dataclass(frozen=True)
class Patch:
    """Bounding box of an object: slices of the frame and local coordinates in metres."""

    rows: slice
    cols: slice
    u: Image
    v: Image


def box_distance(u: Image, v: Image, half_u: float, half_v: float, corner: float = 0.0) -> Image:
    """Signed distance in metres to a box with rounded corners, negative inside."""
    du = np.abs(u) - (half_u - corner)
    dv = np.abs(v) - (half_v - corner)
    inside = np.minimum(np.maximum(du, dv), 0.0)
    return np.hypot(np.maximum(du, 0.0), np.maximum(dv, 0.0)) + inside - corner


def mix(under: Image, cover: Image, colour: Colour) -> Image:
    """Lay one colour over an (h, w, 3) image."""
    return under + cover[..., None] * (np.asarray(colour, np.float32) - under)


def _noise(rng: np.random.Generator, height: int, width: int, cell_px: float) -> Image:
    """Smooth Gaussian noise (H, W) of mean 0 and standard deviation 1 with bumps of `cell_px`."""
    # A coarse grid enlarged costs a fraction of a wide filter at full size.
    step = max(1.0, cell_px / 2.0)
    rows, cols = math.ceil(height / step) + 3, math.ceil(width / step) + 3
    grid = rng.standard_normal((rows, cols), dtype=np.float32)
    grid = ndimage.gaussian_filter(grid, 0.42 * cell_px / step, mode="wrap")
    grid /= float(grid.std()) + 1e-6
    if step > 1.0:
        at = [np.arange(n, dtype=np.float32) / step for n in (height, width)]
        grid = _resample(_resample(grid, at[0], 0), at[1], 1)
    return np.ascontiguousarray(grid[:height, :width])


def _resample(grid: Image, at: Image, axis: int) -> Image:
    """Interpolate linearly along one axis at the fractional positions `at`."""
    low = at.astype(np.intp)
    part = at - low
    part = part[:, None] if axis == 0 else part[None, :]
    return np.take(grid, low, axis) * (1.0 - part) + np.take(grid, low + 1, axis) * part


def _look(field: Image, down: float, right: float) -> Image:
    """Shift (H, W) so that each pixel shows its neighbour `down`, `right` of it; outside is 0."""
    height, width = field.shape
    out = np.zeros_like(field)
    for dy in (math.floor(down), math.floor(down) + 1):
        for dx in (math.floor(right), math.floor(right) + 1):
            weight = (1.0 - abs(down - dy)) * (1.0 - abs(right - dx))
            if weight < 1e-6 or abs(dy) >= height or abs(dx) >= width:
                continue
            to = (slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx)))
            of = (slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx)))
            out[to] += weight * field[of]
    return out


class Canvas:
    """Albedo, height, gloss and visible cars of a frame.

    Args:
        rng: Source of the texture fields.
        height: Frame height in pixels.
        width: Frame width in pixels.
        scale: Factor on all lengths; 1 is 12.5 px per metre.
        angle_rad: Rotation of the layout's axes in the frame.
    """

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, scale: float, angle_rad: float
    ) -> None:
        self.px_per_m = PX_PER_M * scale
        self.size_m = (height / self.px_per_m, width / self.px_per_m)
        self.angle_rad = angle_rad
        self.albedo = np.zeros((height, width, 3), np.float32)
        self.height_m = np.zeros((height, width), np.float32)
        self.gloss = np.zeros((height, width), np.float32)
        self.cars = np.zeros((height, width), np.float32)
        self.roofs: list[tuple[float, float, float]] = []
        # Grain stays at the pixel scale whatever the resolution; the rest is tied to the ground.
        self.grain = _noise(rng, height, width, 1.4)
        self.fine, self.clump, self.mid, self.wide = (
            _noise(rng, height, width, max(1.5, cell_m * self.px_per_m))
            for cell_m in (0.28, 0.75, 2.6, 13.0)
        )

    def patch(self, x: float, y: float, angle: float, half_u: float, half_v: float) -> Patch | None:
        """Window around a box at layout position (x, y) in metres, or None if out of frame."""
        turn, tilt = self.angle_rad, self.angle_rad + angle
        x0 = self.size_m[1] / 2 + math.cos(turn) * x - math.sin(turn) * y
        y0 = self.size_m[0] / 2 + math.sin(turn) * x + math.cos(turn) * y
        c, s = math.cos(tilt), math.sin(tilt)
        reach_x = abs(c) * half_u + abs(s) * half_v
        reach_y = abs(s) * half_u + abs(c) * half_v
        k = self.px_per_m
        left, right = math.floor((x0 - reach_x) * k) - 2, math.ceil((x0 + reach_x) * k) + 2
        top, bottom = math.floor((y0 - reach_y) * k) - 2, math.ceil((y0 + reach_y) * k) + 2
        rows = slice(max(0, top), min(self.cars.shape[0], bottom))
        cols = slice(max(0, left), min(self.cars.shape[1], right))
        if rows.start >= rows.stop or cols.start >= cols.stop:
            return None
        ys = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + 0.5) / k - y0
        xs = (np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] + 0.5) / k - x0
        return Patch(rows, cols, c * xs + s * ys, c * ys - s * xs)

    def cover(self, distance_m: Image) -> Image:
        """Anti-aliased coverage 0..1 of a signed distance in metres."""
        cover: Image = np.clip(0.5 - distance_m * self.px_per_m, 0.0, 1.0)
        return cover

    def paint(
        self,
        patch: Patch,
        cover: Image,
        colour: Colour,
        height_m: float | Image | None = None,
        gloss: float = 0.0,
    ) -> None:
        """Lay a colour (and a height) over a window; whatever is laid over a car hides it."""
        at = (patch.rows, patch.cols)
        tone = np.asarray(colour, np.float32)
        self.albedo[at] += cover[..., None] * (tone - self.albedo[at])
        self.cars[at] *= 1.0 - cover
        self.gloss[at] += cover * (gloss - self.gloss[at])
        if height_m is not None:
            self.height_m[at] += cover * (height_m - self.height_m[at])

    def box(
        self,
        x: float,
        y: float,
        angle: float,
        half_u: float,
        half_v: float,
        colour: Colour,
        height_m: float | None = None,
        corner: float = 0.0,
        wear: float = 0.0,
        opacity: float = 1.0,
        gloss: float = 0.0,
    ) -> None:
        """Paint a rounded box; `wear` lets noise rub holes into it, as into road paint."""
        patch = self.patch(x, y, angle, half_u, half_v)
        if patch is None:
            return
        cover = opacity * self.cover(box_distance(patch.u, patch.v, half_u, half_v, corner))
        if wear > 0.0:
            at = (patch.rows, patch.cols)
            rubbed = 0.6 * self.fine[at] + 0.5 * self.clump[at] + 0.6 * self.mid[at]
            cover = cover * np.clip(1.0 - wear * (0.6 + 0.7 * rubbed), 0.0, 1.0)
        self.paint(patch, cover, colour, height_m, gloss)

    def develop(self, light: Light, psf_sigma_px: float = 0.7) -> Image:
        """Light the scene: (H, W, 3) linear light, not yet exposed, blurred by the optics."""
        h = self.height_m
        sun_x, sun_y = math.cos(light.azimuth_rad), math.sin(light.azimuth_rad)
        up, flat = math.sin(light.elevation_rad), math.cos(light.elevation_rad)
        shade = self._shadow(sun_x, sun_y, up / flat)

        slope_y, slope_x = np.zeros_like(h), np.zeros_like(h)
        slope_y[1:-1] = (h[2:] - h[:-2]) * (0.5 * self.px_per_m)
        slope_x[:, 1:-1] = (h[:, 2:] - h[:, :-2]) * (0.5 * self.px_per_m)
        facing = up - flat * (sun_x * slope_x + sun_y * slope_y)
        facing /= np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y) * up
        direct = light.direct * np.clip(facing, 0.0, 1.7) * (1.0 - shade)

        # Sky hidden by higher surroundings: the soft dark foot of walls, cars and crowns.
        around = ndimage.uniform_filter(h, max(3, round(1.6 * self.px_per_m)), mode="nearest")
        sky = (1.0 - light.direct) / (1.0 + 0.35 * np.maximum(around - h, 0.0))

        # Blinn's half vector, in slopes: where the surface mirrors the sun into the lens.
        tilt = flat / (1.0 + up)
        miss = (slope_x + tilt * sun_x) ** 2 + (slope_y + tilt * sun_y) ** 2
        glint = self.gloss * np.exp(miss * -18.0) * (1.0 - shade) * (1.1 * light.direct)
        glint += self.gloss * 0.045

        out = np.empty_like(self.albedo)
        for channel in range(3):
            lit = direct * light.sun[channel] + sky * light.sky[channel]
            plane = self.albedo[..., channel] * lit + glint * light.sky[channel]
            plane += light.haze * (light.air[channel] - plane)
            out[..., channel] = ndimage.gaussian_filter(plane, psf_sigma_px, mode="nearest")
        return out

    def _shadow(self, sun_x: float, sun_y: float, rise: float) -> Image:
        """Cast shadow 0..1 of the height map, for a sun that climbs `rise` metres a metre."""
        # Doubling: after level n each pixel knows the highest ray over 2**n steps towards the sun.
        stretch = 1.0 / max(abs(sun_x), abs(sun_y))
        drop_m = stretch / self.px_per_m * rise
        top_m = float(self.height_m.max())
        highest, steps = self.height_m, 1
        while steps * drop_m < top_m:
            seen = _look(highest, steps * stretch * sun_y, steps * stretch * sun_x)
            highest = np.maximum(highest, seen - steps * drop_m)
            steps *= 2
        shade = np.clip((highest - self.height_m - 0.04) * 4.0, 0.0, 1.0)
        soft_px = max(0.5, 0.09 * self.px_per_m)
        soft: Image = ndimage.gaussian_filter(shade, soft_px, mode="nearest")
        return soft
