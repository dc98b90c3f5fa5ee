"""Denoising of the luma."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raw2logit.isp import functional
from raw2logit.isp.functional.convolution import Convolution
from raw2logit.isp.functional.gaussian import (
    gaussian_convolution,
    gaussian_kernel,
    gaussian_radius,
)
from raw2logit.isp.steps.base import KernelStep, LumaStep, log_parameter, parameter, register_step


@register_step("me")
class MedianDenoise(LumaStep):
    """Median of 3x3; nothing to learn."""

    family = "denoise"
    reach_px = 1

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.median_3x3(luma)


@register_step("ga")
class GaussianDenoise(KernelStep):
    """Gaussian filter; learns its standard deviation.

    Attributes:
        support_px: Radius of the sampled gaussian, 4 times the standard deviation that the step
            was made with; it stays when the standard deviation is learned.
    """

    family = "denoise"

    def __init__(self, sigma_px: float = 0.5, dtype: torch.dtype | None = None) -> None:
        """Start from a standard deviation in pixels."""
        super().__init__()
        self.log_sigma_px = log_parameter(sigma_px, "sigma_px of the gaussian", dtype)
        self.support_px = gaussian_radius(sigma_px)
        self.options = {"sigma_px": sigma_px}

    @property
    def reach_px(self) -> int:
        """Radius of the sampled gaussian."""
        return self.support_px

    @property
    def sigma_px(self) -> Tensor:
        """Standard deviation in pixels."""
        return self.log_sigma_px.exp()

    def luma_kernel(self) -> Tensor:
        """Return the sampled gaussian."""
        return gaussian_kernel(self.sigma_px, self.support_px)

    def prepare(self) -> Convolution:
        """Return the filter of a luma plane."""
        return gaussian_convolution(self.sigma_px, self.support_px)


@register_step("k")
class KernelDenoise(KernelStep):
    """Correlate with a free kernel; learns its 5x5 values.

    It starts as the gaussian of `GaussianDenoise`, which samples as many.
    """

    family = "denoise"

    def __init__(self, sigma_px: float = 0.5, dtype: torch.dtype | None = None) -> None:
        """Start from a gaussian with a standard deviation in pixels, cut off at 4 of them."""
        super().__init__()
        sigma = torch.tensor(sigma_px, dtype=dtype or torch.get_default_dtype())
        self.kernel = parameter(gaussian_kernel(sigma, gaussian_radius(sigma_px)), dtype)
        self.options = {"sigma_px": sigma_px}

    @property
    def reach_px(self) -> int:
        """Half a kernel."""
        return self.kernel.shape[-1] // 2

    def luma_kernel(self) -> Tensor:
        """Return the kernel."""
        return self.kernel


@register_step("ff")
class FFTLowPass(LumaStep):
    """Butterworth low-pass in the frequency domain; learns its cutoff."""

    family = "denoise"

    def __init__(
        self, cutoff: float = 0.4, order: int = 2, dtype: torch.dtype | None = None
    ) -> None:
        """Start from a cutoff in cycles per pixel, 0.5 being the highest frequency there is."""
        super().__init__()
        self.log_cutoff = log_parameter(cutoff, "cutoff of the FFT low-pass", dtype)
        self.order = order
        self.options = {"cutoff": cutoff, "order": order}

    @property
    def cutoff(self) -> Tensor:
        """Cutoff in cycles per pixel."""
        return self.log_cutoff.exp()

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.fft_low_pass(luma, self.cutoff, self.order)


@register_step("tv")
class TotalVariationDenoise(LumaStep):
    """Total variation of Chambolle 2004; learns its weight."""

    family = "denoise"

    def __init__(
        self, weight: float = 0.01, iterations: int = 20, dtype: torch.dtype | None = None
    ) -> None:
        """Start from a weight (larger is smoother); the number of iterations stays."""
        super().__init__()
        self.log_weight = log_parameter(weight, "weight of the total variation", dtype)
        self.iterations = iterations
        self.options = {"weight": weight, "iterations": iterations}

    @property
    def reach_px(self) -> int:
        """One pixel an iteration, and one for the divergence."""
        return self.iterations + 1

    @property
    def weight(self) -> Tensor:
        """Weight of the smoothness against the data."""
        return self.log_weight.exp()

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.denoise_total_variation(luma, self.weight, self.iterations)


@register_step("bf")
class BilateralDenoise(LumaStep):
    """Bilateral filter; learns its two standard deviations.

    Attributes:
        support_px: Half the window, 2.5 times the spatial standard deviation that the step was
            made with; it stays when that is learned.
    """

    family = "denoise"

    def __init__(
        self, sigma_px: float = 0.8, sigma_value: float = 0.05, dtype: torch.dtype | None = None
    ) -> None:
        """Start from standard deviations in pixels and in linear light."""
        super().__init__()
        self.log_sigma_px = log_parameter(sigma_px, "sigma_px of the bilateral filter", dtype)
        self.log_sigma_value = log_parameter(
            sigma_value, "sigma_value of the bilateral filter", dtype
        )
        self.support_px = math.ceil(2.5 * sigma_px)
        self.options = {"sigma_px": sigma_px, "sigma_value": sigma_value}

    @property
    def reach_px(self) -> int:
        """Half the window."""
        return self.support_px

    @property
    def sigma_px(self) -> Tensor:
        """Spatial standard deviation in pixels."""
        return self.log_sigma_px.exp()

    @property
    def sigma_value(self) -> Tensor:
        """Standard deviation in linear light."""
        return self.log_sigma_value.exp()

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.denoise_bilateral(luma, self.sigma_px, self.sigma_value, self.support_px)


@register_step("nl")
class NonLocalMeansDenoise(LumaStep):
    """Non-local means; learns its strength."""

    family = "denoise"

    def __init__(
        self,
        strength: float = 0.02,
        patch_px: int = 5,
        search_px: int = 3,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start from a strength: about the standard deviation of the noise in linear light."""
        super().__init__()
        self.log_strength = log_parameter(strength, "strength of the non-local means", dtype)
        self.patch_px, self.search_px = patch_px, search_px
        self.options = {"strength": strength, "patch_px": patch_px, "search_px": search_px}

    @property
    def reach_px(self) -> int:
        """The search window and half a patch."""
        return self.search_px + self.patch_px // 2

    @property
    def strength(self) -> Tensor:
        """Difference of patches, root mean square, at which a weight has fallen to 1/e."""
        return self.log_strength.exp()

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.denoise_non_local_means(
            luma, self.strength, self.patch_px, self.search_px
        )


@register_step("wa")
class WaveletDenoise(LumaStep):
    """Soft threshold of wavelet coefficients; learns the threshold."""

    family = "denoise"

    def __init__(
        self,
        threshold: float = 0.01,
        levels: int = 2,
        wavelet: str = "sym4",
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start from a threshold in linear light."""
        super().__init__()
        self.log_threshold = log_parameter(threshold, "threshold of the wavelets", dtype)
        self.levels, self.wavelet = levels, wavelet
        self.options = {"threshold": threshold, "levels": levels, "wavelet": wavelet}

    @property
    def threshold(self) -> Tensor:
        """What coefficients lose, in linear light."""
        return self.log_threshold.exp()

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return functional.denoise_wavelet(luma, self.threshold, self.levels, self.wavelet)
