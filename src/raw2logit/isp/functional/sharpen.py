"""Sharpening by a 3x3 kernel and by an unsharp mask; both are meant for the luma."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.isp.functional.convolution import Convolution, kernel_convolution
from raw2logit.isp.functional.gaussian import (
    SMALL_RADIUS_PX,
    gaussian_convolution,
    gaussian_kernel,
)

SHARPEN_KERNEL = ((0.0, -1.0, 0.0), (-1.0, 5.0, -1.0), (0.0, -1.0, 0.0))
"""Identity minus the 4-neighbour Laplacian."""


def unsharp_mask(plane: Tensor, sigma_px: Tensor, amount: Tensor, radius_px: int) -> Tensor:
    """Add `amount` times what a gaussian filter removes; the result is not clipped.

    Args:
        plane: ``(B, 1, H, W)``.
        sigma_px: Positive scalar, standard deviation of the gaussian in pixels (what
            scikit-image and photo editors call the radius).
        amount: Scalar, 0 is the identity.
        radius_px: Support of the gaussian; see `gaussian_blur`.

    Returns:
        ``(B, 1, H, W)``.
    """
    return unsharp_convolution(sigma_px, amount, radius_px)(plane)


def unsharp_convolution(sigma_px: Tensor, amount: Tensor, radius_px: int) -> Convolution:
    """Prepare `unsharp_mask`."""
    if radius_px <= SMALL_RADIUS_PX:
        return kernel_convolution(unsharp_kernel(sigma_px, amount, radius_px))
    blur = gaussian_convolution(sigma_px, radius_px)
    return lambda plane: plane + amount * (plane - blur(plane))


def unsharp_kernel(sigma_px: Tensor, amount: Tensor, radius_px: int) -> Tensor:
    """Return `unsharp_mask` as one ``(2 radius_px + 1, 2 radius_px + 1)`` kernel."""
    blur = gaussian_kernel(sigma_px, radius_px)
    centre = F.pad(torch.ones_like(blur[:1, :1]), (radius_px,) * 4)
    return (1 + amount) * centre - amount * blur
