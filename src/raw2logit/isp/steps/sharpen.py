"""Sharpening of the luma."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from raw2logit.isp import functional
from raw2logit.isp.functional.gaussian import gaussian_radius
from raw2logit.isp.steps.base import LumaStep, log_parameter, parameter, register_step


@register_step("s")
class SharpenFilter(LumaStep):
    """Correlate the luma with a kernel; learns its 3x3 values."""

    family = "sharpen"

    def __init__(
        self,
        kernel: Sequence[Sequence[float]] = functional.SHARPEN_KERNEL,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start from a square kernel of odd size."""
        super().__init__()
        self.kernel = parameter(kernel, dtype)
        self.options = {"kernel": self.kernel.tolist()}

    @property
    def reach_px(self) -> int:
        """Half a kernel."""
        return self.kernel.shape[-1] // 2

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.convolve_kernel(luma, self.kernel)


@register_step("u")
class UnsharpMask(LumaStep):
    """Add to the luma `amount` times what a gaussian removes; learns radius and amount.

    Attributes:
        support_px: Radius of the sampled gaussian, 4 times the radius that the step was made
            with; it stays when the radius is learned.
    """

    family = "sharpen"

    def __init__(
        self, radius_px: float = 1.0, amount: float = 1.0, dtype: torch.dtype | None = None
    ) -> None:
        """Start from a radius (standard deviation, px) and an amount."""
        super().__init__()
        self.log_radius_px = log_parameter(radius_px, "radius_px of the unsharp mask", dtype)
        self.amount = parameter(amount, dtype)
        self.support_px = gaussian_radius(radius_px)
        self.options = {"radius_px": radius_px, "amount": amount}

    @property
    def reach_px(self) -> int:
        """Radius of the sampled gaussian."""
        return self.support_px

    @property
    def radius_px(self) -> Tensor:
        """Standard deviation of the gaussian in pixels."""
        return self.log_radius_px.exp()

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.unsharp_mask(luma, self.radius_px, self.amount, self.support_px)
