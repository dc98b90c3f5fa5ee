"""Gaussian filter."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.isp.functional.borders import mirror_pad


def gaussian_blur(plane: Tensor, sigma_px: Tensor, radius_px: int) -> Tensor:
    """Filter with a sampled, normalised gaussian.

    Args:
        plane: ``(B, 1, H, W)``.
        sigma_px: Positive scalar, standard deviation in pixels.
        radius_px: The kernel has 2 radius_px + 1 taps; see `gaussian_radius`.

    Returns:
        ``(B, 1, H, W)``.
    """
    offsets = torch.arange(-radius_px, radius_px + 1, dtype=sigma_px.dtype, device=sigma_px.device)
    weights = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    weights = weights / weights.sum()
    padded = mirror_pad(plane, radius_px)
    rows = F.conv2d(padded, weights.reshape(1, 1, -1, 1))
    return F.conv2d(rows, weights.reshape(1, 1, 1, -1))


def gaussian_radius(sigma_px: float) -> int:
    """Return the radius at which a gaussian is truncated: 4 sigma, rounded as scipy does."""
    return int(4.0 * sigma_px + 0.5)
