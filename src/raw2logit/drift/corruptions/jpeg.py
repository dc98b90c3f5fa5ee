"""JPEG compression at a quality, as Pillow's libjpeg writes and reads it, batched.

Baseline with 4:2:0 subsampling, the standard tables of ITU-T T.81 annex K, and the smooth
("fancy") upsampling of chroma. What is lossless, the entropy coding, is left out.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.drift.corruptions.draws import Draws

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_TO_YCC = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def jpeg(view: Tensor, _: Draws, quality: float) -> Tensor:
    """Compress and decompress. No gradient: everything is rounded.

    Args:
        view: ``(B, 3, H, W)`` in [0, 1]; rounded to bytes first.
        quality: 1 to 100, whole.

    Returns:
        Multiples of 1 / 255.
    """
    height, width = view.shape[-2:]
    colours = (view.detach() * 255).round()
    colours = F.pad(colours, (0, -width % 16, 0, -height % 16), mode="replicate")
    planes = torch.einsum("ij,bjhw->bihw", view.new_tensor(_TO_YCC), colours)
    luma = _through_blocks(planes[:, :1].round(), quantisation_table("luma", quality))
    luma = luma[:, 0, :height, :width]
    # Chroma halves are rounded down and so is the sum of four, by turns of 1/4 and 1/2.
    chroma = _halve(torch.ceil(planes[:, 1:] + 127.5))
    chroma = _through_blocks(chroma, quantisation_table("chroma", quality))
    chroma = chroma[..., : math.ceil(height / 2), : math.ceil(width / 2)]
    blue, red = (_double(chroma)[..., :height, :width] - 128).unbind(1)
    bytes_ = torch.stack(
        [
            luma + (1.402 * red).round(),
            luma + (-0.344136286 * blue - 0.714136286 * red).round(),
            luma + (1.772 * blue).round(),
        ],
        dim=1,
    )
    return bytes_.clamp(0, 255) / 255


def quantisation_table(kind: Literal["luma", "chroma"], quality: float) -> Tensor:
    """Return the ``(8, 8)`` steps of the coefficients, whole numbers, as libjpeg scales them."""
    whole = int(quality)
    percent = 5000 // whole if whole < 50 else 200 - 2 * whole
    base = torch.tensor(_LUMA if kind == "luma" else _CHROMA)
    return ((base * percent + 50) // 100).clamp(1, 255)


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """Return the 8 x 8 matrix of the discrete cosine transform."""
    place = torch.arange(8, dtype=torch.float64)
    rows = torch.cos((2 * place + 1) * place[:, None] * math.pi / 16) / 2
    rows[0] /= math.sqrt(2)
    return rows


def _through_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Transform blocks of 8 x 8, round to multiples of the table, and transform back to bytes."""
    count, channels, height, width = planes.shape
    cosines = _cosines().to(planes)
    steps = table.to(planes)[:, None]  # rows of a block lie before the blocks of a row
    strips = (planes - 128).reshape(count * channels, height // 8, 8, width)
    blocks = (cosines @ strips).reshape(-1, 8, width // 8, 8) @ cosines.T
    # libjpeg keeps eighths, and rounds halves away from zero.
    eighths = (blocks * 8).round()
    multiples = eighths.sign() * torch.floor(eighths.abs() / (8 * steps) + 0.5)
    strips = ((multiples * steps) @ cosines).reshape(count * channels, height // 8, 8, width)
    values = (cosines.T @ strips).reshape(planes.shape)
    return (values + 128).round().clamp(0, 255)


def _halve(planes: Tensor) -> Tensor:
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    four = rows[..., ::2] + rows[..., 1::2]
    bias = four.new_tensor([1.0, 2.0]).repeat((four.shape[-1] + 1) // 2)[: four.shape[-1]]
    return torch.floor((four + bias) / 4)


def _double(planes: Tensor) -> Tensor:
    """Enlarge by two: 3/4 of the nearer sample and 1/4 of the further, each way."""
    padded = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    near = 3 * padded[..., 1:-1, :]
    rows = torch.stack([near + padded[..., :-2, :], near + padded[..., 2:, :]], dim=-2)
    rows = rows.flatten(-3, -2)
    near = 3 * rows[..., 1:-1]
    left = torch.floor((near + rows[..., :-2] + 8) / 16)
    right = torch.floor((near + rows[..., 2:] + 7) / 16)
    return torch.stack([left, right], dim=-1).flatten(-2)
