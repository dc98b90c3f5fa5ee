"""Sizes and borders: whole Bayer cells, and mirroring without repeating the edge pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.errors import InputError


def require_even(mosaic: Tensor) -> None:
    """Check that a mosaic consists of whole 2x2 cells.

    Raises:
        InputError: Its last two axes are odd or empty. Not raised while a graph is traced, whose
            sizes may be left open.
    """
    height, width = mosaic.shape[-2:]
    if torch.compiler.is_compiling():
        return
    if height % 2 or width % 2 or not height or not width:
        raise InputError(
            f"a mosaic must have even height and width, got {height} x {width}: "
            "crop the last row or column, which keeps the CFA"
        )


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
