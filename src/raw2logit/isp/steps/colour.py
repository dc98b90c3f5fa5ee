"""Black level, white balance, colour matrix and gamma: what acts on each pixel alone."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.cfa import CFA, colour_sites
from raw2logit.isp import functional
from raw2logit.isp.linear import LinearMap
from raw2logit.isp.steps.base import LinearStep, Step, log_parameter, parameter, register_step


@register_step("bl")
class BlackLevel(LinearStep):
    """Subtract the black level of each CFA site; learns 4 values.

    See `raw2logit.isp.functional.subtract_black_level`.
    """

    family = "black_level"
    takes = "camera"
    domain = "mosaic"
    reach_px = 0
    white_level: Tensor | None

    def __init__(self, camera: Camera, dtype: torch.dtype | None = None) -> None:
        """Take black and white level of a camera."""
        super().__init__()
        self.black_level = parameter(camera.black_level, dtype)
        white = camera.white_level
        self.register_buffer(
            "white_level",
            None if white is None else torch.tensor(white, dtype=self.black_level.dtype),
        )

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to the same shape, black at 0."""
        return functional.subtract_black_level(mosaic, self.black_level, self.white_level)

    def fold(self, before: LinearMap) -> LinearMap:
        """Subtract, then scale where a white level is known."""
        if self.white_level is None:
            return before.add_sites(-self.black_level)
        gains = 1.0 / (self.white_level - self.black_level)
        return before.scale_sites(gains).add_sites(-self.black_level * gains)


@register_step("wb")
class WhiteBalance(LinearStep):
    """Multiply each colour by its gain, on an image or on a mosaic; learns 3 values."""

    family = "white_balance"
    takes = "camera"
    domain = "either"
    reach_px = 0

    def __init__(self, camera: Camera, dtype: torch.dtype | None = None) -> None:
        """Take the gains of a camera."""
        super().__init__()
        self.cfa: CFA = camera.cfa
        self.gains = parameter(camera.white_balance, dtype)

    def forward(self, image: Tensor) -> Tensor:
        """Map an image ``(B, 3, H, W)`` or a mosaic ``(B, H, W)`` to the same shape."""
        return functional.balance_white(image, self.gains, self.cfa)

    def fold(self, before: LinearMap) -> LinearMap:
        """Scale the channels, or the sites while there are none."""
        if before.gives_image:
            return before.mix(torch.diag(self.gains))
        sites = [self.gains[channel] for channel in colour_sites(self.cfa)]
        return before.scale_sites(torch.stack(sites))


@register_step("cc")
class ColourMatrix(LinearStep):
    """Multiply every pixel by a 3x3 matrix; learns 9 values."""

    family = "colour_matrix"
    takes = "camera"
    reach_px = 0

    def __init__(self, camera: Camera, dtype: torch.dtype | None = None) -> None:
        """Take the matrix of a camera."""
        super().__init__()
        self.matrix = parameter(camera.colour_matrix, dtype)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.apply_colour_matrix(image, self.matrix)

    def fold(self, before: LinearMap) -> LinearMap:
        """Mix the channels."""
        return before.mix(self.matrix)


@register_step("gc")
class Gamma(Step):
    """Clip to [0, 1] and encode with v^(1/gamma); learns gamma."""

    family = "gamma"
    reach_px = 0

    def __init__(self, gamma: float = 2.2, dtype: torch.dtype | None = None) -> None:
        """Start from an exponent."""
        super().__init__()
        self.log_gamma = log_parameter(gamma, "gamma", dtype)
        self.options = {"gamma": gamma}

    @property
    def gamma(self) -> Tensor:
        """The exponent."""
        return self.log_gamma.exp()

    def forward(self, image: Tensor) -> Tensor:
        """Map a linear ``(B, 3, H, W)`` image to an encoded one in [0, 1]."""
        return functional.encode_gamma(image, self.gamma)
