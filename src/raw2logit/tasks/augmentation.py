"""Augmentation of views, each sample on its own, masks in step.

Only views are augmented, never mosaics: turning a mosaic would change its colour filter array.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_dihedral(
    view: Tensor, mask: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Turn each sample by a random quarter and mirror half of them.

    Args:
        view: ``(B, 3, H, W)``; samples that are not square are turned by half circles only.
        mask: ``(B, H, W)`` or None.
        generator: Source of the choices, on the CPU.

    Returns:
        View and mask, same shapes.
    """
    quarter = 1 if view.shape[-1] == view.shape[-2] else 2
    choices = torch.randint(0, 8, (view.shape[0],), generator=generator).tolist()

    def apply(image: Tensor, choice: int) -> Tensor:
        turned = torch.rot90(image, choice % 4 * quarter, (-2, -1))
        return turned.flip(-1) if choice >= 4 else turned

    view = torch.stack([apply(one, choice) for one, choice in zip(view, choices, strict=True)])
    if mask is not None:
        mask = torch.stack([apply(one, choice) for one, choice in zip(mask, choices, strict=True)])
    return view, mask
