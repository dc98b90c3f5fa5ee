"""Stained blood smears in linear light: nine kinds of white blood cells among red ones.

A scene is a set of optical-density planes, one per stain. Transmitted light follows Beer-Lambert,
`light = illumination * exp(-sum(density * absorption))`, and is blurred by the objective. Nothing
of the camera is here. All lengths are field units (`FIELD` across), so one seed shows one field of
view at any pixel count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from raw2logit.datasets.synthetic._shapes import (
    FIELD,
    Patch,
    Plane,
    blob_depth,
    smooth_noise,
    soft_inside,
)
from raw2logit.datasets.synthetic._stains import ABSORPTION, Stain
from raw2logit.datasets.synthetic._white_cells import (
    RECIPES,
    Point,
    Recipe,
    draw_white_cell,
    unclear_recipe,
)

# White cells common enough to share a field with the target.
_GUESTS = ("NGS", "LYT", "MON", "KSC")

# Below this many pixels a tile is drawn larger and averaged, as pixels average light.
_FINEST_DIRECT = 128


@dataclass(frozen=True)
class Slide:
    """What all cells of one zone of a slide share.

    Attributes:
        absorption: Optical density in linear RGB per unit of each stain, 7 rows.
        illumination: Linear RGB of the empty field.
        tilt: Relative change of illumination from the middle to the right and lower edge.
        vignette: Relative loss of light in the corners.
        haze: Plasma stain on the background, as density of pink.
        focus_sigma: Standard deviation of the point spread, field units.
        red_count: Red cells per field before the target's place is cleared.
        red_radius: Mean red cell radius, field units.
        red_spread: Relative standard deviation of the red cell radius.
        red_deform: Relative outline deformation of red cells.
        red_overlap: 0 where red cells press against each other, 1 where they lie on one another.
        pallor: Depth of the pale centre, 0 flat to 1 empty.
        rim: Strength of the bright refraction line around red cells.
        crowding: How close red cells come to white ones, 0 far to 1 touching.
        cell_scale: Relative size of white cells, as they spread in the smear.
        platelets: Expected platelets per field.
        dirt: Expected dirt particles per field.
    """

    absorption: tuple[tuple[float, ...], ...]
    illumination: tuple[float, float, float]
    tilt: Point
    vignette: float
    haze: float
    focus_sigma: float
    red_count: int
    red_radius: float
    red_spread: float
    red_deform: float
    red_overlap: float
    pallor: float
    rim: float
    crowding: float
    cell_scale: float
    platelets: float
    dirt: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Slide:
        """Draw one zone of a slide.

        Args:
            rng: Source of all randomness.
        """
        strength = rng.uniform(0.82, 1.18) * rng.uniform(0.88, 1.12, (7, 1))
        hue = rng.normal(1, 0.05, (7, 3)) * rng.normal(1, (0.10, 0.04, 0.12), 3)
        thick = rng.beta(1.1, 1.4)
        lamp = rng.uniform(0.83, 0.94)
        return cls(
            absorption=tuple(map(tuple, (ABSORPTION * strength * hue).tolist())),
            illumination=(
                lamp * rng.uniform(0.96, 1.02),
                lamp * rng.uniform(0.95, 1.0),
                lamp * rng.uniform(0.95, 1.03),
            ),
            tilt=(rng.normal(0, 0.025), rng.normal(0, 0.025)),
            vignette=rng.uniform(0, 0.08),
            haze=rng.uniform(0, 0.06),
            focus_sigma=0.6 + rng.gamma(2.0, 0.2),
            red_count=int(15 + 19 * thick),
            red_radius=rng.uniform(21, 27),
            red_spread=rng.uniform(0.04, 0.12),
            red_deform=rng.uniform(0.025, 0.085),
            red_overlap=rng.beta(0.7, 0.7),
            pallor=rng.beta(0.8, 1.2) * 0.85,
            rim=rng.uniform(0.02, 0.14),
            crowding=rng.uniform(0.2, 1.0) ** (1 - 0.5 * thick),
            cell_scale=rng.normal(1, 0.05),
            platelets=rng.gamma(1.0, 0.8),
            dirt=rng.gamma(0.8, 1.0),
        )


def _place_red_cells(
    slide: Slide, keep_out: list[tuple[Point, float]], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scatter red cells and let them push each other apart and away from the white cells.

    Args:
        slide: Gives number, size and overlap.
        keep_out: Centre and radius of every circle they have to leave, field units.
        rng: Source of all randomness.

    Returns:
        Centres (k, 2) and radii (k,), field units; some lie just outside the field.
    """
    margin = 30.0
    # The count is per field; the margin around it holds its share.
    count = round(slide.red_count * (1 + 2 * margin / FIELD) ** 2)
    place = rng.uniform(-margin, FIELD + margin, (count, 2))
    radius = slide.red_radius * np.clip(rng.normal(1, slide.red_spread, count), 0.7, 1.3)
    wanted = (radius[:, None] + radius) * (0.95 - 0.35 * slide.red_overlap)
    np.fill_diagonal(wanted, 0)
    for _ in range(10):
        apart = place[:, None] - place
        distance = np.sqrt((apart**2).sum(-1)) + 1e-3
        push = np.maximum(wanted - distance, 0) / distance
        place = place + 0.3 * (apart * push[..., None]).sum(1)
        for centre, room in keep_out:
            away = place - centre
            reach = np.sqrt((away**2).sum(-1)) + 1e-3
            short = np.maximum(room + 0.93 * radius - reach, 0)
            place = place + away * (short / reach)[:, None]
    near = ((place > -radius[:, None]) & (place < FIELD + radius[:, None])).all(1)
    return place[near], radius[near]


