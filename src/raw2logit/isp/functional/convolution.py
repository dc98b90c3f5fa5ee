"""Convolution of one plane, the form that CPUs are fast at.

A library convolution from one channel to one channel leaves most of a processor's vector unit
idle. Here a *cell* of neighbouring pixels is computed at once: the cell's pixels are the output
channels of one convolution whose stride is the cell, and each has the filter, shifted to its
place, in a window that serves the whole cell. The same form lets every site of a Bayer cell have
a filter of its own, which is what a linear demosaicing is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.isp.functional.borders import mirror_pad

_CELL = (2, 8)
"""Height and width of a cell in pixels, the fastest found; both even, so that the CFA repeats."""


def phase_convolution(mosaic: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """Filter a mosaic with one filter a channel and CFA site.

    Args:
        mosaic: ``(B, H, W)`` with even H and W.
        weights: ``(C, 4, k, k)`` with odd k: the filter, centred on the output pixel, that makes
            a channel at a site (sites in row order).
        bias: ``(C, 4)``, added; None: nothing.

    Returns:
        ``(B, C, H, W)``.
    """
    sites = weights.reshape(-1, 2, 2, *weights.shape[2:])
    offset = None if bias is None else bias.reshape(-1, 2, 2)
    return _cell_convolution(mosaic[:, None], sites, offset)


def convolve_kernel(plane: Tensor, kernel: Tensor) -> Tensor:
    """Correlate a plane with a kernel.

    Args:
        plane: ``(B, 1, H, W)``.
        kernel: ``(k, l)``, both odd.

    Returns:
        ``(B, 1, H, W)``.
    """
    return _cell_convolution(plane, kernel[None, None, None], None)


def site_windows(values: Tensor, size: int) -> Tensor:
    """Return the site values that a window around each site sees.

    Args:
        values: ``(..., 4)``, one value a CFA site in row order.
        size: Odd side of the window.

    Returns:
        ``(..., 4, size, size)``.
    """
    radius, repeats = size // 2, size // 2 + 2
    tiled = values.reshape(*values.shape[:-1], 2, 2).tile(repeats, repeats)
    first = radius % 2
    tiled = tiled[..., first : first + size + 1, first : first + size + 1]
    return tiled.unfold(-2, size, 1).unfold(-2, size, 1).flatten(-4, -3)


def _cell_convolution(plane: Tensor, filters: Tensor, bias: Tensor | None) -> Tensor:
    """Filter ``(B, 1, H, W)`` by ``(C, p, q, k, l)``, repeated over the image: ``(B, C, H, W)``."""
    channels, rows, columns, *size = filters.shape
    height, width = plane.shape[-2:]
    repeats = (1, _CELL[0] // rows, _CELL[1] // columns)
    padded = mirror_pad(plane, (size[0] // 2, size[1] // 2))
    # Whole cells only: what lies beyond the image is computed and cut off.
    missing = (-height % _CELL[0], -width % _CELL[1])
    padded = F.pad(padded, (0, missing[1], 0, missing[0]))
    # Channels last: the pixels of a cell's row then lie side by side, as they do in the image.
    weights = _shifted(filters.tile(*repeats, 1, 1)).to(memory_format=torch.channels_last)
    offset = None if bias is None else bias.tile(*repeats).flatten()
    cells = F.conv2d(padded, weights, offset, stride=_CELL)
    cells = cells.reshape(plane.shape[0], channels, *_CELL, *cells.shape[-2:])
    cells = cells.permute(0, 1, 4, 2, 5, 3)
    image = cells.reshape(plane.shape[0], channels, height + missing[0], width + missing[1])
    return image[..., :height, :width]


def _shifted(filters: Tensor) -> Tensor:
    """Place the filter of each pixel of a cell into a window of the whole cell.

    ``(C, p, q, k, l)`` to ``(C p q, 1, p + k - 1, q + l - 1)``.
    """
    placed = _skewed(filters.transpose(2, 3))  # C p k q Q
    placed = _skewed(placed.permute(0, 3, 4, 1, 2))  # C q Q p P
    return placed.permute(0, 3, 1, 4, 2).flatten(0, 2)[:, None]


def _skewed(filters: Tensor) -> Tensor:
    """Shift row i of the last two axes by i: ``(..., n, k)`` to ``(..., n, n + k - 1)``."""
    count, size = filters.shape[-2:]
    # Rows with n zeros behind them, read in lines that are one shorter, start one later each.
    line = F.pad(filters, (0, count)).flatten(-2)[..., :-count]
    return line.reshape(*line.shape[:-1], count, count + size - 1)
