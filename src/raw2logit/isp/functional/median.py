"""Median of the 3x3 neighbourhood by a network of minima and maxima."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.isp.functional.borders import mirror_pad

# Exchanges that leave the median of nine values in slot 4: 19 of them, the fewest possible.
# J. L. Smith, "Implementing median filters in XC4000E FPGAs", Xcell 23, 1996.
_EXCHANGES = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
    (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


def median_3x3(plane: Tensor) -> Tensor:
    """Replace each pixel by the median of its 3x3 neighbourhood.

    Args:
        plane: ``(B, 1, H, W)``.

    Returns:
        ``(B, 1, H, W)``; the gradient goes to the pixel that was the median.
    """
    height, width = plane.shape[-2:]
    padded = mirror_pad(plane, 1)
    values = [
        padded[..., down : down + height, right : right + width]
        for down in range(3)
        for right in range(3)
    ]
    for low, high in _EXCHANGES:
        values[low], values[high] = (
            torch.minimum(values[low], values[high]),
            torch.maximum(values[low], values[high]),
        )
    return values[4]
