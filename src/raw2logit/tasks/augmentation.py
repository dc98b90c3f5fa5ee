"""Augmentation of views, each sample on its own, masks in step.

Only views are augmented, never mosaics: turning a mosaic would change its colour filter array.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.tasks.config import Augmentation

_ROTATION_DEG = 30.0
_SCALE = 1.25
"""Largest magnification; the smallest is its inverse."""
_SHEAR_DEG = 10.0
_SHIFT = 0.1
"""Largest shift, as a fraction of the side."""
_JITTER = 0.2
"""Brightness, contrast and saturation are multiplied by 1 plus or minus up to this."""
_LUMA = (0.299, 0.587, 0.114)


def augment(
    view: Tensor, mask: Tensor | None, strength: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Change each sample at random.

    Args:
        view: ``(B, 3, H, W)`` in [0, 1].
        mask: ``(B, H, W)`` or None.
        strength: none; weak: `random_dihedral`; strong: after it `random_affine` and
            `random_colour`.
        generator: Source of the choices, on the CPU wherever the view is.

    Returns:
        View and mask, same shapes, range and device.
    """
    if strength == "none":
        return view, mask
    view, mask = random_dihedral(view, mask, generator)
    if strength == "weak":
        return view, mask
    view, mask = random_affine(view, mask, generator)
    return random_colour(view, generator), mask


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


def random_affine(
    view: Tensor, mask: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Rotate, scale, shear and shift each sample; what comes in from outside is mirrored.

    Args:
        view: ``(B, 3, H, W)``, sampled bilinearly; gradients flow.
        mask: ``(B, H, W)`` or None; each pixel takes its nearest value.
        generator: Source of the choices, on the CPU.

    Returns:
        View and mask, same shapes.
    """
    count, _, height, width = view.shape
    amount = 2 * torch.rand(count, 5, generator=generator, dtype=torch.float64) - 1
    angle = math.radians(_ROTATION_DEG) * amount[:, 0]
    scale = _SCALE ** amount[:, 1]
    shear = torch.tan(math.radians(_SHEAR_DEG) * amount[:, 2])
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # In pixels from the centre, from the new image to the old. Grid coordinates count half sides,
    # so that the aspect ratio comes in where x and y mix.
    aspect = height / width
    theta = torch.stack(
        [
            torch.stack([cos, (cos * shear - sin) * aspect, _SHIFT * 2 * amount[:, 3]], dim=1),
            torch.stack([sin / aspect, sin * shear + cos, _SHIFT * 2 * amount[:, 4]], dim=1),
        ],
        dim=1,
    ).to(view)
    grid = F.affine_grid(theta, list(view.shape), align_corners=False)
    moved = F.grid_sample(view, grid, padding_mode="reflection", align_corners=False)
    if mask is not None:
        mask = F.grid_sample(
            mask[:, None].to(grid),
            grid,
            mode="nearest",
            padding_mode="reflection",
            align_corners=False,
        )[:, 0].to(mask)
    return moved, mask


def random_colour(view: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation of each sample.

    Args:
        view: ``(B, 3, H, W)`` in [0, 1].
        generator: Source of the choices, on the CPU.

    Returns:
        The same shape and range.
    """
    amount = 2 * torch.rand(view.shape[0], 3, generator=generator) - 1
    brightness, contrast, saturation = (
        (1 + _JITTER * amount).to(view)[..., None, None, None].unbind(1)
    )
    view = brightness * view
    mean = _grey(view).mean((-2, -1), keepdim=True)
    view = mean + contrast * (view - mean)
    grey = _grey(view)
    return (grey + saturation * (view - grey)).clamp(0, 1)


def _grey(view: Tensor) -> Tensor:
    return (view * view.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
