"""Where a frame is cut into tiles, and which are kept: the rules of the published drone set.

Oala, Aversa et al., "Data Models for Dataset Drift Controls in Machine Learning With Optical
Images", TMLR 2023: windows row by row from the top left; a segmentation tile shows part of a car;
classification tiles are balanced frame by frame.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raw2logit.datasets.drone import MASK_SHARE_OF_CAR
from raw2logit.errors import InputError

PUBLISHED_SIZE = 256

_BALANCE_SEED = 72

Mask = npt.NDArray[np.bool_]


class Window(NamedTuple):
    """A square of a frame.

    Attributes:
        row: Of its top left pixel.
        column: Of its top left pixel.
        share: Share of its pixels that the mask covers.
    """

    row: int
    column: int
    share: float


def check_tiling(size: int, overlap: int) -> None:
    """Raise `InputError` unless every window starts at an even row and column.

    Another start would change the colour filter array from tile to tile.
    """
    if size < 2 or size % 2:
        raise InputError(f"--size must be even and at least 2, got {size}")
    if overlap % 2 or not 0 <= overlap < size:
        raise InputError(
            f"--overlap must be even, to stay on the grid of the colour filter array, and from 0 "
            f"to below --size {size}, got {overlap}"
        )


def cut_windows(mask: Mask, size: int, overlap: int = 0) -> list[Window]:
    """Cut a frame into windows, row by row from the top left.

    What is left over at the right and at the bottom belongs to no window.

    Args:
        mask: ``(H, W)`` of the frame.
        size: Height and width of a window in pixels, even.
        overlap: Pixels that neighbours share, even, less than `size`.

    Raises:
        InputError: The windows would leave the grid of the colour filter array.
    """
    check_tiling(size, overlap)
    height, width = mask.shape
    step = size - overlap
    return [
        Window(row, column, float(mask[row : row + size, column : column + size].mean()))
        for row in range(0, height - size + 1, step)
        for column in range(0, width - size + 1, step)
    ]


def balance(windows: Iterable[Window]) -> tuple[list[Window], list[Window]]:
    """Choose as many windows without a car as with one, by the published rule.

    A car covers a larger share than `MASK_SHARE_OF_CAR`; windows with less of one, but some, are
    in neither list. Of the longer list, those go that come first in its shuffle with the
    published seed.

    Args:
        windows: Of one frame.

    Returns:
        With and without a car, in the order of `windows`.
    """
    windows = list(windows)
    cars = [window for window in windows if window.share > MASK_SHARE_OF_CAR]
    empty = [window for window in windows if window.share == 0]
    longer = cars if len(cars) > len(empty) else empty
    order = list(range(len(longer)))
    random.Random(_BALANCE_SEED).shuffle(order)
    dropped = set(order[: abs(len(cars) - len(empty))])
    kept = [window for index, window in enumerate(longer) if index not in dropped]
    return (kept, empty) if longer is cars else (cars, kept)
