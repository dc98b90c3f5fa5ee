"""A network in the place of the pipeline: the baseline without a model of the camera."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.cfa import CFA, colour_sites, per_site
from raw2logit.errors import InputError
from raw2logit.isp.functional.borders import mirror_pad
from raw2logit.isp.steps.base import Step, register_step

_STRIDE_PX = 32
"""What the encoder halves away: the network takes multiples of it."""


@register_step("unet++")
class UnetPlusPlus(Step):
    """U-Net++ from mosaic to view at full resolution (Zhou et al., DLMIA 2018); all is learned.

    The mosaic goes in as three planes, each colour at its own sites and zero elsewhere; a sigmoid
    keeps what comes out in [0, 1].
    """

    family = "neural"
    domain = "mosaic"
    takes = "cfa"
    gives_image = True

    def __init__(
        self,
        cfa: CFA,
        dtype: torch.dtype | None = None,
        *,
        encoder: str = "resnet18",
        seed: int = 0,
    ) -> None:
        """Start from random weights.

        Args:
            cfa: Colour filter array of the mosaic.
            dtype: Of the weights; None: PyTorch's default.
            encoder: Any encoder of segmentation-models-pytorch.
            seed: Of the random weights.

        Raises:
            InputError: The encoder has to be fetched.
        """
        import segmentation_models_pytorch as smp

        super().__init__()
        self.cfa: CFA = cfa
        self.options = {"encoder": encoder, "seed": seed}
        if ":" in encoder:  # names that would be fetched from elsewhere
            raise InputError(f"encoder {encoder!r} is none of segmentation-models-pytorch's own")
        with torch.random.fork_rng(devices=[]):
            # Initial weights have no generator argument; those of other devices stay untouched.
            torch.default_generator.manual_seed(seed)
            self.network = smp.UnetPlusPlus(encoder, encoder_weights=None, classes=3)
        self.network.to(dtype or torch.get_default_dtype())

    def train(self, mode: bool = True) -> Self:
        """Set the mode; while nothing learns, batch statistics stay as they are, too."""
        learns = any(parameter.requires_grad for parameter in self.parameters())
        return super().train(mode and learns)

    def forward(self, mosaic: Tensor) -> Tensor:
        """Map a ``(B, H, W)`` mosaic to a ``(B, 3, H, W)`` view in [0, 1]."""
        height, width = mosaic.shape[-2:]
        sites = mosaic.new_tensor(
            [[float(site == colour) for site in colour_sites(self.cfa)] for colour in range(3)]
        )
        planes = [mosaic * per_site(of_colour, height, width) for of_colour in sites]
        missing = (-height % _STRIDE_PX, -width % _STRIDE_PX)
        padded = mirror_pad(torch.stack(planes, dim=1), missing)[..., missing[0] :, missing[1] :]
        view: Tensor = F.sigmoid(self.network(padded))
        return view[..., :height, :width]
