"""Filters that several corruptions share: gaussian, zoom, motion."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Border = Literal["nearest", "reflect"]
_PIECE_PX = 64
_LEAST_WEIGHT = 1e-12  # of a tap of a motion, whose weights sum to 1


def gaussian(
    images: Tensor, sigma_px: float, *, border: Border = "nearest", truncate: float = 4.0
) -> Tensor:
    """Filter each plane with a sampled, truncated, normalised gaussian, as scipy does.

    Products with pieces of a matrix: at the sizes of tiles the quickest way, for any border.

    Args:
        images: ``(..., H, W)``.
        sigma_px: 0 or more.
        border: ``nearest`` repeats the edge pixel, ``reflect`` mirrors the image with it.
        truncate: Radius of the kernel in sigma.
    """
    if sigma_px <= 0:
        return images
    height, width = images.shape[-2:]
    across = [
        images[..., low:high] @ matrix.to(images).T
        for low, high, matrix in _gaussian_pieces(width, sigma_px, border, truncate)
    ]
    filtered = torch.cat(across, dim=-1)
    down = [
        matrix.to(images) @ filtered[..., low:high, :]
        for low, high, matrix in _gaussian_pieces(height, sigma_px, border, truncate)
    ]
    return torch.cat(down, dim=-2)


@lru_cache(maxsize=16)
def _gaussian_pieces(
    side: int, sigma_px: float, border: Border, truncate: float
) -> list[tuple[int, int, Tensor]]:
    """Return the matrix of the filter, some rows at a time, each with its used columns' range."""
    radius = int(truncate * sigma_px + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma_px) ** 2)
    weights /= weights.sum()
    pieces = []
    for start in range(0, side, _PIECE_PX):
        stop = min(start + _PIECE_PX, side)
        low, high = max(0, start - radius), min(side, stop + radius)
        sources = np.arange(start, stop)[:, None] + offsets
        if border == "nearest":
            sources = sources.clip(0, side - 1)
        else:
            sources = sources % (2 * side)
            sources = np.minimum(sources, 2 * side - 1 - sources)
        matrix = np.zeros((stop - start, high - low))
        rows = np.arange(stop - start)[:, None]
        np.add.at(matrix, (rows, sources - low), np.broadcast_to(weights, sources.shape))
        pieces.append((low, high, torch.from_numpy(matrix)))
    return pieces


def zoom_size(side: int, factor: float) -> tuple[int, int]:
    """Return how many pixels are cut from the middle of a side, and how many become of them."""
    cut = math.ceil(side / factor)
    return cut, round(cut * factor)


def zoom(images: Tensor, cuts: tuple[int, int], sizes: tuple[int, int]) -> Tensor:
    """Cut the middle out, enlarge it bilinearly, and cut the middle of that to the old size.

    Args:
        images: ``(B, C, H, W)``.
        cuts: Height and width that are cut out, see `zoom_size`.
        sizes: What they become; corner pixels stay on corner pixels.
    """
    height, width = images.shape[-2:]
    top, left = (height - cuts[0]) // 2, (width - cuts[1]) // 2
    middle = images[..., top : top + cuts[0], left : left + cuts[1]]
    if cuts != sizes:
        middle = F.interpolate(middle, sizes, mode="bilinear", align_corners=True)
    top, left = (sizes[0] - height) // 2, (sizes[1] - width) // 2
    return middle[..., top : top + height, left : left + width]


def motion(images: Tensor, radius_px: float, sigma_px: float, angles_deg: Tensor) -> Tensor:
    """Blur along a direction, to one side, as ImageMagick's motion blur does.

    The taps are those of half a gaussian at whole pixels nearest to a line that starts at the
    pixel itself: ``2 radius + 1`` of them, the edge pixel repeated. So the picture moves, too.

    Args:
        images: ``(B, C, H, W)``.
        radius_px: Rounded up.
        sigma_px: Above 0.
        angles_deg: ``(B,)``; 0 looks right, 90 down.
    """
    height, width = images.shape[-2:]
    reach = torch.arange(2 * math.ceil(radius_px) + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (reach / sigma_px) ** 2)
    weights = weights / weights.sum()
    reach, taps = reach[weights > _LEAST_WEIGHT], weights[weights > _LEAST_WEIGHT].tolist()
    radians = angles_deg.detach().cpu().double().deg2rad()[:, None]
    across = torch.ceil(reach * radians.cos() - 0.5).long()
    down = torch.ceil(reach * radians.sin() - 0.5).long()
    left, top = max(0, -int(across.min())), max(0, -int(down.min()))
    right, bottom = max(0, int(across.max())), max(0, int(down.max()))
    padded = F.pad(images, (left, right, top, bottom), mode="replicate")
    blurred = []
    offsets = zip(padded, (down + top).tolist(), (across + left).tolist(), strict=True)
    for image, rows, columns in offsets:
        total = torch.zeros_like(images[0])
        for weight, row, column in zip(taps, rows, columns, strict=True):
            shifted = image[:, row : row + height, column : column + width]
            total.add_(shifted, alpha=weight)
        blurred.append(total)
    return torch.stack(blurred)
