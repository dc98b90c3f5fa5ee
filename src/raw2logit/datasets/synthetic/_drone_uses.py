"""Land uses of the aerial scene: car parks, works yards, gardens, parks and open ground."""

from __future__ import annotations

import math

import numpy as np

from raw2logit.datasets.synthetic._drone_canvas import box_distance
from raw2logit.datasets.synthetic._drone_layout import ROAD_PAINT, Block, Road, Town
from raw2logit.datasets.synthetic._drone_objects import hedge

USES = ("parking", "works", "houses", "park", "field")
"""Land uses, in the order of `Town.uses`."""


def lay_block(town: Town, block: Block) -> None:
    """Pave a block with its kerb and pavement, then fill it by its use."""
    rng, canvas = town.rng, town.canvas
    use = str(rng.choice(USES, p=town.uses))
    inner = {
        "parking": ("asphalt", "asphalt", "pavers", "gravel"),
        "works": ("asphalt", "asphalt", "concrete", "gravel"),
        "houses": ("grass",),
        "park": ("grass",),
        "field": ("soil", "grass", "gravel"),
    }[use]
    surface = str(rng.choice(inner))
    pave = str(rng.choice(["pavers", "asphalt", "concrete", "grass"]))
    ring_m = rng.uniform(1.2, 2.4) if use != "field" else 0.5
    corner = rng.uniform(1.5, 4.0)
    tint = rng.uniform(0.9, 1.1, 2)
    patch = canvas.patch(block.x, block.y, 0.0, block.half_u, block.half_v)
    if patch is None:
        return
    far = box_distance(patch.u, patch.v, block.half_u, block.half_v, corner)
    at = (patch.rows, patch.cols)
    # Lawns and soil fray at their edges, paved ground does not.
    fray = 0.12 if surface in ("grass", "soil") else 0.0
    inside = canvas.cover(far + ring_m + fray * (canvas.clump[at] + 0.5 * canvas.fine[at]))
    tone = town.ground(patch, pave, float(tint[0]))
    tone += inside[..., None] * (town.ground(patch, surface, float(tint[1])) - tone)
    rim = canvas.cover(far + 0.16)[..., None]
    kerb = (0.16, 0.155, 0.145) if use != "field" else (0.09, 0.085, 0.06)
    tone = np.asarray(kerb, np.float32) + rim * (tone - np.asarray(kerb, np.float32))
    canvas.paint(patch, canvas.cover(far), tone, 0.1)
    inset = ring_m + 0.3
    inner_block = Block(block.x, block.y, block.half_u - inset, block.half_v - inset)
    if min(inner_block.half_u, inner_block.half_v) > 3.0:
        {
            "parking": _parking,
            "works": _works,
            "houses": _houses,
            "park": _green,
            "field": _field,
        }[use](town, inner_block)


def _bays(
    town: Town, x: float, y: float, half_length: float, upright: bool, fill: float, marked: bool
) -> None:
    """Paint one row of parking bays, 2.5 m apart and 5 m deep, partly taken."""
    row = Road(x, y, half_length, 5.0, upright)
    along_angle = 0.5 * math.pi if upright else 0.0
    wear = town.rng.uniform(0.1, 0.6)
    for along in np.arange(-half_length, half_length - 2.0, 2.5).tolist():
        if marked:
            spot = row.at(along, 0.0)
            town.canvas.box(*spot, along_angle, 0.05, 2.4, ROAD_PAINT, wear=wear)
        if town.rng.uniform() < fill:
            town.park(*row.at(along + 1.25, 0.0), along_angle + 0.5 * math.pi)


