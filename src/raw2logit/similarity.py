"""How alike two images are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.errors import InputError

_WINDOW_PX, _SIGMA_PX = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
"""Keep the quotients finite; for values in [0, 1]."""


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Return the structural similarity of each pair of images, averaged over pixels and channels.

    Of windows that lie within the image: 11 x 11 pixels, gaussian with sigma 1.5, and population
    statistics, as in Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13
    (2004), section III-C. Differentiable.

    Args:
        image: ``(B, C, H, W)`` in [0, 1], at least 11 pixels a side.
        reference: The same shape.

    Returns:
        ``(B,)``, at most 1, which is for equal images.

    Raises:
        InputError: The shapes differ, or the images are smaller than a window.
    """
    if image.shape != reference.shape or image.dim() != 4:
        raise InputError(
            f"images must both be (B, C, H, W), got {tuple(image.shape)} and "
            f"{tuple(reference.shape)}"
        )
    if min(image.shape[-2:]) < _WINDOW_PX:
        raise InputError(f"images of {tuple(image.shape[-2:])} pixels: at least 11 a side")
    x, y = (part.flatten(0, 1)[:, None] for part in (image, reference))
    blurred = _blur(torch.cat([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = blurred.chunk(5)
    variance = mean_xx - mean_x**2 + mean_yy - mean_y**2
    covariance = mean_xy - mean_x * mean_y
    value = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    value = value / ((mean_x**2 + mean_y**2 + _C1) * (variance + _C2))
    return value.reshape(image.shape[0], -1).mean(dim=1)


def _blur(planes: Tensor) -> Tensor:
    place = torch.arange(_WINDOW_PX, dtype=planes.dtype, device=planes.device) - _WINDOW_PX // 2
    weights = torch.exp(-0.5 * (place / _SIGMA_PX) ** 2)
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(planes, weights[None, None, None]), weights[None, None, :, None])
