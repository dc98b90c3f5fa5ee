"""Buildings of the aerial scene: façades, pitched tile roofs, flat and metal roofs, solar cells.

Every function paints at a layout position in metres, the long axis along `angle` (radians from
the layout's x axis); albedo is linear light.
"""

from __future__ import annotations

import math

import numpy as np

from raw2logit.datasets.synthetic._drone_canvas import Canvas, Colour, Image, box_distance, mix


def building(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    y: float,
    angle: float,
    half_u: float,
    half_v: float,
    kind: str,
) -> None:
    """Paint a building with the façades that the lens sees; `kind`: tile, flat or metal."""
    eaves = rng.uniform(3.0, 6.0) if kind == "tile" else rng.uniform(4.0, 9.0)
    # Sheds and garages are low.
    eaves = min(eaves, 1.3 + 0.9 * half_v)
    wall = np.asarray(rng.uniform(0.25, 0.6) * np.array([1.0, 0.95, 0.87]), np.float32)
    # A camera 90 m up sees roofs pushed outwards from the middle of the frame.
    lean = eaves / max(90.0, 2.2 * math.hypot(x, y))
    lean_x, lean_y = x * lean, y * lean
    c, s = math.cos(angle), math.sin(angle)
    lean_u, lean_v = c * lean_x + s * lean_y, c * lean_y - s * lean_x
    reach = max(abs(lean_u), abs(lean_v))
    patch = canvas.patch(x, y, angle, half_u + reach, half_v + reach)
    if patch is not None:
        u, v = patch.u, patch.v
        walls = ((u, v, half_u, half_v, lean_u, lean_v), (v, u, half_v, half_u, lean_v, lean_u))
        for across, along, half_a, half_b, lean_a, lean_b in walls:
            if abs(lean_a) < 0.05:
                continue
            climb = (across + math.copysign(half_a, lean_a)) / lean_a
            offset = along - lean_b * climb
            far = np.maximum((np.abs(climb - 0.5) - 0.5) * abs(lean_a), np.abs(offset) - half_b)
            bay = np.abs(np.mod(offset, 2.6) - 1.3)
            floor = np.abs(np.mod(climb * eaves, 2.9) - 1.6)
            pane = canvas.cover(np.maximum(bay - 0.55, (floor - 0.6) * abs(lean_a) / eaves))
            face = mix(np.broadcast_to(wall, (*u.shape, 3)), 0.8 * pane, (0.05, 0.055, 0.065))
            canvas.paint(patch, canvas.cover(far), face, np.clip(climb, 0.0, 1.0) * eaves)
    roof_x, roof_y = x + lean_x, y + lean_y
    # Discs along the ridge tell the trees where they cannot stand.
    for k in range(-2, 3):
        ridge = 0.5 * k * max(0.0, half_u - half_v)
        canvas.roofs.append((roof_x + c * ridge, roof_y + s * ridge, half_v))
    if kind == "tile":
        _tile_roof(canvas, rng, roof_x, roof_y, angle, half_u, half_v, eaves)
    else:
        _flat_roof(canvas, rng, roof_x, roof_y, angle, half_u, half_v, eaves, kind == "metal")


def _tile_roof(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    y: float,
    angle: float,
    half_u: float,
    half_v: float,
    eaves: float,
) -> None:
    """Paint a pitched roof, ridge along u, with chimney, roof windows and sometimes solar cells."""
    tiles = ((0.17, 0.085, 0.06), (0.12, 0.06, 0.045), (0.075, 0.072, 0.075), (0.13, 0.10, 0.085))
    tone = np.asarray(tiles[int(rng.integers(4))], np.float32) * rng.uniform(0.8, 1.15)
    pitch, hip = rng.uniform(0.45, 0.85), rng.uniform() < 0.3
    patch = canvas.patch(x, y, angle, half_u + 0.4, half_v + 0.4)
    if patch is None:
        return
    at = (patch.rows, patch.cols)
    u, v = patch.u, patch.v
    from_eaves = half_v + 0.3 - np.abs(v)
    if hip:
        from_eaves = np.minimum(from_eaves, half_u + 0.3 - np.abs(u))
    rows = np.sin(from_eaves * (2.0 * math.pi / 0.36))
    light = 1.0 + 0.09 * rows + 0.08 * canvas.grain[at] + 0.07 * canvas.fine[at]
    light += 0.06 * canvas.mid[at] - 0.25 * canvas.cover(np.abs(v) - 0.10)
    far = box_distance(u, v, half_u + 0.3, half_v + 0.3)
    canvas.paint(patch, canvas.cover(far), tone * light[..., None], eaves + pitch * from_eaves)
    top = eaves + pitch * half_v
    c, s = math.cos(angle), math.sin(angle)

    def place(pu: float, pv: float, hu: float, hv: float, colour: Colour, high: float) -> None:
        canvas.box(x + c * pu - s * pv, y + s * pu + c * pv, angle, hu, hv, colour, high)

    place(rng.uniform(-0.6, 0.6) * half_u, 0.5, 0.35, 0.3, (0.13, 0.08, 0.065), top + 0.5)
    for _ in range(int(rng.integers(0, 4))):
        pu, pv = rng.uniform(-0.75, 0.75) * half_u, rng.choice([-0.5, 0.5]) * half_v
        place(pu, pv, 0.4, 0.55, (0.04, 0.045, 0.055), top - 0.5 * pitch * half_v + 0.1)
    if rng.uniform() < 0.15:
        _solar(canvas, x - s * 0.5 * half_v, y + c * 0.5 * half_v, angle, 0.7 * half_u, 1.6)


