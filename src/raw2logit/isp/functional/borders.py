"""The one border rule of the package: mirror, edge pixel not repeated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mirror_pad(image: Tensor, pad_px: int) -> Tensor:
    """Pad the last two axes by mirroring, edge pixel not repeated.

    The mirror keeps the parity of a colour filter array, so that padding a mosaic once is the
    same as padding at every later step with a symmetric kernel.

    Args:
        image: ``(C, H, W)`` or ``(B, C, H, W)`` with H and W at least 2.
        pad_px: Pixels added on each side; may exceed the image, which is then mirrored again.

    Returns:
        ``(..., H + 2 pad_px, W + 2 pad_px)``.
    """
    if pad_px < min(image.shape[-2:]):
        return F.pad(image, (pad_px, pad_px, pad_px, pad_px), mode="reflect")
    rows = _mirror_index(image.shape[-2], pad_px, image.device)
    columns = _mirror_index(image.shape[-1], pad_px, image.device)
    return image[..., rows[:, None], columns]


def _mirror_index(length: int, pad_px: int, device: torch.device) -> Tensor:
    period = 2 * (length - 1)
    index = torch.arange(-pad_px, length + pad_px, device=device).abs() % period
    return torch.where(index >= length, period - index, index)
