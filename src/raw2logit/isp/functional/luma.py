"""Filters that act on the luma Y of YUV and leave the colour differences alone.

The BT.470 matrix (the one of scikit-image's `rgb2yuv`) has a first row that sums to one and its
inverse has ones in the first column. Replacing Y by f(Y) is therefore the same as adding
f(Y) - Y to red, green and blue: no other transform is needed.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in Y, ITU-R BT.470."""


def filter_luma(image: Tensor, luma_filter: Callable[[Tensor], Tensor]) -> Tensor:
    """Replace Y of YUV by ``luma_filter(Y)``.

    Args:
        image: ``(B, 3, H, W)``, linear.
        luma_filter: Maps ``(B, 1, H, W)`` to the same shape.

    Returns:
        ``(B, 3, H, W)``, linear.
    """
    luma = luma_of(image)
    return image + (luma_filter(luma) - luma)


def luma_of(image: Tensor) -> Tensor:
    """Return Y of YUV: ``(B, 3, H, W)`` to ``(B, 1, H, W)``."""
    red, green, blue = LUMA_WEIGHTS
    return red * image[:, 0:1] + green * image[:, 1:2] + blue * image[:, 2:3]
