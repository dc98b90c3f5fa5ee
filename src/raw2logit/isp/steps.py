"""The steps of a pipeline: each a thin module around one function, with its natural parameters.

Every parameter is a `torch.nn.Parameter`; a static pipeline is one whose parameters are frozen.
What must stay positive (gamma, standard deviations) is stored as its logarithm and read through a
property in natural units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from raw2logit.camera import Camera
from raw2logit.cfa import CFA
from raw2logit.errors import InputError
from raw2logit.isp import functional
from raw2logit.isp.functional.gaussian import gaussian_radius

FAMILIES = (
    "black_level",
    "demosaic",
    "white_balance",
    "colour_matrix",
    "sharpen",
    "denoise",
    "gamma",
)
"""Kinds of step, in the default order of a pipeline."""


class Step(nn.Module):
    """One ISP operation.

    Attributes:
        family: Which of `FAMILIES` the step is; a pipeline names it so by default. The family
            ``demosaic`` turns a mosaic into an image.
        domain: What the step works on; a pipeline refuses an order that does not fit.
    """

    family: ClassVar[str]
    domain: ClassVar[Literal["mosaic", "image", "either"]] = "image"


def _parameter(values: object, dtype: torch.dtype | None) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(values, dtype=dtype or torch.get_default_dtype()).clone())


def _log_parameter(value: float, name: str, dtype: torch.dtype | None) -> nn.Parameter:
    if not value > 0:
        raise InputError(f"{name} must be positive, got {value}")
    return nn.Parameter(torch.tensor(value, dtype=dtype or torch.get_default_dtype()).log())


class BlackLevel(Step):
    """Subtract the black level of each CFA site; learns 4 values.

    See `raw2logit.isp.functional.subtract_black_level`.
    """

    family = "black_level"
    domain = "mosaic"
    white_level: Tensor | None

    def __init__(self, camera: Camera, dtype: torch.dtype | None = None) -> None:
        """Take black and white level of a camera."""
        super().__init__()
        self.black_level = _parameter(camera.black_level, dtype)
        white = camera.white_level
        self.register_buffer(
            "white_level",
            None if white is None else torch.tensor(white, dtype=self.black_level.dtype),
        )

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to the same shape, black at 0."""
        return functional.subtract_black_level(mosaic, self.black_level, self.white_level)


class BilinearDemosaic(Step):
    """Bilinear demosaicing; learns three 3x3 kernels."""

    family = "demosaic"
    domain = "mosaic"

    def __init__(self, cfa: CFA, dtype: torch.dtype | None = None) -> None:
        """Start from the classical kernels."""
        super().__init__()
        self.cfa: CFA = cfa
        self.kernels = nn.Parameter(functional.bilinear_kernels(dtype or torch.get_default_dtype()))

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` image."""
        return functional.demosaic_bilinear(mosaic, self.kernels, self.cfa)

    def extra_repr(self) -> str:
        """Name the CFA."""
        return f"cfa={self.cfa}"


class MalvarDemosaic(Step):
    """Demosaicing of Malvar, He and Cutler 2004; learns four 5x5 kernels."""

    family = "demosaic"
    domain = "mosaic"

    def __init__(self, cfa: CFA, dtype: torch.dtype | None = None) -> None:
        """Start from the paper's kernels."""
        super().__init__()
        self.cfa: CFA = cfa
        self.kernels = nn.Parameter(functional.malvar_kernels(dtype or torch.get_default_dtype()))

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` image."""
        return functional.demosaic_malvar(mosaic, self.kernels, self.cfa)

    def extra_repr(self) -> str:
        """Name the CFA."""
        return f"cfa={self.cfa}"


class MenonDemosaic(Step):
    """Demosaicing of Menon, Andriani and Calvagno 2007 with refinement; nothing to learn."""

    family = "demosaic"
    domain = "mosaic"

    def __init__(self, cfa: CFA, dtype: torch.dtype | None = None) -> None:
        """Keep the CFA; `dtype` is accepted like in every other step."""
        super().__init__()
        self.cfa: CFA = cfa

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` image."""
        return functional.demosaic_menon(mosaic, self.cfa)

    def extra_repr(self) -> str:
        """Name the CFA."""
        return f"cfa={self.cfa}"


