"""Sharpening by a 3x3 kernel and by an unsharp mask; both are meant for the luma."""

from __future__ import annotations

from torch import Tensor

from raw2logit.isp.functional.gaussian import gaussian_blur

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
    return plane + amount * (plane - gaussian_blur(plane, sigma_px, radius_px))
