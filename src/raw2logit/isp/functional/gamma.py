"""Gamma encoding, the only place where a view is clipped."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

GRADIENT_FLOOR = 1e-5
"""Below this linear value no gradient passes: the slope of v^(1/gamma) grows without bound."""
_SMALLEST_HALF = 2.0**-24


def encode_gamma(image: Tensor, gamma: Tensor) -> Tensor:
    """Clip to [0, 1] and raise to 1 / gamma.

    Args:
        image: ``(B, 3, H, W)``, linear.
        gamma: Positive scalar, 2.2 by default in every view.

    Returns:
        ``(B, 3, H, W)``, encoded, in [0, 1]. The value is exact everywhere; the gradient with
        respect to the image is zero where the clip acts and below `GRADIENT_FLOOR`.
    """
    # The smallest value stands for 0, whose logarithm is minus infinity: slow, and no gradient.
    smallest = _SMALLEST_HALF if image.dtype == torch.float16 else torch.finfo(image.dtype).tiny
    above_zero = math.log2(smallest) + 0.5
    zero = torch.finfo(image.dtype).min / 4  # an exponent of two whose share is 0, whatever gamma
    # Powers of two are the fast ones, and in place where no gradient needs the steps between.
    if not torch.is_grad_enabled():
        exponent = image.clamp(smallest, 1.0).log2_()
        return F.threshold(exponent, above_zero, zero, inplace=True).mul_(1.0 / gamma).exp2_()
    # The value of the one, the gradient of the other.
    limited = F.hardtanh(image, GRADIENT_FLOOR, 1.0)
    value = image.detach().clamp(smallest, 1.0) + (limited - limited.detach())
    return (F.threshold(value.log2(), above_zero, zero) * (1.0 / gamma)).exp2()
