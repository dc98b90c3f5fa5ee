"""Points of a photon transfer curve: mean and variance of small blocks of a picture.

A point is one colour filter site of a block, so that colours never mix, shading spreads the
levels, and dust or an edge spoils few points.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit.camera import FULL_SCALE_DN, Camera
from raw2logit.errors import InputError

_BLOCK_SITES = 32
"""Height and width of a block, in pixels of one colour filter site."""
_MIN_SIZE = 16

_OVERLAP = 2.25
"""How many times less their squares tell than independent ones would, for second differences.

Each shares pixels with its neighbours: 1 + 2 (1/2)^2 along each of two axes.
"""

_MAX_LEVEL_CHANGE = 0.05

_HOT = 5.0
"""Standard deviations from its neighbours by which no pixel strays, but a hot one does."""
_TRIMMED = 0.05
"""Share of the pixels at either end that has no part in a black level."""

FloatArray = npt.NDArray[np.float64]


class Region(NamedTuple):
    """A part of a picture in pixels, all four even.

    Attributes:
        row: Of its top left pixel.
        column: Of its top left pixel.
        height: Number of rows, at least 16.
        width: Number of columns, at least 16.
    """

    row: int
    column: int
    height: int
    width: int


class Points(NamedTuple):
    """Points of a photon transfer curve, each field ``(P,)``.

    Attributes:
        mean: Digital numbers of 16 bits above black.
        variance: Its square unit.
        samples: As many independent values with a known mean would tell the variance as well.
    """

    mean: FloatArray
    variance: FloatArray
    samples: FloatArray


def pair_points(first: Tensor, second: Tensor, camera: Camera, region: Region | None) -> Points:
    """Return points from the difference of two pictures of one scene."""
    if first.shape != second.shape:
        raise InputError(
            f"a pair of pictures of {tuple(first.shape)} and {tuple(second.shape)} pixels: both "
            "must show one scene"
        )
    one, other = _blocks(first, camera, region), _blocks(second, camera, region)
    usable = one.usable & other.usable
    difference = (one.numbers - other.numbers)[usable]
    mean = ((one.mean + other.mean) / 2)[usable]
    if usable.any():
        if torch.equal(first, second):
            raise InputError("both pictures of a pair are the same: take two, one after the other")
        change, level = abs(difference.mean()), mean.mean()
        if change > _MAX_LEVEL_CHANGE * abs(level) + difference.std() / 10:
            raise InputError(
                f"the pictures of a pair differ by {change:.0f} of {level:.0f} digital numbers: "
                "both need the same light and exposure; give pairs one after the other"
            )
    variance = difference.var(axis=(1, 2), ddof=1) / 2
    return Points(mean, variance, np.full_like(mean, difference[0:1].size - 1))


def flat_points(picture: Tensor, camera: Camera, region: Region | None) -> Points:
    """Return points from what is left of each pixel when its neighbours take away level and slope.

    Rows and columns that are brighter as a whole cancel, too. Hot pixels are left out.
    """
    blocks = _blocks(picture, camera, region)
    numbers = blocks.numbers[blocks.usable]
    if not len(numbers):
        nothing = np.empty(0)
        return Points(nothing, nothing, nothing)
    rest = np.diff(np.diff(numbers, axis=1), axis=2) / 2
    # The deviation of a normal law; the median would be too low where a block is shaded steeply.
    spread = np.quantile(np.abs(rest), 0.95, axis=(1, 2), keepdims=True) / 1.96
    # A difference within a step of the converter may be its rounding alone.
    kept = np.abs(rest) <= np.maximum(_HOT * spread, 2 ** (16 - camera.bits))
    count = kept.sum(axis=(1, 2))
    variance = (rest**2 * kept).sum(axis=(1, 2)) / count
    return Points(blocks.mean[blocks.usable], variance, count / _OVERLAP)


def measure_black_level(picture: Tensor) -> tuple[float, float, float, float]:
    """Return the level of each colour filter site of a picture without light.

    Args:
        picture: ``(H, W)``, fraction of full scale.

    Returns:
        Fractions of full scale: the median of the trimmed means of blocks, which neither hot pixels
        nor a glowing edge move.

    Raises:
        InputError: More than one pixel in a hundred is zero: what is below was cut off.
    """
    numbers, _ = _cut(picture, None)
    if (zero := float((numbers == 0).mean())) > 0.01:
        raise InputError(
            f"{zero:.0%} of the pixels of a dark picture are zero, so its level is cut off: give "
            "the black level in the camera"
        )
    values = np.sort(numbers.reshape(*numbers.shape[:2], -1), axis=2)
    end = round(_TRIMMED * values.shape[2])
    levels = np.median(values[:, :, end:-end].mean(axis=2), axis=1) / FULL_SCALE_DN
    first, second, third, fourth = levels.tolist()
    return first, second, third, fourth


class _Blocks(NamedTuple):
    numbers: FloatArray
    """``(P, rows, columns)`` digital numbers of 16 bits."""
    mean: FloatArray
    """``(P,)`` above black."""
    usable: npt.NDArray[np.bool_]
    """``(P,)``, false where a pixel may have been cut off at either end."""


def _blocks(picture: Tensor, camera: Camera, region: Region | None) -> _Blocks:
    sites, blocks_a_site = _cut(picture, region)
    numbers = sites.reshape(-1, *sites.shape[2:])
    black = np.repeat(np.array(camera.black_level) * FULL_SCALE_DN, blocks_a_site)
    step = 2 ** (16 - camera.bits)
    top: float = 2**16 - step
    if camera.white_level is not None:
        top = min(top, camera.white_level * FULL_SCALE_DN)
    low, high = numbers.min(axis=(1, 2)), numbers.max(axis=(1, 2))
    return _Blocks(numbers, numbers.mean(axis=(1, 2)) - black, (low > 0) & (high < top - step / 2))


def _cut(picture: Tensor, region: Region | None) -> tuple[FloatArray, int]:
    """Return blocks ``(4, P, rows, columns)``, by site, and P."""
    if not picture.is_floating_point() or picture.dim() != 2:
        raise InputError(
            "a picture must be (H, W) fractions of full scale, got "
            f"{picture.dtype} {tuple(picture.shape)}"
        )
    size = Region(0, 0, *picture.shape)
    row, column, height, width = region = region or size
    if (
        min(row, column) < 0
        or any(value % 2 for value in region)
        or row + height > size.height
        or column + width > size.width
        or min(height, width) < _MIN_SIZE
    ):
        raise InputError(
            f"region {' '.join(map(str, region))} (row, column, height, width) of a picture of "
            f"{size.height} x {size.width} pixels: it must lie inside, be even, and at least "
            f"{_MIN_SIZE} x {_MIN_SIZE}"
        )
    part = picture[row : row + height, column : column + width].detach().cpu().double().numpy()
    part = part * FULL_SCALE_DN
    rows, columns = (min(_BLOCK_SITES, length // 2) for length in (height, width))
    down, across = height // 2 // rows, width // 2 // columns
    planes = np.stack([part[site // 2 :: 2, site % 2 :: 2] for site in range(4)])
    planes = planes[:, : down * rows, : across * columns]
    blocks = planes.reshape(4, down, rows, across, columns).swapaxes(2, 3)
    return blocks.reshape(4, down * across, rows, columns), down * across