def _draw_red_cells(
    density: Plane,
    slide: Slide,
    place: NDArray[np.float64],
    radius: NDArray[np.float64],
    rng: np.random.Generator,
) -> Plane:
    """Add red cells to their density plane; return how deep each pixel lies inside one, (n, n)."""
    count = density.shape[-1]
    shape = (count, count)
    deepest = np.full(shape, -99, np.float32)
    second = np.full(shape, -99, np.float32)
    highest, total = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    orders = np.array([1.0, 0.6, 0.3])
    waves = rng.normal(0, slide.red_deform, (len(radius), 3, 2)) * orders[:, None]
    harmonics = (waves[..., 0] + 1j * waves[..., 1]).astype(np.complex64)
    amounts = rng.normal(1, 0.07, len(radius))
    pallors = np.clip(slide.pallor + rng.normal(0, 0.1, len(radius)), 0, 0.9)
    # As Python's numbers, which leave arrays in single precision.
    cells = zip(place.tolist(), radius.tolist(), amounts.tolist(), pallors.tolist(), strict=True)
    for wave, ((x, y), size, amount, pallor) in zip(harmonics, cells, strict=True):
        patch = Patch.around(count, (x, y), size * 1.3 + 3)
        depth = blob_depth(patch.y, patch.x, size, wave)
        window = (patch.rows, patch.cols)
        inner = np.clip(depth * np.float32(1 / (0.85 * size)), 0, 1)
        # A biconcave disc: thin at its very edge, thickest in a ring, paler in the middle.
        ring = inner * inner * (3 - 2 * inner)
        thickness = soft_inside(depth - 1, 4.0) * (0.90 + 0.14 * ring - pallor * ring * inner)
        thickness *= amount
        second[window] = np.maximum(second[window], np.minimum(deepest[window], depth))
        deepest[window] = np.maximum(deepest[window], depth)
        highest[window] = np.maximum(highest[window], thickness)
        total[window] += thickness
    overlap = np.float32(slide.red_overlap)
    seam = np.exp(-(((deepest - second) * np.float32(0.7)) ** 2)) * (second > 0)
    pressed = highest * (1 - np.float32(0.35) * seam)
    pressed += (total - highest) * np.float32(0.15)
    density[Stain.RED_CELL] += (1 - overlap) * pressed + overlap * (0.35 * highest + 0.65 * total)
    # Light is bent out of the steep edge into a bright line just beside it.
    density[Stain.DIRT] -= np.float32(slide.rim) * np.exp(-(((deepest + 1.5) / 1.3) ** 2))
    return deepest


def _draw_litter(density: Plane, slide: Slide, target: Point, rng: np.random.Generator) -> None:
    """Add platelets, dirt and refractile grains, away from the target cell."""
    count = density.shape[-1]
    for kind, expected in ((Stain.NUCLEUS, slide.platelets), (Stain.DIRT, slide.dirt)):
        for _ in range(int(rng.poisson(expected))):
            x, y = rng.uniform(0, FIELD, 2)
            size = rng.uniform(4, 8) if kind == Stain.NUCLEUS else rng.uniform(1.5, 5)
            patch = Patch.around(count, (x, y), 2.2 * size)
            noise = smooth_noise(rng, patch, 2.5)
            depth = blob_depth(patch.y, patch.x, size, np.array([0.12, 0.08], np.complex64))
            spot = soft_inside(depth + 0.8 * noise, 2.5)
            if np.hypot(x - target[0], y - target[1]) < 45:
                continue
            window = (patch.rows, patch.cols)
            if kind == Stain.NUCLEUS:
                density[Stain.NUCLEUS][window] += spot * np.maximum(0.16 + 0.09 * noise, 0)
                density[Stain.PINK][window] += 0.2 * spot
            else:  # a grain bends light: dark outline, bright middle
                outline = np.exp(-((depth / 1.5) ** 2))
                density[Stain.DIRT][window] += (0.9 * outline - 0.25 * spot) * (0.6 + 0.4 * noise)


