"""A layer that is added to every image: what an attack may learn beside the camera's settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp.steps.base import Step, register_step


@register_step("add")
class AdditiveLayer(Step):
    """Add the same learned values to every image; zeros at the start.

    It is no setting of a camera, so no view has it; `Pipeline.inserted` puts it in. Before gamma,
    which clips, the view stays in [0, 1].
    """

    family = "additive_layer"

    def __init__(
        self, height_px: int = 1, width_px: int = 1, dtype: torch.dtype | None = None
    ) -> None:
        """Make a layer for images of one size; of 1 x 1, one value a channel for any size.

        Raises:
            InputError: The size has no pixels.
        """
        super().__init__()
        if min(height_px, width_px) < 1:
            raise InputError(f"a layer has at least 1 pixel a side, got {height_px} x {width_px}")
        self.layer = nn.Parameter(torch.zeros(3, height_px, width_px, dtype=dtype))
        self.options = {"height_px": height_px, "width_px": width_px}

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape.

        Raises:
            InputError: The layer is for images of another size.
        """
        size = self.layer.shape[-2:]
        if size not in (image.shape[-2:], (1, 1)):
            raise InputError(
                f"the additive layer is for images of {tuple(size)} pixels, got "
                f"{tuple(image.shape[-2:])}"
            )
        return image + self.layer