def _solar(canvas: Canvas, x: float, y: float, angle: float, half_u: float, half_v: float) -> None:
    """Paint an array of solar modules with pale frames onto whatever roof is there."""
    patch = canvas.patch(x, y, angle, half_u, half_v)
    if patch is None:
        return
    gap_u = np.abs(np.mod(patch.u, 1.05) - 0.525)
    gap_v = np.abs(np.mod(patch.v + half_v, 1.65) - 0.825)
    frame = canvas.cover(np.minimum(0.49 - gap_u, 0.79 - gap_v))
    tone = mix(np.full((*patch.u.shape, 3), (0.024, 0.029, 0.045), np.float32), frame, (0.25,) * 3)
    canvas.paint(patch, canvas.cover(box_distance(patch.u, patch.v, half_u, half_v)), tone)


def _flat_roof(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    y: float,
    angle: float,
    half_u: float,
    half_v: float,
    eaves: float,
    metal: bool,
) -> None:
    """Paint a gravel or ribbed metal roof with parapet, skylights, vents and solar cells."""
    base = rng.uniform(0.10, 0.36) if metal else rng.uniform(0.06, 0.27)
    warm = rng.uniform(-0.05, 0.10)
    tone = np.asarray([base * (1 + warm), base, base * (1 - warm)], np.float32)
    patch = canvas.patch(x, y, angle, half_u, half_v)
    if patch is None:
        return
    at = (patch.rows, patch.cols)
    far = box_distance(patch.u, patch.v, half_u, half_v)
    stains = 0.07 * canvas.mid[at] + 0.06 * canvas.wide[at] + 0.05 * canvas.clump[at]
    if metal:
        ribs = np.sin(patch.v * (2.0 * math.pi / 0.5))
        light = 1.0 + 0.07 * ribs + 0.03 * canvas.grain[at] + stains
        high: Image = eaves + 0.08 * (half_v - np.abs(patch.v))
    else:
        light = 1.0 + 0.20 * canvas.grain[at] + 0.10 * canvas.fine[at] + stains
        high = eaves + 0.5 * canvas.cover(-far - 0.35)
        light = light + 0.5 * canvas.cover(-far - 0.35)
    canvas.paint(patch, canvas.cover(far), tone * light[..., None], high, 0.06 * metal)
    c, s = math.cos(angle), math.sin(angle)
    along, pitch_m = rng.uniform(-0.6, 0.6) * half_v, rng.uniform(4.5, 8.0)
    dome = np.asarray([0.30, 0.33, 0.36], np.float32) * rng.uniform(0.5, 1.5)
    size_u, size_v = rng.uniform(0.6, 2.2), rng.uniform(0.6, 0.95)
    for k in range(int(2.0 * (half_u - 2.0) / pitch_m)):
        pu = (k + 0.7) * pitch_m - half_u
        top = eaves + 0.5
        canvas.box(
            x + c * pu - s * along, y + s * pu + c * along, angle, size_u, size_v, dome, top, 0.1
        )
    vents = int(rng.integers(0, 5)) if half_v > 2.5 else 0
    for _ in range(vents):
        pu, pv = rng.uniform(-0.85, 0.85) * half_u, rng.uniform(-0.85, 0.85) * half_v
        half = rng.uniform(0.2, 1.1)
        grey = (rng.uniform(0.08, 0.4),) * 3
        px, py = x + c * pu - s * pv, y + s * pu + c * pv
        canvas.box(px, py, angle, half, 0.7 * half, grey, eaves + rng.uniform(0.5, 1.5), 0.1)
    if rng.uniform() < 0.25 and half_v > 2.5:
        side = -math.copysign(0.45, along) * half_v
        _solar(canvas, x - s * side, y + c * side, angle, 0.6 * half_u, min(3.3, 0.4 * half_v))
