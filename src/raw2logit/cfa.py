"""Bayer colour filter arrays: their names, and where the colours lie on a mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

CFA = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
"""The top-left 2x2, read row by row."""
CFA_NAMES: tuple[CFA, ...] = get_args(CFA)

_CHANNEL = {"R": 0, "G": 1, "B": 2}


def colour_sites(cfa: CFA) -> tuple[int, int, int, int]:
    """Return the channel (0 red, 1 green, 2 blue) of each site of the top-left 2x2, row by row.

    >>> colour_sites("GRBG")
    (1, 0, 2, 1)
    """
    first, second, third, fourth = (_CHANNEL[letter] for letter in cfa)
    return first, second, third, fourth


def mosaic_of(image: Tensor, cfa: CFA) -> Tensor:
    """Sample an image at the sites of a colour filter array: the inverse of demosaicing.

    Args:
        image: ``(B, 3, H, W)`` with even H and W.
        cfa: Name of the array.

    Returns:
        ``(B, H, W)`` mosaic.
    """
    mosaic = image.new_empty((image.shape[0], *image.shape[-2:]))
    for site, channel in enumerate(colour_sites(cfa)):
        row, column = divmod(site, 2)
        mosaic[:, row::2, column::2] = image[:, channel, row::2, column::2]
    return mosaic


def per_site(values: Tensor, height: int, width: int) -> Tensor:
    """Repeat four values, one a CFA site in row order, over a mosaic: ``(4,) -> (H, W)``."""
    return values.reshape(2, 2).repeat(height // 2, width // 2)
