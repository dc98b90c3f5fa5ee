"""Sharpening of the luma."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from raw2logit.errors import InputError
from raw2logit.isp.functional.convolution import Convolution
from raw2logit.isp.functional.gaussian import gaussian_radius
from raw2logit.isp.functional.sharpen import SHARPEN_KERNEL, unsharp_convolution, unsharp_kernel
from raw2logit.isp.steps.base import KernelStep, log_parameter, parameter, register_step


@register_step("s")
class SharpenFilter(KernelStep):
    """Correlate the luma with a kernel; learns its 3x3 values."""

    family = "sharpen"

    def __init__(
        self,
        kernel: Sequence[Sequence[float]] = SHARPEN_KERNEL,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start from a square kernel of odd size.

        Raises:
            InputError: The kernel has another shape.
        """
        super().__init__()
        self.kernel = parameter(kernel, dtype)
        rows, columns = self.kernel.shape
        if rows != columns or rows % 2 == 0:
            raise InputError(f"a sharpening kernel is square and odd, got {rows} x {columns}")
        self.options = {"kernel": self.kernel.tolist()}

    @property
    def reach_px(self) -> int:
        """Half a kernel."""
        return self.kernel.shape[-1] // 2

    def luma_kernel(self) -> Tensor:
        """Return the kernel."""
        return self.kernel


@register_step("u")
class UnsharpMask(KernelStep):
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

    def luma_kernel(self) -> Tensor:
        """Return the kernel: 1 plus the amount at the centre, minus the amount of a gaussian."""
        return unsharp_kernel(self.radius_px, self.amount, self.support_px)

    def prepare(self) -> Convolution:
        """Return the filter of a luma plane."""
        return unsharp_convolution(self.radius_px, self.amount, self.support_px)
