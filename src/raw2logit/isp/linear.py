"""Runs of linear steps, folded into one operation.

Black level, linear demosaicing, white balance and colour matrix are together one filter for each
channel and CFA site. `LinearMap` composes it from the parameters, so that gradients reach them,
and applies it in one convolution.

Filters of the luma stay apart on purpose: folded as well, they would cost more multiplications
than they save passes over the image, and at the border the result would differ from the steps
one by one as soon as a learned kernel is no longer symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raw2logit.cfa import per_site
from raw2logit.isp.functional.convolution import phase_convolution, site_windows
from raw2logit.isp.functional.luma import LUMA_WEIGHTS


@dataclass(frozen=True)
class LinearMap:
    """What a run of linear steps does.

    Attributes:
        weights: ``(C, 4, k, k)`` on a mosaic: the filter that makes each channel at each CFA
            site, C being 1 until the demosaicing. ``(C, 3, 1, 1)`` on an image.
        bias: ``(C, 4)`` on a mosaic, ``(C, 1)`` on an image.
        takes_mosaic: Works on a mosaic.
    """

    weights: Tensor
    bias: Tensor
    takes_mosaic: bool

    @classmethod
    def identity(cls, image: Tensor) -> LinearMap:
        """Return the map that leaves a ``(B, H, W)`` mosaic or a ``(B, 3, H, W)`` image as is."""
        if image.dim() == 3:
            return cls(image.new_ones(1, 4, 1, 1), image.new_zeros(1, 4), takes_mosaic=True)
        eye = torch.eye(3, dtype=image.dtype, device=image.device)
        return cls(eye[..., None, None], image.new_zeros(3, 1), takes_mosaic=False)

    @property
    def gives_image(self) -> bool:
        """Whether channels come out."""
        return len(self.weights) > 1

    def scale_sites(self, gains: Tensor) -> LinearMap:
        """Multiply a mosaic by ``(4,)`` gains."""
        return LinearMap(self.weights * gains[:, None, None], self.bias * gains, self.takes_mosaic)

    def add_sites(self, offsets: Tensor) -> LinearMap:
        """Add ``(4,)`` offsets to a mosaic."""
        return LinearMap(self.weights, self.bias + offsets, self.takes_mosaic)

    def demosaic(self, filters: Tensor) -> LinearMap:
        """Make channels of a mosaic by ``(3, 4, k, k)`` filters, a colour and a site each."""
        size = filters.shape[-1]
        gains = site_windows(self.weights[0, :, 0, 0], size)
        offsets = site_windows(self.bias[0], size)
        return LinearMap(filters * gains, (filters * offsets).sum((-1, -2)), self.takes_mosaic)

    def mix(self, matrix: Tensor) -> LinearMap:
        """Multiply the C channels of every pixel by a ``(D, C)`` matrix."""
        weights = torch.einsum("dc,cskl->dskl", matrix, self.weights)
        return LinearMap(weights, matrix @ self.bias, self.takes_mosaic)

    def with_luma(self) -> LinearMap:
        """Give the luma as a fourth channel."""
        luma = self.weights.new_tensor([LUMA_WEIGHTS])
        return self.mix(torch.cat([torch.eye(3).to(luma), luma]))

    def apply(self, image: Tensor) -> Tensor:
        """Map ``(B, H, W)`` or ``(B, 3, H, W)`` to ``(B, C, H, W)``, or to a mosaic still."""
        if not self.gives_image:
            height, width = image.shape[-2:]
            gains = per_site(self.weights.flatten(), height, width)
            return image * gains + per_site(self.bias.flatten(), height, width)
        if self.takes_mosaic:
            return phase_convolution(image, self.weights, self.bias)
        matrix = self.weights[:, :, 0, 0].expand(image.shape[0], -1, -1)
        mixed = torch.baddbmm(self.bias, matrix, image.flatten(2))
        return mixed.reshape(image.shape[0], -1, *image.shape[-2:])