class WhiteBalance(Step):
    """Multiply each colour by its gain, on an image or on a mosaic; learns 3 values."""

    family = "white_balance"
    domain = "either"

    def __init__(self, camera: Camera, dtype: torch.dtype | None = None) -> None:
        """Take the gains of a camera."""
        super().__init__()
        self.cfa: CFA = camera.cfa
        self.gains = _parameter(camera.white_balance, dtype)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image ``(B, 3, H, W)`` or a mosaic ``(B, H, W)`` to the same shape."""
        return functional.balance_white(image, self.gains, self.cfa)


class ColourMatrix(Step):
    """Multiply every pixel by a 3x3 matrix; learns 9 values."""

    family = "colour_matrix"

    def __init__(self, camera: Camera, dtype: torch.dtype | None = None) -> None:
        """Take the matrix of a camera."""
        super().__init__()
        self.matrix = _parameter(camera.colour_matrix, dtype)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.apply_colour_matrix(image, self.matrix)


class SharpenFilter(Step):
    """Correlate the luma with a kernel; learns its 3x3 values."""

    family = "sharpen"

    def __init__(
        self,
        kernel: Sequence[Sequence[float]] = functional.SHARPEN_KERNEL,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start from a square kernel of odd size."""
        super().__init__()
        self.kernel = _parameter(kernel, dtype)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.filter_luma(
            image, lambda luma: functional.convolve_kernel(luma, self.kernel)
        )


class UnsharpMask(Step):
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
        self.log_radius_px = _log_parameter(radius_px, "radius_px of the unsharp mask", dtype)
        self.amount = _parameter(amount, dtype)
        self.support_px = gaussian_radius(radius_px)

    @property
    def radius_px(self) -> Tensor:
        """Standard deviation of the gaussian in pixels."""
        return self.log_radius_px.exp()

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.filter_luma(
            image,
            lambda luma: functional.unsharp_mask(
                luma, self.radius_px, self.amount, self.support_px
            ),
        )


class MedianDenoise(Step):
    """Median of 3x3 on the luma; nothing to learn."""

    family = "denoise"

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.filter_luma(image, functional.median_3x3)


class GaussianDenoise(Step):
    """Gaussian filter on the luma; learns its standard deviation.

    Attributes:
        support_px: Radius of the sampled gaussian, 4 times the standard deviation that the step
            was made with; it stays when the standard deviation is learned.
    """

    family = "denoise"

    def __init__(self, sigma_px: float = 0.5, dtype: torch.dtype | None = None) -> None:
        """Start from a standard deviation in pixels."""
        super().__init__()
        self.log_sigma_px = _log_parameter(sigma_px, "sigma_px of the gaussian", dtype)
        self.support_px = gaussian_radius(sigma_px)

    @property
    def sigma_px(self) -> Tensor:
        """Standard deviation in pixels."""
        return self.log_sigma_px.exp()

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.filter_luma(
            image, lambda luma: functional.gaussian_blur(luma, self.sigma_px, self.support_px)
        )


class Gamma(Step):
    """Clip to [0, 1] and encode with v^(1/gamma); learns gamma."""

    family = "gamma"

    def __init__(self, gamma: float = 2.2, dtype: torch.dtype | None = None) -> None:
        """Start from an exponent."""
        super().__init__()
        self.log_gamma = _log_parameter(gamma, "gamma", dtype)

    @property
    def gamma(self) -> Tensor:
        """The exponent."""
        return self.log_gamma.exp()

    def forward(self, image: Tensor) -> Tensor:
        """Map a linear ``(B, 3, H, W)`` image to an encoded one in [0, 1]."""
        return functional.encode_gamma(image, self.gamma)
