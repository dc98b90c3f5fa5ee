"""Convolution of one plane, the form that CPUs are fast at.

A library convolution from one channel to one channel leaves most of a processor's vector unit
idle. Here a *cell* of neighbouring pixels is computed at once: the cell's pixels are the output
channels of one convolution whose stride is the cell, and each has the filter, shifted to its
place, in a window that serves the whole cell. The same form lets every site of a Bayer cell have
a filter of its own, which is what a linear demosaicing is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.isp.functional.borders import mirror_pad

_CELL = (2, 8)
"""Height and width of a cell in pixels, the fastest found; both even, so that the CFA repeats."""

Convolution = Callable[[Tensor], Tensor]
"""Filters planes ``(B, 1, H, W)`` to ``(B, C, H, W)``; prepared once, applied many times."""


class CellConvolution:
    """A convolution that is prepared once and applied many times."""

    def __init__(self, filters: Tensor, bias: Tensor | None = None) -> None:
        """Place the filters.

        Args:
            filters: ``(C, p, q, k, l)`` with odd k and l: a filter for each channel and each of p
                x q pixels, which repeat over the image.
            bias: ``(C, p, q)``, added; None: nothing.
        """
        channels, rows, columns, *size = filters.shape
        repeats = (1, _CELL[0] // rows, _CELL[1] // columns)
        self._channels = channels
        self._pad_px = (size[0] // 2, size[1] // 2)
        # Channels last: the pixels of a cell's row then lie side by side, as they do in the image.
        self._weights = _shifted(filters.tile(*repeats, 1, 1)).to(memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.tile(*repeats).flatten()

    def __call__(self, plane: Tensor) -> Tensor:
        """Filter ``(B, 1, H, W)`` to ``(B, C, H, W)``."""
        height, width = plane.shape[-2:]
        # Whole cells only: what lies beyond the image is computed and cut off.
        missing = (-height % _CELL[0], -width % _CELL[1])
        cells = self.cells(plane, missing)
        size = (height + missing[0], width + missing[1])
        return cells.reshape(plane.shape[0], self._channels, *size)[..., :height, :width]

    def cells(self, plane: Tensor, missing: tuple[int, int] = (0, 0)) -> Tensor:
        """Do the same, but leave the cells as they come: see `as_cells`."""
        padded = mirror_pad(plane, self._pad_px)
        if missing != (0, 0):
            padded = F.pad(padded, (0, missing[1], 0, missing[0]))
        cells = F.conv2d(padded, self._weights, self._bias, stride=_CELL)
        cells = cells.reshape(plane.shape[0], self._channels, *_CELL, *cells.shape[-2:])
        return cells.permute(0, 1, 4, 2, 5, 3)


def as_cells(image: Tensor) -> Tensor:
    """View ``(B, C, H, W)``, H and W whole numbers of cells, as ``(B, C, H/p, p, W/q, q)``."""
    count, channels, height, width = image.shape
    rows, columns = height // _CELL[0], width // _CELL[1]
    return image.view(count, channels, rows, _CELL[0], columns, _CELL[1])


def is_whole_cells(height: int, width: int) -> bool:
    """Return whether `as_cells` can view an image of this size."""
    return height % _CELL[0] == 0 and width % _CELL[1] == 0


def convolve_kernel(plane: Tensor, kernel: Tensor) -> Tensor:
    """Correlate a plane with a kernel.

    Args:
        plane: ``(B, 1, H, W)``.
        kernel: ``(k, l)``, both odd.

    Returns:
        ``(B, 1, H, W)``.
    """
    return kernel_convolution(kernel)(plane)


def kernel_convolution(kernel: Tensor) -> CellConvolution:
    """Prepare `convolve_kernel` for a ``(k, l)`` kernel."""
    return CellConvolution(kernel[None, None, None])


def phase_convolution(weights: Tensor, bias: Tensor | None = None) -> CellConvolution:
    """Prepare a convolution with one filter a channel and CFA site.

    Args:
        weights: ``(C, 4, k, k)`` with odd k: the filter, centred on the output pixel, that makes
            a channel at a site (sites in row order).
        bias: ``(C, 4)``, added; None: nothing.

    Returns:
        A function from ``(B, 1, H, W)`` mosaics with even H and W to ``(B, C, H, W)``.
    """
    sites = weights.reshape(-1, 2, 2, *weights.shape[2:])
    return CellConvolution(sites, None if bias is None else bias.reshape(-1, 2, 2))


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
