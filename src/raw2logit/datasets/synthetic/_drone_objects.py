"""Things that stand in the aerial scene: cars, trees, hedges, and clutter that looks like cars.

Every function paints one object at a layout position in metres, its long axis along `angle`
(radians from the layout's x axis); albedo is linear light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raw2logit.datasets.synthetic._drone_canvas import (
    Canvas,
    Image,
    Patch,
    box_distance,
    mix,
)

_PAINTS: tuple[tuple[float, tuple[float, float, float]], ...] = (
    (0.21, (0.66, 0.66, 0.65)),  # white
    (0.18, (0.34, 0.35, 0.36)),  # silver
    (0.17, (0.12, 0.125, 0.13)),  # grey
    (0.17, (0.022, 0.022, 0.024)),  # black
    (0.10, (0.035, 0.06, 0.15)),  # blue
    (0.09, (0.26, 0.025, 0.025)),  # red
    (0.02, (0.04, 0.09, 0.05)),  # green
    (0.02, (0.5, 0.36, 0.05)),  # yellow
    (0.04, (0.30, 0.25, 0.19)),  # beige
)


@dataclass(frozen=True)
class _CarShape:
    """Lengths in metres; glass and roof ends as fractions of the half length, front is +1."""

    share: float
    length: float
    width: float
    top: float
    belt: float
    glass: tuple[float, float]
    roof: tuple[float, float]


_SHAPES = (
    _CarShape(0.36, 4.1, 1.76, 1.48, 0.86, (-0.93, 0.42), (-0.70, 0.04)),  # hatchback
    _CarShape(0.20, 4.7, 1.80, 1.44, 0.84, (-0.68, 0.36), (-0.36, 0.02)),  # saloon
    _CarShape(0.22, 4.6, 1.82, 1.52, 0.86, (-0.95, 0.38), (-0.80, 0.06)),  # estate
    _CarShape(0.14, 4.5, 1.90, 1.68, 1.00, (-0.95, 0.42), (-0.80, 0.12)),  # off-roader
    _CarShape(0.08, 5.1, 1.98, 2.00, 1.05, (-0.985, 0.76), (-0.96, 0.46)),  # van
)


def car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, angle: float) -> None:
    """Paint a car facing along `angle` and enter it in the mask."""
    shape = _SHAPES[int(rng.choice(len(_SHAPES), p=[s.share for s in _SHAPES]))]
    tint = _PAINTS[int(rng.choice(len(_PAINTS), p=[p[0] for p in _PAINTS]))][1]
    size = rng.uniform(0.95, 1.05)
    half_l, half_w = 0.5 * shape.length * size, 0.5 * shape.width * rng.uniform(0.97, 1.03)
    lacquer = np.asarray(tint, np.float32) * rng.uniform(0.8, 1.2)
    lacquer = lacquer + np.asarray(rng.uniform(0.0, 0.012, 3), np.float32)
    # Flat metal mirrors the sky: the roof of a dark car is seldom as dark as its doors.
    sheen = 0.30 * rng.uniform(0.0, 1.0) ** 3 * np.array([0.9, 1.0, 1.15], np.float32)
    glass_tone = np.array([0.017, 0.02, 0.023], np.float32) + 0.25 * sheen * rng.uniform(0.0, 1.0)
    dark_roof = rng.uniform() < 0.12 and shape.top < 1.9
    patch = canvas.patch(x, y, angle, half_l + 0.1, half_w + 0.25)
    if patch is None:
        return
    u, v, side, cover = patch.u, patch.v, np.abs(patch.v), canvas.cover

    taper = 1.0 - 0.10 * np.clip(u / half_l, 0.0, 1.0) ** 4 - 0.06 * np.clip(u / half_l, -1, 0) ** 4
    hull = box_distance(u, v / taper, half_l, half_w, 0.42)
    mirror = np.hypot((u - 0.30 * half_l) / 0.10, (side - half_w - 0.06) / 0.12)
    if shape.glass[1] > 0.6:
        mirror = np.hypot((u - 0.62 * half_l) / 0.10, (side - half_w - 0.08) / 0.14)
    body = np.maximum(cover(hull), cover((mirror - 1.0) * 0.1))

    rear, front = shape.glass[0] * half_l, shape.glass[1] * half_l
    roof_rear, roof_front = shape.roof[0] * half_l, shape.roof[1] * half_l
    wide, narrow = 0.86 * half_w, 0.70 * half_w
    # 0 at the foot of the glass, 1 at the roof: the cabin is a frustum of flat panes.
    panes = np.minimum((front - u) / (front - roof_front), (u - rear) / (roof_rear - rear))
    rise = np.clip(np.minimum(panes, (wide - side) / (wide - narrow)), 0.0, 1.0)
    cabin = cover(box_distance(u - 0.5 * (front + rear), v, 0.5 * (front - rear), wide, 0.28))
    roof = cover(
        box_distance(
            u - 0.5 * (roof_front + roof_rear), v, 0.5 * (roof_front - roof_rear), narrow, 0.2
        )
    )
    screen = (side - narrow) - (wide - narrow) * (1.0 - np.clip(panes, 0.0, 1.0))
    pillar = cover(np.abs(screen) - 0.045) * (panes < 1.0)
    for post in (0.35, 0.72):
        at = roof_rear + post * (roof_front - roof_rear)
        pillar = np.maximum(pillar, cover(np.abs(u - at) - 0.05) * (side > narrow))

    tone = np.broadcast_to(lacquer, (*u.shape, 3))
    lamps = cover(np.hypot((u - 0.90 * half_l) / 0.17, (side - 0.66 * half_w) / 0.14) * 0.15 - 0.15)
    tone = mix(tone, lamps * 0.8, (0.55, 0.56, 0.58))
    rear_lamps = cover(np.hypot(u + 0.95 * half_l, side - 0.74 * half_w) - 0.11)
    tone = mix(tone, rear_lamps * 0.8, (0.18, 0.012, 0.012))
    seams = cover(np.abs(u - front - 0.05) - 0.03) + cover(np.abs(u - 0.93 * half_l) - 0.03)
    creases = cover(np.abs(side - 0.62 * half_w) - 0.02) * ((u > front) | (u < rear))
    tone = tone * (1.0 - 0.45 * np.clip(seams + 0.4 * creases, 0.0, 1.0)[..., None])
    # Windscreens catch more sky towards the roof.
    pane = glass_tone * (0.7 + 0.9 * rise[..., None])
    tone = mix(tone, cabin * (1.0 - pillar), pane)
    roof_tone = glass_tone * 1.2 if dark_roof else lacquer + sheen
    tone = mix(tone, roof, roof_tone)

    depth = np.clip(-hull / 0.34, 0.0, 1.0)
    bonnet = (shape.belt - 0.42) + 0.42 * np.sqrt(1.0 - (1.0 - depth) ** 2)
    bonnet = bonnet - 0.10 * np.clip(u / half_l - shape.glass[1], 0.0, 1.0)
    crown = 0.07 * (v / narrow) ** 2
    height = np.maximum(bonnet, cabin * (shape.belt + (shape.top - shape.belt - crown) * rise))
    canvas.paint(patch, body, tone, height, gloss=0.75)
    canvas.cars[patch.rows, patch.cols] += body


def _foliage(canvas: Canvas, patch: Patch, leaf: Image) -> Image:
    """Colour (h, w, 3) of leaves: clumps in light and dark, some of them yellower."""
    at = (patch.rows, patch.cols)
    light = 1.0 + 0.26 * canvas.fine[at] + 0.20 * canvas.clump[at] + 0.13 * canvas.grain[at]
    hue = np.clip(0.5 + 0.35 * canvas.mid[at] + 0.2 * canvas.clump[at], 0.0, 1.0)[..., None]
    yellow = leaf * np.array([1.22, 1.08, 0.9], np.float32)
    tone: Image = (leaf + hue * (yellow - leaf)) * np.clip(light, 0.35, 1.8)[..., None]
    return tone


def tree(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, radius: float, leaf: Image
) -> None:
    """Paint an irregular crown that hides what is under it; none grows out of a roof."""
    lobes, phase = int(rng.integers(3, 7)), rng.uniform(0.0, 6.3)
    base, thin = min(rng.uniform(1.6, 3.0), 1.2 * radius), rng.uniform(0.0, 0.28)
    tone = leaf * np.asarray(rng.uniform(0.84, 1.16, 3), np.float32) * rng.uniform(0.6, 1.45)
    patch = canvas.patch(x, y, 0.0, 1.35 * radius, 1.35 * radius)
    on_roof = any(math.hypot(x - rx, y - ry) < reach for rx, ry, reach in canvas.roofs)
    if patch is None or on_roof:
        return
    at = (patch.rows, patch.cols)
    fine, clump, mid = canvas.fine[at], canvas.clump[at], canvas.mid[at]
    around = np.arctan2(patch.v, patch.u)
    rho = np.hypot(patch.u, patch.v) / (radius * (1.0 + 0.10 * np.sin(lobes * around + phase)))
    ragged = min(1.0, 2.2 / radius)
    edge = rho + ragged * (0.10 * mid + 0.11 * clump + 0.08 * fine)
    cover = np.clip(0.5 + (1.0 - edge) * radius * canvas.px_per_m * 0.45, 0.0, 1.0)
    cover = cover * np.clip(1.0 - thin * np.maximum(-fine - 0.4 * clump - 0.3, 0.0) * 2.5, 0.0, 1.0)
    dome = np.sqrt(np.clip(1.0 - rho * rho, 0.02, 1.0))
    # Folded noise has round tops and sharp valleys, as clumps of leaves have.
    lumps = 0.55 * np.abs(mid) + 0.34 * np.abs(clump) + 0.10 * np.abs(fine)
    height = base + 1.05 * radius * dome + min(1.0, 0.4 * radius) * lumps
    canvas.paint(patch, cover, _foliage(canvas, patch, tone), height)


def hedge(
    canvas: Canvas, x: float, y: float, angle: float, half_u: float, half_v: float, leaf: Image
) -> None:
    """Paint a clipped hedge 1.4 m high."""
    patch = canvas.patch(x, y, angle, half_u + 0.2, half_v + 0.2)
    if patch is None:
        return
    at = (patch.rows, patch.cols)
    far = box_distance(patch.u, patch.v, half_u, half_v, 0.3)
    far = far + 0.09 * canvas.clump[at] + 0.05 * canvas.fine[at]
    height = 1.3 + 0.15 * np.abs(canvas.clump[at])
    canvas.paint(patch, canvas.cover(far), _foliage(canvas, patch, leaf), height)


def clutter(
    canvas: Canvas, rng: np.random.Generator, kind: str, x: float, y: float, angle: float
) -> None:
    """Paint a thing that is no car: container, skip, bins, pallets, umbrella, tarp or pool."""
    bright = rng.uniform(0.7, 1.3)
    hues = ((0.16, 0.03, 0.025), (0.03, 0.06, 0.13), (0.04, 0.09, 0.05), (0.3, 0.3, 0.29))
    tone = np.asarray(hues[int(rng.integers(4))], np.float32) * bright
    if kind == "container":
        patch = canvas.patch(x, y, angle, 3.03, 1.22)
        if patch is not None:
            ribs = 1.0 + 0.16 * np.sin(patch.u * (2.0 * math.pi / 0.55))
            cover = canvas.cover(box_distance(patch.u, patch.v, 3.03, 1.22))
            canvas.paint(patch, cover, tone * ribs[..., None], 2.6)
    elif kind == "skip":
        canvas.box(x, y, angle, 1.8, 0.9, tone, 1.3, 0.1)
        canvas.box(x, y, angle, 1.55, 0.72, (0.09, 0.07, 0.055), 0.9, 0.1)
    elif kind == "bins":
        for k in range(3):
            at = 0.9 * (k - 1)
            px, py = x + math.cos(angle) * at, y + math.sin(angle) * at
            canvas.box(px, py, angle, 0.38, 0.55, tone * rng.uniform(0.5, 1.2), 1.2, 0.1)
    elif kind == "pallets":
        for _ in range(4):
            px, py = x + rng.uniform(-2.0, 2.0), y + rng.uniform(-1.5, 1.5)
            wood = np.asarray([0.24, 0.18, 0.12], np.float32) * rng.uniform(0.6, 1.2)
            canvas.box(px, py, angle, 0.6, 0.4, wood, rng.uniform(0.2, 1.4))
    elif kind == "umbrella":
        patch = canvas.patch(x, y, angle, 1.7, 1.7)
        if patch is not None:
            rho = np.hypot(patch.u, patch.v)
            ribs = np.cos(8.0 * np.arctan2(patch.v, patch.u))
            cloth = np.asarray([0.42, 0.37, 0.29], np.float32) * bright
            shade = cloth * (1.0 + 0.08 * ribs[..., None])
            cover = canvas.cover(rho - 1.5 - 0.06 * ribs)
            canvas.paint(patch, cover, shade, 2.6 - 0.35 * rho)
    elif kind == "tarp":
        canvas.box(x, y, angle, rng.uniform(1.2, 2.6), rng.uniform(0.7, 1.3), tone, 0.15, 0.1)
    else:
        canvas.box(x, y, angle, 3.2, 1.9, (0.28, 0.27, 0.25), 0.15, 1.2)
        canvas.box(x, y, angle, 2.8, 1.5, (0.07, 0.24, 0.30), 0.1, 1.0)
