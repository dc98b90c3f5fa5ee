"""Frosted window panes, drawn: ferns of ice that branch at about 60 degrees.

The published frost is cut out of photographs of frosted windows. These panes stand in for them:
dark bluish glass, haze, and white crystals. They are drawn once a process, from fixed seeds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

_Plane = npt.NDArray[np.float64]
_Point = tuple[float, float]

PLATES = 5
"""Panes to choose from; of its six photographs the published program, too, uses five."""
SIDE_PX = 1024
"""Side of a pane at scale 1."""

_OVERSAMPLING = 2
_LAYERS, _SEEDS_A_LAYER = 4, 8
_STEM_STEP_PX, _BARB_STEP_PX = 6.0, 8.0
_GLASS, _ICE = (0.10, 0.15, 0.23), (0.95, 0.98, 1.0)
_HAZE_CELLS = (5, 12, 40, 160)


@lru_cache(maxsize=2 * PLATES)
def frost_plate(number: int, scale: float) -> Tensor:
    """Return a pane.

    Args:
        number: 0 to `PLATES` - 1.
        scale: At most 1; that of CIFAR-10-C is 0.2.

    Returns:
        ``(3, S, S)`` uint8, S = `SIDE_PX` times the scale.
    """
    pane = _draw_pane(number)
    side = round(SIDE_PX * scale)
    if side != SIDE_PX:
        pane = pane.resize((side, side), Image.Resampling.BOX)
    return torch.from_numpy(np.array(pane)).permute(2, 0, 1).contiguous()


@lru_cache(maxsize=PLATES)
def _draw_pane(number: int) -> Image.Image:
    random = np.random.default_rng(number)
    haze = _haze(random)
    crystals = _crystals(random)
    glow = _soften(crystals, 16)
    ice = 0.55 * haze * (0.25 + glow / glow.max()) + crystals * (0.45 + 0.75 * haze)
    glass, white = np.array(_GLASS), np.array(_ICE)
    colours = glass + ice.clip(0, 1)[..., None] * (white - glass)
    return Image.fromarray(np.uint8(colours * 255 + 0.5))


def _haze(random: np.random.Generator) -> _Plane:
    """Return smooth patches of thinner and thicker ice, 0 to 1."""
    total = np.zeros((SIDE_PX, SIDE_PX))
    for cells in _HAZE_CELLS:
        grid = Image.fromarray(np.float32(random.random((cells, cells))))
        total += np.array(grid.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) / cells**0.4
    return np.asarray((total - total.min()) / np.ptp(total))


def _crystals(random: np.random.Generator) -> _Plane:
    """Return the ferns, 0 to 1, in layers that shine through one another."""
    side = SIDE_PX * _OVERSAMPLING
    clear = np.ones((SIDE_PX, SIDE_PX))
    for layer in range(_LAYERS):
        picture = Image.new("L", (side, side))
        pen = _Pen(ImageDraw.Draw(picture), random)
        for _ in range(_SEEDS_A_LAYER):
            _radiate(pen, random.uniform(0, side, 2), side * (0.2 + 0.06 * layer))
        clear *= 1 - np.asarray(picture.reduce(_OVERSAMPLING), dtype=np.float64) / 255
    return 1 - clear


class _Pen(NamedTuple):
    paper: ImageDraw.ImageDraw
    random: np.random.Generator

    def line(self, start: _Point, angle: float, length: float, shade: float, width: int) -> _Point:
        """Draw a line and return its end."""
        end = start[0] + length * math.cos(angle), start[1] + length * math.sin(angle)
        self.paper.line((*start, *end), fill=int(255 * shade), width=width)
        return end


def _radiate(pen: _Pen, place: npt.NDArray[np.float64], reach: float) -> None:
    """Let ferns grow from one place into a sector."""
    middle, sector = pen.random.uniform(0, 2 * math.pi), pen.random.uniform(0.8, 2 * math.pi)
    for _ in range(int(4 + 2 * sector)):
        angle = middle + pen.random.uniform(-0.5, 0.5) * sector
        length = reach * pen.random.uniform(0.35, 1.0)
        shade = pen.random.uniform(0.3, 0.9)
        _grow(pen, (float(place[0]), float(place[1])), angle, length, shade)


def _grow(pen: _Pen, place: _Point, angle: float, length: float, shade: float) -> None:
    """Draw one fern: a bent stem, and needles on both sides."""
    step = _STEM_STEP_PX * _OVERSAMPLING
    count = int(length / step)
    bend, spread = pen.random.normal(0, 0.012), pen.random.uniform(0.7, 1.1)
    for number in range(count):
        left = 1 - number / count
        angle += bend + pen.random.normal(0, 0.03)
        ahead = pen.line(place, angle, step, shade * (0.5 + 0.5 * left), 2 + round(3 * left))
        for side in (-1, 1):
            turned = angle + side * (spread + pen.random.normal(0, 0.06))
            needle = length * 0.28 * left**0.7 * pen.random.uniform(0.15, 1.0)
            _needle(pen, place, turned, needle, spread, shade)
        place = ahead


def _needle(
    pen: _Pen, place: _Point, angle: float, length: float, spread: float, shade: float
) -> None:
    """Draw a needle with barbs on both sides."""
    pen.line(place, angle, length, shade * 0.8, 2)
    gap = _BARB_STEP_PX * _OVERSAMPLING
    for number in range(1, int(length / gap)):
        start = place[0] + number * gap * math.cos(angle), place[1] + number * gap * math.sin(angle)
        for side in (-1, 1):
            barb = 0.35 * (length - number * gap) * pen.random.uniform(0.1, 1.0)
            pen.line(start, angle + side * spread, barb, shade * 0.55, 1)


def _soften(picture: _Plane, cell_px: int) -> _Plane:
    """Return the picture without detail below some pixels."""
    small = Image.fromarray(np.float32(picture)).reduce(cell_px)
    return np.array(small.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC), dtype=np.float64)
