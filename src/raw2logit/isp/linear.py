"""Runs of linear steps, folded into one operation.

Black level, linear demosaicing, white balance and colour matrix are together one filter for each
channel and CFA site. `LinearMap` composes it from the parameters, so that gradients reach them,
and applies it in one convolution.

Kernels that filter the luma can be folded too. Mirroring the mosaic once is then the same as
mirroring at every step only as long as every kernel is symmetric, which learned ones need not be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.errors import InputError
from raw2logit.isp.functional.convolution import (
    CellConvolution,
    phase_convolution,
    site_windows,
)
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
    def identity(cls, like: Tensor, *, takes_mosaic: bool) -> LinearMap:
        """Return the map that leaves a mosaic or an image as it is, of the type of `like`."""
        if takes_mosaic:
            return cls(like.new_ones(1, 4, 1, 1), like.new_zeros(1, 4), takes_mosaic=True)
        eye = torch.eye(3, dtype=like.dtype, device=like.device)
        return cls(eye[..., None, None], like.new_zeros(3, 1), takes_mosaic=False)

    @property
    def gives_image(self) -> bool:
        """Whether channels come out."""
        return len(self.weights) > 1

    @property
    def size_px(self) -> int:
        """Side of the filters."""
        return self.weights.shape[-1]

    def scale_sites(self, gains: Tensor) -> LinearMap:
        """Multiply a mosaic by ``(4,)`` gains."""
        return LinearMap(self.weights * gains[:, None, None], self.bias * gains, self.takes_mosaic)

    def add_sites(self, offsets: Tensor) -> LinearMap:
        """Add ``(4,)`` offsets to a mosaic."""
        return LinearMap(self.weights, self.bias + offsets, self.takes_mosaic)

    def demosaic(self, filters: Tensor) -> LinearMap:
        """Make channels of a mosaic by ``(3, 4, k, k)`` filters, a colour and a site each.

        Raises:
            InputError: The map so far has filters of its own: they cannot be folded with these.
        """
        if self.size_px != 1 or self.gives_image:
            raise InputError("only gains and offsets of the sites can be folded before demosaicing")
        size = filters.shape[-1]
        gains = site_windows(self.weights[0, :, 0, 0], size)
        offsets = site_windows(self.bias[0], size)
        return LinearMap(filters * gains, (filters * offsets).sum((-1, -2)), self.takes_mosaic)

    def mix(self, matrix: Tensor) -> LinearMap:
        """Multiply the C channels of every pixel by a ``(D, C)`` matrix."""
        weights = torch.einsum("dc,cskl->dskl", matrix, self.weights)
        return LinearMap(weights, matrix @ self.bias, self.takes_mosaic)

    def luma(self) -> LinearMap:
        """Give the luma alone."""
        return self.mix(self.weights.new_tensor([LUMA_WEIGHTS]))

    def without_luma(self) -> LinearMap:
        """Give the colours, each minus the luma."""
        eye = torch.eye(3, dtype=self.weights.dtype, device=self.weights.device)
        return self.mix(eye - self.weights.new_tensor(LUMA_WEIGHTS))

    def filtered(self, kernel: Tensor) -> LinearMap:
        """Correlate each channel, made from a mosaic, with a ``(k, k)`` kernel.

        At the border this equals filtering the mirrored channels where `is_symmetric`.
        """
        # The filter of a site is the sum over the sites that the kernel sees from there.
        eye = torch.eye(4, dtype=kernel.dtype, device=kernel.device)
        seen = site_windows(eye, kernel.shape[-1]) * kernel
        bias = torch.einsum("cs,stkl->ct", self.bias, seen)
        return LinearMap(F.conv_transpose2d(self.weights, seen), bias, self.takes_mosaic)

    @property
    def is_symmetric(self) -> bool:
        """Whether a mirrored mosaic gives mirrored channels; looks at values."""
        return is_symmetric(self.weights)

    def prepare(self) -> Callable[[Tensor], Tensor]:
        """Return the map as a function of mosaics, or of images, to ``(B, C, H, W)``."""
        if not self.takes_mosaic:
            return self._mix_pixels
        return self.convolution().of_mosaic

    def convolution(self) -> CellConvolution:
        """Return a map from mosaics to channels as a convolution of ``(B, 1, H, W)``."""
        return phase_convolution(self.weights, self.bias)

    def _mix_pixels(self, image: Tensor) -> Tensor:
        matrix = self.weights[:, :, 0, 0].expand(image.shape[0], -1, -1)
        mixed = torch.baddbmm(self.bias, matrix, image.flatten(2))
        return mixed.reshape(image.shape[0], matrix.shape[1], *image.shape[-2:])


def is_symmetric(filters: Tensor) -> bool:
    """Return whether filters equal their mirror images, left to right and upside down."""
    return torch.equal(filters, filters.flip(-1)) and torch.equal(filters, filters.flip(-2))
