"""White blood cells of a stained smear: how each kind looks and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raw2logit.datasets.synthetic._nuclei import nucleus_discs
from raw2logit.datasets.synthetic._shapes import (
    Patch,
    Plane,
    blob_depth,
    chain_depth,
    smooth_noise,
    soft_inside,
    stamp_discs,
)
from raw2logit.datasets.synthetic._stains import Stain

Range = tuple[float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """How one kind of white cell looks; pairs are uniform ranges, lengths relative or field units.

    Attributes:
        radius: Cell radius, field units.
        nucleus: Which arrangement of `nucleus_discs` the nucleus takes.
        fill: Extent of the nucleus relative to the cell radius.
        density: Stain of the nucleus.
        chromatin: Relative contrast of the chromatin's coarse clumps.
        lace: Relative contrast of fine chromatin strands.
        blue: Basophilia of the cytoplasm.
        pink: Eosin of the cytoplasm.
        fine_grain: Contrast of fine neutrophil granules.
        ragged: Irregularity of the outlines.
        eccentric: Displacement of the nucleus relative to the free room.
        granules: Number of coarse granules.
        granule_stain: Stain plane of the coarse granules.
        granule_radius: Their radius, field units.
        granule_cover: Their visibility above the nucleus.
        vacuoles: Expected number of vacuoles.
        gap: Room that red cells keep, relative to the cell radius; negative if they indent it.
        body: Whether cytoplasm is left.
    """

    radius: Range
    nucleus: str
    fill: Range
    density: Range = (0.85, 1.1)
    chromatin: float = 0.18
    lace: float = 0.10
    blue: Range = (0.1, 0.3)
    pink: Range = (0.0, 0.1)
    fine_grain: Range = (0.0, 0.0)
    ragged: Range = (0.02, 0.05)
    eccentric: Range = (0.2, 0.9)
    granules: Range = (0, 0)
    granule_stain: int = Stain.GRANULE
    granule_radius: Range = (2.0, 3.2)
    granule_cover: float = 0.5
    vacuoles: float = 0.0
    gap: Range = (0.0, 0.25)
    body: bool = True


_NEUTROPHIL = Recipe(
    radius=(36, 44),
    nucleus="segmented",
    fill=(0.74, 0.88),
    density=(0.9, 1.2),
    chromatin=0.22,
    blue=(0.0, 0.10),
    pink=(0.2, 0.48),
    fine_grain=(0.3, 0.8),
    eccentric=(0.0, 0.8),
)
RECIPES: dict[str, Recipe] = {
    "BAS": Recipe(
        radius=(34, 43),
        nucleus="clump",
        fill=(0.66, 0.82),
        density=(0.45, 0.72),
        blue=(0.0, 0.2),
        pink=(0.1, 0.25),
        ragged=(0.03, 0.07),
        granules=(130, 300),
        granule_stain=Stain.BASOPHILIC,
        granule_radius=(1.6, 3.1),
        granule_cover=0.9,
    ),
    "EOS": Recipe(
        radius=(37, 46),
        nucleus="bilobed",
        fill=(0.66, 0.82),
        density=(0.75, 1.05),
        blue=(0.0, 0.2),
        pink=(0.1, 0.3),
        eccentric=(0.2, 1.0),
        granules=(180, 340),
        granule_radius=(2.1, 3.4),
        granule_cover=0.22,
    ),
    "KSC": Recipe(
        radius=(34, 50),
        nucleus="smear",
        fill=(0.85, 1.25),
        density=(0.4, 1.0),
        chromatin=0.25,
        lace=0.18,
        ragged=(0.05, 0.16),
        eccentric=(0.0, 0.5),
        gap=(0.05, 0.55),
        body=False,
    ),
    "LYA": Recipe(
        radius=(38, 53),
        nucleus="irregular",
        fill=(0.62, 0.80),
        density=(0.75, 1.05),
        chromatin=0.2,
        lace=0.12,
        blue=(0.35, 0.85),
        ragged=(0.05, 0.12),
        vacuoles=0.4,
        gap=(-0.22, 0.0),
    ),
    "LYT": Recipe(
        radius=(29, 39),
        nucleus="round",
        fill=(0.78, 0.93),
        density=(0.9, 1.2),
        chromatin=0.24,
        blue=(0.15, 0.5),
        eccentric=(0.5, 1.1),
        gap=(-0.05, 0.25),
    ),
    "MON": Recipe(
        radius=(42, 55),
        nucleus="kidney",
        fill=(0.72, 0.90),
        density=(0.62, 0.92),
        chromatin=0.16,
        lace=0.24,
        blue=(0.28, 0.62),
        pink=(0.05, 0.2),
        fine_grain=(0.05, 0.3),
        ragged=(0.04, 0.12),
        vacuoles=1.8,
        gap=(-0.08, 0.2),
    ),
    "NGB": replace(_NEUTROPHIL, nucleus="band"),
    "NGS": _NEUTROPHIL,
}


def _scatter(rng: np.random.Generator, count: int, reach: float, radius: Range) -> Plane:
    """Draw discs evenly over a circle: (count, 3) rows of x, y and radius."""
    away = reach * np.sqrt(rng.random(count))
    turn = rng.uniform(0, 2 * np.pi, count)
    size = rng.uniform(*radius, count)
    return np.stack([away * np.cos(turn), away * np.sin(turn), size], axis=1).astype(np.float32)


def draw_white_cell(
    density: Plane,
    recipe: Recipe,
    centre: Point,
    radius: float,
    red_depth: Plane,
    rng: np.random.Generator,
) -> None:
    """Add one white cell to the optical-density planes, in place.

    Args:
        density: (7, n, n) planes in the order of `Stain`.
        recipe: How its kind looks.
        centre: (x, y) of the cell, field units.
        radius: Cell radius, field units.
        red_depth: (n, n) depth inside the nearest red cell, field units.
        rng: Source of all randomness.
    """
    patch = Patch.around(density.shape[-1], centre, radius * (1.45 if recipe.body else 2.0))
    window = (patch.rows, patch.cols)
    pick = rng.uniform
    ragged = pick(*recipe.ragged) * radius
    bend = smooth_noise(rng, patch, radius * 0.5), smooth_noise(rng, patch, radius * 0.5)
    fray = smooth_noise(rng, patch, 5.0)
    y, x = patch.y + ragged * bend[0], patch.x + ragged * bend[1]
    grain, strands = smooth_noise(rng, patch, 1.7), smooth_noise(rng, patch, 4.2)
    waves = rng.normal(0, 0.03, (3, 2))
    body = blob_depth(y, x, radius, (waves[:, 0] + 1j * waves[:, 1]).astype(np.complex64))
    # Red cells that lie closer than the free cell's outline dent it.
    body = np.minimum(body + 0.4 * ragged * fray, -1.5 - red_depth[window])
    inside = soft_inside(body, 2.5)

    discs, blend = nucleus_discs(recipe.nucleus, rng)
    fill = pick(*recipe.fill)
    extent = fill * radius
    discs *= np.float32(extent)
    turn, shift = pick(0, 2 * np.pi), (radius - extent) * pick(*recipe.eccentric)
    discs[:, :2] += np.array([shift * np.cos(turn), shift * np.sin(turn)], np.float32)
    warp = 0.5 if recipe.body else 1.0
    nucleus_y, nucleus_x = patch.y + warp * ragged * bend[1], patch.x - warp * ragged * bend[0]
    depth = chain_depth(nucleus_y, nucleus_x, discs, blend * extent)
    depth += np.float32(0.5 + (0 if recipe.body else 0.35 * ragged)) * fray
    nucleus = soft_inside(depth, 2.6 if recipe.body else 3.5)
    if recipe.body:
        nucleus *= soft_inside(body - 1, 2.5)
    # Strands lie where two noises agree; tanh keeps the gaps between them from looking like holes.
    lace = recipe.lace * (0.8 - 1.6 * np.tanh(np.abs(fray - strands)))
    clumps = recipe.chromatin * np.tanh(strands) + lace
    thickness = 0.82 + 0.26 * np.clip(depth / 9, 0, 1)
    stain = thickness * (1 + clumps + 0.8 * recipe.lace * grain)
    density[Stain.NUCLEUS][window] += pick(*recipe.density) * nucleus * stain

    if recipe.body:
        density[Stain.RED_CELL][window] *= 1 - inside
        edge = 1 + 0.5 * np.exp(-((np.maximum(body, 0) / 3) ** 2))
        hof = 1 - 0.45 * np.exp(-((np.minimum(depth + 4, 0) / 5) ** 2)) * (bend[1] > 0)
        patchy = 1 + 0.22 * strands + 0.12 * grain
        bare = inside * (1 - 0.7 * nucleus)
        density[Stain.BLUE][window] += pick(*recipe.blue) * bare * edge * hof * patchy
        speckle = 1 + pick(*recipe.fine_grain) * (1.5 * np.maximum(grain, 0) - 0.3)
        density[Stain.PINK][window] += pick(*recipe.pink) * bare * speckle
    else:
        _draw_debris(density, patch, depth, radius, rng)

    holes = int(rng.poisson(recipe.vacuoles))
    if holes:
        spots = _scatter(rng, holes, 0.85 * radius, (2.0, 4.5))
        clear = 1 - stamp_discs(patch, spots, np.full(holes, 0.8, np.float32)) * (1 - nucleus)
        density[:, patch.rows, patch.cols] *= clear
    count = int(pick(*recipe.granules))
    if count:
        seen = (1 - (1 - recipe.granule_cover) * nucleus) * soft_inside(body + 1, 3)
        spots = _scatter(rng, count, 1.05 * radius, recipe.granule_radius)
        heights = rng.uniform(0.35, 1.0, count).astype(np.float32)
        # Granules above and below the focus tint the whole cell.
        tint = np.float32(pick(0.04, 0.2))
        density[recipe.granule_stain][window] += (stamp_discs(patch, spots, heights) + tint) * seen


def _draw_debris(
    density: Plane, patch: Patch, depth: Plane, radius: float, rng: np.random.Generator
) -> None:
    """Add the torn halo of a broken cell: thin smear and grains that fade with distance."""
    window = (patch.rows, patch.cols)
    wisps = smooth_noise(rng, patch, 9.0) + 0.7 * smooth_noise(rng, patch, 2.0)
    fade = np.exp(np.minimum(depth, 0) / np.float32(0.28 * radius))
    density[Stain.RED_CELL][window] *= 1 - soft_inside(depth + 3, 5)
    density[Stain.NUCLEUS][window] += rng.uniform(0.02, 0.12) * fade * np.maximum(0.6 + wisps, 0)
    count = int(rng.integers(30, 140))
    spots = _scatter(rng, count, 1.6 * radius, (0.5, 1.4))
    heights = rng.uniform(0.05, 0.3, count).astype(np.float32)
    density[Stain.NUCLEUS][window] += stamp_discs(patch, spots, heights) * np.minimum(1.5 * fade, 1)


def unclear_recipe(rng: np.random.Generator) -> tuple[Recipe, float, bool]:
    """Draw a cell that no expert would name.

    Returns:
        Its recipe, extra defocus in field units, and whether something covers it.
    """
    donor = RECIPES[str(rng.choice(list(RECIPES)))]
    mode = rng.choice(4, p=[0.4, 0.25, 0.2, 0.15])
    if mode == 0:
        dense = replace(RECIPES["LYT"], radius=(31, 41), fill=(0.9, 1.0), density=(1.1, 1.4))
        return replace(dense, pink=(0.1, 0.3), lace=0.2, ragged=(0.02, 0.09)), 0.0, False
    if mode == 1:
        return donor, rng.uniform(2.2, 4.0), False
    if mode == 2:
        return donor, rng.uniform(0, 1), True
    return replace(donor, ragged=(0.16, 0.26), density=(0.3, 0.6), gap=(-0.3, 0.1)), 0.5, False