def render_cell(
    code: str, slide: Slide, rng: np.random.Generator, size: int = 256
) -> NDArray[np.float32]:
    """Render one field of view with a white blood cell near its middle.

    Args:
        code: Class of the cell: BAS, EOS, KSC, LYA, LYT, MON, NGB, NGS or UNC.
        slide: What the field shares with its zone of the slide.
        rng: Source of all randomness; equal states give equal bytes.
        size: Pixels along one side, 32 to 512; the field of view is the same at every size.

    Returns:
        (size, size, 3) linear-light sRGB in [0, 1]; the empty field is about 0.8 to 0.95.

    Raises:
        ValueError: If the code or the size is not among those above.
    """
    if code != "UNC" and code not in RECIPES:
        raise ValueError(f"code must be one of {(*RECIPES, 'UNC')}, got {code!r}")
    if not 32 <= size <= 512:
        raise ValueError(f"size must be 32 to 512 pixels, got {size}")
    factor = -(-_FINEST_DIRECT // size)
    count = size * factor

    recipe, defocus, covered = unclear_recipe(rng) if code == "UNC" else (RECIPES[code], 0.0, False)
    x, y = FIELD / 2 + rng.triangular(-0.12, 0, 0.12, 2) * FIELD
    centre = (float(x), float(y))
    radius = rng.uniform(*recipe.radius) * slide.cell_scale
    gap = rng.uniform(*recipe.gap) + 0.15 * (1 - slide.crowding)
    keep_out = [(centre, radius * (1 + gap))]
    guest: tuple[Recipe, Point, float] | None = None
    if rng.random() < 0.08:
        other = RECIPES[_GUESTS[rng.integers(len(_GUESTS))]]
        turn = rng.uniform(0, 2 * np.pi)
        spot = FIELD / 2 + rng.uniform(118, 150) * np.array([np.cos(turn), np.sin(turn)])
        guest = (other, (float(spot[0]), float(spot[1])), rng.uniform(*other.radius))
        keep_out.append((guest[1], guest[2]))

    density = np.zeros((len(ABSORPTION), count, count), np.float32)
    places, radii = _place_red_cells(slide, keep_out, rng)
    red_depth = _draw_red_cells(density, slide, places, radii, rng)
    _draw_litter(density, slide, centre, rng)
    if guest:
        draw_white_cell(density, guest[0], guest[1], guest[2], red_depth, rng)
    draw_white_cell(density, recipe, centre, radius, red_depth, rng)
    if covered:
        lid = centre[0] + rng.normal(0, 14), centre[1] + rng.normal(0, 14)
        patch = Patch.around(count, lid, 45)
        depth = blob_depth(patch.y, patch.x, rng.uniform(20, 34), np.zeros(1, np.complex64))
        depth += 3 * smooth_noise(rng, patch, 9)
        stain = Stain.RED_CELL if rng.random() < 0.5 else Stain.NUCLEUS
        density[stain, patch.rows, patch.cols] += 0.8 * soft_inside(depth, 4)
    return _image(density, slide, defocus, factor)


def _image(density: Plane, slide: Slide, defocus: float, factor: int) -> NDArray[np.float32]:
    """Turn stain into light, blur it as the objective does and average `factor`^2 samples."""
    count = density.shape[-1]
    density[Stain.PINK] += np.float32(slide.haze)
    absorption = np.asarray(slide.absorption, np.float32)
    # Not a matrix product, whose threads and rounding depend on the machine.
    light = np.exp(-np.einsum("sc,sij->cij", absorption, density))
    axis = (np.arange(count, dtype=np.float32) + 0.5) * np.float32(2 / count) - 1
    uneven = 1 + slide.tilt[0] * axis + slide.tilt[1] * axis[:, None]
    uneven -= np.float32(slide.vignette / 2) * (axis**2 + axis[:, None] ** 2)
    light *= np.asarray(slide.illumination, np.float32)[:, None, None] * uneven
    sigma = float(np.hypot(slide.focus_sigma, defocus)) * count / FIELD
    for dimension in (1, 2):
        light = gaussian_filter1d(light, sigma, dimension, mode="nearest", truncate=3.0)
    if factor > 1:
        size = count // factor
        light = light.reshape(3, size, factor, size, factor).mean((2, 4))
    return np.ascontiguousarray(np.clip(light, 0, 1).transpose(1, 2, 0))
