"""Aerial scene: a European town block from a drone, in linear light, with its exact car mask.

A frame is laid out on the ground in metres: roads split the land into blocks, every block gets a
use (car park, works yard, houses with gardens, park, field), and every use brings its surfaces,
buildings, trees, cars and things that only look like cars. Light, season, haze and the mixture of
uses are drawn once a frame, so that frames differ as flights do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from raw2logit.datasets.synthetic._drone_canvas import Canvas, Image, Light, Patch
from raw2logit.datasets.synthetic._drone_layout import Block, Town, lay_road, split
from raw2logit.datasets.synthetic._drone_uses import lay_block

_ENCODED_MEAN = 0.348
"""Published mean of the processed tiles; the exposure of every frame aims near it."""


def _found(rng: np.random.Generator, canvas: Canvas) -> Town:
    """Draw the season, the ground and the mixture of uses of one frame."""
    dry, late = rng.uniform(0.0, 1.0) ** 1.5, rng.uniform(0.0, 1.0) ** 2
    lush = np.array([0.055, 0.082, 0.040], np.float32)
    hay = np.array([0.165, 0.150, 0.092], np.float32)
    grass = lush + dry * (hay - lush)
    second = grass + 0.45 * (hay - grass)
    spring = np.array([0.041, 0.057, 0.035], np.float32)
    autumn = np.array([0.080, 0.060, 0.030], np.float32)
    return Town(
        canvas=canvas,
        rng=rng,
        grass=(grass, second),
        leaf=spring + 0.8 * late * (autumn - spring),
        asphalt=np.asarray(rng.uniform(0.7, 1.6) * rng.uniform(0.98, 1.02, 3), np.float32),
        busy=rng.uniform(0.7, 1.5),
        uses=rng.dirichlet([0.9, 1.6, 1.5, 0.8, 0.7]),
    )


def _expose(scene: Image, encoded_mean: float) -> Image:
    """Scale linear light so that the mean of clip(scene) ** (1 / 2.2) meets a target."""
    sample = scene[::4, ::4].astype(np.float64)
    gain = 1.0
    for _ in range(6):
        mean = float((np.clip(gain * sample, 0.0, 1.0) ** (1.0 / 2.2)).mean())
        gain *= (encoded_mean / max(mean, 1e-3)) ** 2.2
    return scene * np.float32(gain)


def render_frame(
    rng: np.random.Generator, height: int = 1024, width: int = 1536, scale: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Render one aerial frame and its car mask.

    Args:
        rng: The only source of randomness; equal states give equal bytes.
        height: Frame height in pixels, from 64.
        width: Frame width in pixels, from 64.
        scale: Factor on all lengths. At 1 a car is about 55 x 25 px; at 0.25 the same ground is
            seen at a quarter of the resolution.

    Returns:
        The scene (H, W, 3) as exposed linear light of sRGB primaries, 0 to about 1, glints above,
        and the mask (H, W), true where at least half of the pixel shows a car.

    Raises:
        ValueError: If a side is not positive or the scale is not.
    """
    if height < 1 or width < 1 or not scale > 0.0:
        raise ValueError(
            f"height, width and scale must be positive, got {height}, {width} and {scale}"
        )
    light = Light.draw(rng)
    canvas = Canvas(rng, height, width, scale, angle_rad=rng.uniform(0.0, 2.0 * math.pi))
    town = _found(rng, canvas)
    everything = Patch(
        slice(0, height),
        slice(0, width),
        np.zeros((1, 1), np.float32),
        np.zeros((1, 1), np.float32),
    )
    canvas.albedo[:] = town.ground(everything, "asphalt")

    # A small frame still gets a whole neighbourhood to look into.
    half = max(0.5 * math.hypot(*canvas.size_m), 70.0) + 4.0
    shift_x, shift_y = rng.uniform(-25.0, 25.0, 2).tolist()
    land = Block(shift_x, shift_y, half + abs(shift_x), half + abs(shift_y))
    blocks, roads = split(rng, land, rng.uniform(38.0, 75.0), rng.uniform(6.5, 9.5))
    for block in blocks:
        lay_block(town, block)
    for road in roads:
        lay_road(town, road)
    for paint in (*town.buildings, *town.crowns):
        paint()
    scene = _expose(canvas.develop(light), _ENCODED_MEAN + float(rng.normal(0.0, 0.03)))
    return scene.astype(np.float32, copy=False), canvas.cars >= 0.5
