"""Median of the 3x3 neighbourhood by minima and maxima."""

from __future__ import annotations

from torch import Tensor, maximum, minimum

from raw2logit.isp.functional.borders import mirror_pad


def median_3x3(plane: Tensor) -> Tensor:
    """Replace each pixel by the median of its 3x3 neighbourhood.

    Columns of three are sorted once for the three neighbourhoods that share them. The median of
    nine is the median of: the largest of the three smallest, the median of the three middle ones,
    the smallest of the three largest (A. W. Paeth, "Median finding on a 3x3 grid", Graphics Gems,
    1990; here 18 minima and maxima a pixel).

    Args:
        plane: ``(B, 1, H, W)``.

    Returns:
        ``(B, 1, H, W)``; the gradient goes to the pixel that was the median.
    """
    padded = mirror_pad(plane, 1)
    above, here, below = padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]
    above, here = minimum(above, here), maximum(above, here)
    here, below = minimum(here, below), maximum(here, below)
    above, here = minimum(above, here), maximum(above, here)
    return _median_of_three(
        maximum(maximum(above[..., :-2], above[..., 1:-1]), above[..., 2:]),
        _median_of_three(here[..., :-2], here[..., 1:-1], here[..., 2:]),
        minimum(minimum(below[..., :-2], below[..., 1:-1]), below[..., 2:]),
    )


def _median_of_three(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    low, high = minimum(first, second), maximum(first, second)
    return maximum(low, minimum(high, third))