def _parking(town: Town, block: Block) -> None:
    """Car park: rows of bays with aisles, islands with trees, a few things left standing."""
    rng = town.rng
    fill, marked = rng.uniform(0.04, 0.22) * town.busy, rng.uniform() < 0.8
    upright = block.half_v > block.half_u
    half_a, half_b = (block.half_v, block.half_u) if upright else (block.half_u, block.half_v)
    frame = Road(block.x, block.y, half_a, 2.0 * half_b, upright)
    across, double = -half_b + 2.8, False
    while across < half_b - 2.4:
        _bays(town, *frame.at(0.0, across), half_a - 1.5, upright, fill, marked)
        if rng.uniform() < 0.6:
            for end in (-1.0, 1.0):
                spot = frame.at(end * (half_a - 0.6), across)
                town.area(*spot, 1.0, 1.0, "grass", 0.8)
                town.grow(*spot, rng.uniform(1.2, 2.6))
        across += 5.1 if not double and across > -half_b + 3.0 else rng.uniform(10.5, 12.0)
        double = not double
    for _ in range(int(rng.integers(0, 4))):
        spot = frame.at(rng.uniform(-0.9, 0.9) * half_a, rng.choice([-1.0, 1.0]) * (half_b - 1.0))
        town.put(("container", "skip", "bins", "tarp"), *spot)


def _works(town: Town, block: Block) -> None:
    """Works or shop: halls with a yard, a row of bays, containers, pallets, a green margin."""
    rng = town.rng
    share = rng.uniform(0.40, 0.62)
    kind = "metal" if rng.uniform() < 0.45 else "flat"
    half_v = share * block.half_v
    end = rng.choice([-1.0, 1.0])
    half_u = block.half_u * rng.uniform(0.6, 0.92)
    hall_x = block.x + rng.choice([-1.0, 1.0]) * (block.half_u - half_u)
    hall_y = block.y + float(end) * (block.half_v - half_v)
    yard_y = block.y - float(end) * half_v
    yard_half = block.half_v - half_v
    if rng.uniform() < 0.6:
        edge = block.y - float(end) * (block.half_v - 1.0)
        town.area(block.x, edge, block.half_u, 1.2, "grass")
        for u in np.arange(-block.half_u, block.half_u, 6.0).tolist():
            if rng.uniform() < 0.55:
                town.grow(block.x + u, edge, rng.uniform(1.2, 3.2))
    if yard_half > 5.0:
        row_y = hall_y - float(end) * (half_v + 3.4)
        fill = rng.uniform(0.03, 0.2) * town.busy
        _bays(town, hall_x, row_y, half_u - 1.0, False, fill, rng.uniform() < 0.7)
    for _ in range(int(rng.integers(2, 7))):
        x = block.x + rng.uniform(-0.9, 0.9) * block.half_u
        y = yard_y - float(end) * yard_half * rng.uniform(-0.1, 0.8)
        town.put(("container", "container", "skip", "bins", "pallets", "tarp"), x, y)
    town.build(hall_x, hall_y, half_u, half_v, kind)
    if half_u < 0.8 * block.half_u and rng.uniform() < 0.6:
        free = block.half_u - half_u
        side = -math.copysign(1.0, hall_x - block.x) * (block.half_u - free + 1.0)
        town.build(block.x + side, hall_y, max(1.5, 0.7 * free), 0.6 * half_v, "flat")


