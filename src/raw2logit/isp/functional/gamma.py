"""Gamma encoding, the only place where a view is clipped."""

from __future__ import annotations

import torch
from torch import Tensor

GRADIENT_FLOOR = 1e-5
"""Below this linear value no gradient passes: the slope of v^(1/gamma) grows without bound."""


def encode_gamma(image: Tensor, gamma: Tensor) -> Tensor:
    """Clip to [0, 1] and raise to 1 / gamma.

    Args:
        image: ``(B, 3, H, W)``, linear.
        gamma: Positive scalar, 2.2 by default in every view.

    Returns:
        ``(B, 3, H, W)``, encoded, in [0, 1]. The value is exact everywhere; the gradient with
        respect to the image is zero where the clip acts and below `GRADIENT_FLOOR`.
    """
    clipped = image.clamp(0.0, 1.0)
    if not torch.is_grad_enabled():
        # Powers of two are the fast ones; log2(0) is -inf, which exp2 turns into 0 again.
        return clipped.log2_().div_(gamma).exp2_()
    positive = clipped > 0.0
    base = torch.where(clipped > GRADIENT_FLOOR, clipped, clipped.detach())
    encoded = (torch.where(positive, base, 1.0).log2() / gamma).exp2()
    return torch.where(positive, encoded, 0.0)
