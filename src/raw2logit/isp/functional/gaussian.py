"""Gaussian filter."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.isp.functional.convolution import Convolution, kernel_convolution

SMALL_RADIUS_PX = 4
"""Up to this radius one pass in two dimensions is faster than two passes in one."""


def gaussian_blur(plane: Tensor, sigma_px: Tensor, radius_px: int) -> Tensor:
    """Filter with a sampled, normalised gaussian.

    Args:
        plane: ``(B, 1, H, W)``.
        sigma_px: Positive scalar, standard deviation in pixels.
        radius_px: The kernel has 2 radius_px + 1 taps; see `gaussian_radius`.

    Returns:
        ``(B, 1, H, W)``.
    """
    return gaussian_convolution(sigma_px, radius_px)(plane)


def gaussian_convolution(sigma_px: Tensor, radius_px: int) -> Convolution:
    """Prepare `gaussian_blur`."""
    if radius_px <= SMALL_RADIUS_PX:
        return kernel_convolution(gaussian_kernel(sigma_px, radius_px))
    weights = gaussian_weights(sigma_px, radius_px)
    rows, columns = kernel_convolution(weights[:, None]), kernel_convolution(weights[None])
    return lambda plane: columns(rows(plane))


def gaussian_weights(sigma_px: Tensor, radius_px: int) -> Tensor:
    """Return the ``(2 radius_px + 1,)`` taps of a sampled gaussian, which sum to 1."""
    offsets = torch.arange(-radius_px, radius_px + 1, dtype=sigma_px.dtype, device=sigma_px.device)
    weights = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    return weights / weights.sum()


def gaussian_kernel(sigma_px: Tensor, radius_px: int) -> Tensor:
    """Return the same in two dimensions: ``(2 radius_px + 1, 2 radius_px + 1)``."""
    weights = gaussian_weights(sigma_px, radius_px)
    return weights[:, None] * weights


def gaussian_radius(sigma_px: float) -> int:
    """Return the radius at which a gaussian is truncated: 4 sigma, rounded as scipy does."""
    return int(4.0 * sigma_px + 0.5)
