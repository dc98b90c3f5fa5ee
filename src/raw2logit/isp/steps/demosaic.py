"""Demosaicing: from a mosaic to an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raw2logit.cfa import CFA
from raw2logit.isp import functional
from raw2logit.isp.functional.demosaic_bilinear import bilinear_weights
from raw2logit.isp.functional.demosaic_malvar import malvar_weights
from raw2logit.isp.linear import LinearMap
from raw2logit.isp.steps.base import LinearStep, Step, register_step


class DemosaicStep(Step):
    """Base of the demosaicing steps.

    Attributes:
        cfa: Colour filter array of the mosaic.
    """

    family = "demosaic"
    domain = "mosaic"
    takes = "cfa"
    gives_image = True

    def __init__(self, cfa: CFA, dtype: torch.dtype | None = None) -> None:
        """Keep the CFA; `dtype` is accepted like in every other step."""
        super().__init__(dtype)
        self.cfa: CFA = cfa

    def extra_repr(self) -> str:
        """Name the CFA."""
        return f"cfa={self.cfa}"


@register_step("bi")
class BilinearDemosaic(DemosaicStep, LinearStep):
    """Bilinear demosaicing; learns three 3x3 kernels."""

    def __init__(self, cfa: CFA, dtype: torch.dtype | None = None) -> None:
        """Start from the classical kernels."""
        super().__init__(cfa)
        self.kernels = nn.Parameter(functional.bilinear_kernels(dtype or torch.get_default_dtype()))

    @property
    def reach_px(self) -> int:
        """Half a kernel."""
        return self.kernels.shape[-1] // 2

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` image."""
        return functional.demosaic_bilinear(mosaic, self.kernels, self.cfa)

    def fold(self, before: LinearMap) -> LinearMap:
        """Make the channels."""
        return before.demosaic(bilinear_weights(self.kernels, self.cfa))


@register_step("ma")
class MalvarDemosaic(DemosaicStep, LinearStep):
    """Demosaicing of Malvar, He and Cutler 2004; learns four 5x5 kernels."""

    def __init__(self, cfa: CFA, dtype: torch.dtype | None = None) -> None:
        """Start from the paper's kernels."""
        super().__init__(cfa)
        self.kernels = nn.Parameter(functional.malvar_kernels(dtype or torch.get_default_dtype()))

    @property
    def reach_px(self) -> int:
        """Half a kernel."""
        return self.kernels.shape[-1] // 2

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` image."""
        return functional.demosaic_malvar(mosaic, self.kernels, self.cfa)

    def fold(self, before: LinearMap) -> LinearMap:
        """Make the channels."""
        return before.demosaic(malvar_weights(self.kernels, self.cfa))


@register_step("me")
class MenonDemosaic(DemosaicStep):
    """Demosaicing of Menon, Andriani and Calvagno 2007 with refinement; nothing to learn."""

    reach_px = 10

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` image."""
        return functional.demosaic_menon(mosaic, self.cfa)