def _houses(town: Town, block: Block) -> None:
    """Plots of about 17 m with a house, drive, hedge, garden things and trees."""
    rng = town.rng
    count_u = max(1, round(2.0 * block.half_u / rng.uniform(15.0, 20.0)))
    count_v = max(1, round(2.0 * block.half_v / rng.uniform(17.0, 22.0)))
    half_u, half_v = block.half_u / count_u, block.half_v / count_v
    for i in range(count_u * count_v):
        x = block.x + (2 * (i % count_u) + 1) * half_u - block.half_u
        y = block.y + (2 * (i // count_u) + 1) * half_v - block.half_v
        front = -1.0 if i // count_u < count_v / 2 else 1.0
        side = float(rng.choice([-1.0, 1.0]))
        drive_x = x + side * (half_u - 1.9)
        town.area(
            drive_x, y + front * 0.45 * half_v, 1.6, 0.6 * half_v,
            str(rng.choice(["pavers", "asphalt", "gravel", "concrete"])),
        )  # fmt: skip
        town.area(x, y - front * 0.35 * half_v, 3.0, 1.8, "pavers")
        if rng.uniform() < 0.22 * town.busy:
            town.park(drive_x, y + front * 0.6 * half_v, 0.5 * math.pi)
        for _ in range(int(rng.integers(0, 3))):
            spot = (
                x + rng.uniform(-0.7, 0.7) * half_u,
                y - front * rng.uniform(0.55, 0.85) * half_v,
            )
            town.put(("umbrella", "pool", "tarp", "bins", "pallets"), *spot)
        wide, deep = rng.uniform(0.42, 0.58) * half_u, rng.uniform(0.34, 0.46) * half_v
        roof = "tile" if rng.uniform() < 0.85 else "flat"
        town.build(x - side * 0.3 * half_u, y + front * 0.12 * half_v, wide, deep, roof)
        if rng.uniform() < 0.4:
            town.build(x + side * 0.6 * half_u, y - front * 0.6 * half_v, 1.4, 1.1, "flat")
        if rng.uniform() < 0.7:
            hedge(town.canvas, x - half_u, y, 0.5 * math.pi, half_v - 0.5, 0.5, town.leaf)
        if rng.uniform() < 0.5:
            hedge(
                town.canvas, x - side * 1.7, y + front * half_v, 0.0, half_u - 2.2, 0.5, town.leaf
            )
        for _ in range(int(rng.integers(1, 5))):
            spot = (
                x + rng.uniform(-0.9, 0.9) * half_u,
                y - front * rng.uniform(0.2, 0.95) * half_v,
            )
            town.grow(*spot, rng.uniform(0.7, 2.8))
        if rng.uniform() < 0.35:
            town.grow(x + side * half_u * 0.55, y + front * 0.85 * half_v, rng.uniform(1.4, 3.0))


def _green(town: Town, block: Block) -> None:
    """Park: paths, groves, worn soil, perhaps a market with umbrellas."""
    rng = town.rng
    path = str(rng.choice(["gravel", "asphalt", "pavers"]))
    town.area(block.x + rng.uniform(-0.5, 0.5) * block.half_u, block.y, 1.1, block.half_v, path)
    town.area(block.x, block.y + rng.uniform(-0.5, 0.5) * block.half_v, block.half_u, 1.0, path)
    if rng.uniform() < 0.35:
        cx, cy = block.x + rng.uniform(-0.4, 0.4) * block.half_u, block.y
        town.area(cx, cy, 8.0, 6.0, "pavers")
        for k in range(8):
            town.put(
                ("umbrella", "umbrella", "tarp"), cx - 6.0 + 4.0 * (k % 4), cy - 2.5 + 5 * (k // 4)
            )
    for _ in range(round(block.half_u * block.half_v * 4.0 / rng.uniform(45.0, 160.0))):
        u, v = rng.uniform(-1.0, 1.0, 2)
        town.grow(block.x + u * block.half_u, block.y + v * block.half_v, rng.uniform(1.2, 4.5))


def _field(town: Town, block: Block) -> None:
    """Open ground: wheel tracks, heaps, shrubs, and a few vehicles or containers of a site."""
    rng = town.rng
    for _ in range(3):
        u, angle = rng.uniform(-0.7, 0.7) * block.half_u, rng.normal(0.0, 0.25)
        for k in range(-8, 8):
            for track in (-0.8, 0.8):
                x = block.x + u + track - math.sin(angle) * k * 3.0
                y = block.y + math.cos(angle) * k * 3.0
                if abs(y - block.y) < block.half_v and abs(x - block.x) < block.half_u:
                    shade = (0.10, 0.085, 0.068)
                    town.canvas.box(
                        x, y, angle + 0.5 * math.pi, 1.6, 0.22, shade, wear=0.6, opacity=0.5
                    )
    for _ in range(int(rng.integers(0, 5))):
        u, v = rng.uniform(-0.85, 0.85, 2)
        spot = (block.x + u * block.half_u, block.y + v * block.half_v)
        if rng.uniform() < 0.3 * town.busy:
            town.park(*spot, rng.uniform(0.0, 6.3), room_m=6.0)
        else:
            town.put(("container", "skip", "tarp", "pallets"), *spot)
    for _ in range(int(rng.integers(2, 14))):
        u, v = rng.uniform(-1.0, 1.0, 2)
        town.grow(block.x + u * block.half_u, block.y + v * block.half_v, rng.uniform(0.5, 2.4))
