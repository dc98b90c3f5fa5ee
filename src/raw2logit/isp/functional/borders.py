"""The one border rule of the package: mirror, edge pixel not repeated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def mirror_pad(image: Tensor, pad_px: int | tuple[int, int]) -> Tensor:
    """Pad the last two axes by mirroring, edge pixel not repeated.

    The mirror keeps the parity of a colour filter array, so that padding a mosaic once is the
    same as padding at every later step with a symmetric kernel.

    Args:
        image: ``(C, H, W)`` or ``(B, C, H, W)`` with H and W at least 2.
        pad_px: Pixels added on each side, one number or (rows, columns); may exceed the image,
            which is then mirrored again.

    Returns:
        ``(..., H + 2 rows, W + 2 columns)``.
    """
    down, right = (pad_px, pad_px) if isinstance(pad_px, int) else pad_px
    height, width = image.shape[-2:]
    if down < height and right < width:
        return F.pad(image, (right, right, down, down), mode="reflect")
    rows = _mirror_index(height, down, image.device)
    columns = _mirror_index(width, right, image.device)
    return image[..., rows[:, None], columns]


def _mirror_index(length: int, pad_px: int, device: torch.device) -> Tensor:
    period = 2 * (length - 1)
    index = torch.arange(-pad_px, length + pad_px, device=device).abs() % period
    return torch.where(index >= length, period - index, index)
