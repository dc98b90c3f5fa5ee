"""Ground plan of the aerial scene: blocks, roads, surfaces, and what every frame draws once.

Positions are metres in the layout's own axes, which the canvas turns into the frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from raw2logit.datasets.synthetic._drone_buildings import building
from raw2logit.datasets.synthetic._drone_canvas import Canvas, Image, Patch, box_distance
from raw2logit.datasets.synthetic._drone_objects import car, clutter, tree

ROAD_PAINT = (0.32, 0.32, 0.30)
"""Albedo of road markings."""

# Base and second colour, and how strongly each noise octave (grain .. mid) modulates them.
_GROUNDS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]] = {
    "asphalt": ((0.062, 0.062, 0.070), (0.090, 0.090, 0.095), (0.13, 0.05, 0.03, 0.04)),
    "concrete": ((0.185, 0.182, 0.175), (0.25, 0.24, 0.225), (0.09, 0.04, 0.03, 0.05)),
    "pavers": ((0.125, 0.110, 0.105), (0.18, 0.16, 0.15), (0.14, 0.06, 0.03, 0.05)),
    "gravel": ((0.15, 0.142, 0.13), (0.225, 0.208, 0.18), (0.24, 0.08, 0.04, 0.05)),
    "soil": ((0.105, 0.084, 0.066), (0.18, 0.15, 0.118), (0.20, 0.12, 0.08, 0.08)),
}


@dataclass
class Town:
    """What is drawn once a frame, and the queue of things that stand above the ground."""

    canvas: Canvas
    rng: np.random.Generator
    grass: tuple[Image, Image]
    leaf: Image
    asphalt: Image
    busy: float
    uses: NDArray[np.float64]
    buildings: list[Callable[[], None]] = field(default_factory=list)
    crowns: list[Callable[[], None]] = field(default_factory=list)
    taken: list[tuple[float, float]] = field(default_factory=list)

    def ground(self, patch: Patch, kind: str, tint: float = 1.0) -> Image:
        """Colour (h, w, 3) of a surface over a window."""
        canvas, at = self.canvas, (patch.rows, patch.cols)
        grain, fine, clump, mid = (
            f[at] for f in (canvas.grain, canvas.fine, canvas.clump, canvas.mid)
        )
        if kind == "grass":
            base, other = self.grass
            weights: tuple[float, ...] = (0.17, 0.11, 0.06, 0.06)
        else:
            first, second, weights = _GROUNDS[kind]
            base, other = np.asarray(first, np.float32), np.asarray(second, np.float32)
            if kind == "asphalt":
                base, other = base * self.asphalt, other * self.asphalt
        share = np.clip(0.45 + 0.28 * canvas.wide[at] + 0.22 * mid + 0.12 * clump, 0.0, 1.0)
        light = 1.0 + weights[0] * grain + weights[1] * fine + weights[2] * clump + weights[3] * mid
        light = np.clip(light, 0.3, 2.0) * tint
        tone: Image = (base + share[..., None] * (other - base)) * light[..., None]
        return tone

    def area(
        self, x: float, y: float, half_u: float, half_v: float, kind: str, corner: float = 0.3
    ) -> None:
        """Pave a box of ground."""
        patch = self.canvas.patch(x, y, 0.0, half_u, half_v)
        if patch is not None:
            cover = self.canvas.cover(box_distance(patch.u, patch.v, half_u, half_v, corner))
            self.canvas.paint(patch, cover, self.ground(patch, kind, self.rng.uniform(0.88, 1.12)))

    def grow(self, x: float, y: float, radius: float) -> None:
        """Queue a tree."""
        rng, tone = self.rng, self.leaf
        self.crowns.append(lambda: tree(self.canvas, rng, x, y, radius, tone))

    def build(self, x: float, y: float, half_u: float, half_v: float, kind: str) -> None:
        """Queue a building whose long side runs along u, or along v where that is longer."""
        angle, rng = 0.0, self.rng
        if half_v > half_u:
            angle, half_u, half_v = 0.5 * math.pi, half_v, half_u
        self.buildings.append(lambda: building(self.canvas, rng, x, y, angle, half_u, half_v, kind))

    def free(self, x: float, y: float, room_m: float) -> bool:
        """Take a spot if no car or thing stands within `room_m` of it."""
        if any(math.hypot(x - tx, y - ty) < room_m for tx, ty in self.taken):
            return False
        self.taken.append((x, y))
        return True

    def drive(self, x: float, y: float, angle: float, room_m: float = 5.5) -> None:
        """Put a car down, heading along `angle`."""
        if self.free(x, y, room_m):
            car(self.canvas, self.rng, x, y, angle)

    def park(self, x: float, y: float, angle: float, room_m: float = 1.9) -> None:
        """Park a car, as crooked as people do, nose in or out."""
        turn = math.pi * float(self.rng.uniform() < 0.4)
        skew = self.rng.normal(0.0, 0.035)
        dx, dy = self.rng.normal(0.0, 0.12, 2).tolist()
        self.drive(x + dx, y + dy, angle + turn + skew, room_m)

    def put(self, kinds: tuple[str, ...], x: float, y: float) -> None:
        """Put one of the car-like things down, roughly along the grid."""
        kind = str(self.rng.choice(kinds))
        quarter = 0.5 * math.pi * int(self.rng.integers(2))
        angle = quarter + self.rng.normal(0.0, 0.08)
        if self.free(x, y, 3.4):
            clutter(self.canvas, self.rng, kind, x, y, angle)


@dataclass(frozen=True)
class Block:
    """Land between roads: centre and half lengths in metres."""

    x: float
    y: float
    half_u: float
    half_v: float


@dataclass(frozen=True)
class Road:
    """Straight road: middle, half length and width in metres, along x or along y."""

    x: float
    y: float
    half_length: float
    width: float
    upright: bool

    def at(self, along: float, across: float) -> tuple[float, float]:
        """Layout position of a point given along and across the road."""
        if self.upright:
            return self.x - across, self.y + along
        return self.x + along, self.y + across


def split(
    rng: np.random.Generator, block: Block, largest_m: float, wide_m: float
) -> tuple[list[Block], list[Road]]:
    """Split land by roads until no block side is longer than `largest_m`."""
    if max(block.half_u, block.half_v) * 2.0 <= largest_m:
        return [block], []
    upright = block.half_u >= block.half_v
    half_a, half_b = (block.half_u, block.half_v) if upright else (block.half_v, block.half_u)
    cut = rng.uniform(-0.35, 0.35) * half_a
    near = Road(
        block.x + cut if upright else block.x,
        block.y if upright else block.y + cut,
        half_b,
        wide_m,
        upright,
    )
    blocks, roads = [], [near]
    for low, high in ((-half_a, cut - 0.5 * wide_m), (cut + 0.5 * wide_m, half_a)):
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        if upright:
            part = Block(block.x + middle, block.y, half, block.half_v)
        else:
            part = Block(block.x, block.y + middle, block.half_u, half)
        if half > 4.0:
            more = split(rng, part, largest_m, max(4.5, wide_m - rng.uniform(0.3, 1.5)))
            blocks += more[0]
            roads += more[1]
    return blocks, roads


def lay_road(town: Town, road: Road) -> None:
    """Paint markings, repairs, and the cars that drive or stand on a road."""
    rng, canvas = town.rng, town.canvas
    angle = 0.5 * math.pi if road.upright else 0.0
    half = road.half_length

    def line(along: float, across: float, half_u: float, half_v: float, wear: float) -> None:
        canvas.box(*road.at(along, across), angle, half_u, half_v, ROAD_PAINT, wear=wear)

    for _ in range(int(half / 5.0)):
        along, across = rng.uniform(-half, half), rng.uniform(-0.5, 0.5) * road.width
        shade = rng.uniform(0.045, 0.10)
        size = (rng.uniform(0.4, 5.0), rng.uniform(0.3, 1.2))
        canvas.box(*road.at(along, across), angle, *size, (shade, shade, 1.03 * shade), opacity=0.6)
    wear = rng.uniform(0.2, 0.7)
    worn = float(rng.uniform(0.5, 1.7)) * 0.085
    for across in (-0.36, -0.14, 0.14, 0.36):
        for along in np.arange(-half, half, 8.0).tolist():
            # Tyres polish or blacken their own paths.
            spot = road.at(along + 4.0, across * road.width)
            tone = (worn, worn, 1.03 * worn)
            canvas.box(*spot, angle, 4.0, 0.32, tone, wear=0.35, opacity=0.3)
    if road.width > 5.2:
        dash, gap = (3.0, 5.0) if rng.uniform() < 0.7 else (1.5, 1.5)
        for along in np.arange(-half, half, dash + gap).tolist():
            line(along, 0.0, 0.5 * dash, 0.07, wear)
            if road.width > 7.0:
                for side in (-1.0, 1.0):
                    line(along, side * (0.5 * road.width - 0.5), 0.5 * dash, 0.06, wear)
        if rng.uniform() < 0.5:
            middle = rng.uniform(-0.8, 0.8) * half
            for k in range(int(road.width / 1.0)):
                line(middle, (k + 0.5) - 0.5 * road.width, 1.5, 0.25, wear)
    for side in (-1.0, 1.0):
        # Street trees hide parts of the cars under them.
        if rng.uniform() < 0.3:
            for along in np.arange(-half, half, rng.uniform(8.0, 16.0)).tolist():
                spot = road.at(along, side * (0.5 * road.width + rng.uniform(0.3, 1.6)))
                town.grow(*spot, rng.uniform(1.2, 3.0))
        lane = side * 0.25 * road.width
        for along in np.arange(-half, half, 24.0).tolist():
            if rng.uniform() < 0.10 * town.busy:
                heading = angle + (math.pi if side < 0 else 0.0)
                spot = road.at(along + rng.uniform(0.0, 16.0), lane + rng.normal(0.0, 0.15))
                town.drive(*spot, heading)
    if rng.uniform() < 0.6 and road.width > 5.2:
        kerb = rng.choice([-1.0, 1.0]) * (0.5 * road.width - 1.05)
        for along in np.arange(-half, half, 6.2).tolist():
            if rng.uniform() < 0.085 * town.busy:
                town.park(*road.at(along, kerb), angle)
