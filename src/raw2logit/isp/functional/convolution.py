"""Convolution of one plane, the form that CPUs are fast at.

A library convolution from one channel to one channel leaves most of a processor's vector unit
idle. Here a *cell* of neighbouring pixels is computed at once: the cell's pixels are the output
channels of one convolution whose stride is the cell, and each has the filter, shifted to its
place, in a window that serves the whole cell. The same form lets every site of a Bayer cell have
a filter of its own, which is what a linear demosaicing is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

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
        self._weights = _shifted(filters.tile(*repeats, 1, 1))[..., None].permute(0, 3, 1, 2)
        self._bias = None if bias is None else bias.tile(*repeats).flatten()

    def __call__(self, plane: Tensor) -> Tensor:
        """Filter ``(B, 1, H, W)`` to ``(B, C, H, W)``."""
        return self.valid(mirror_pad(plane, self._pad_px))

    def of_mosaic(self, mosaic: Tensor, out: Tensor | None = None) -> Tensor:
        """Filter ``(B, H, W)`` to ``(B, C, H, W)``, into `out` where that is given and fits."""
        plane = mosaic[:, None]
        if out is None or not is_whole_cells(*mosaic.shape[-2:]):
            return self(plane)
        as_cells(out).copy_(self.cells(plane))
        return out

    def valid(self, padded: Tensor) -> Tensor:
        """Do the same to planes that are padded already."""
        height = padded.shape[-2] - 2 * self._pad_px[0]
        width = padded.shape[-1] - 2 * self._pad_px[1]
        cells = self._cells(_to_whole_cells(padded, height, width))
        size = (height + -height % _CELL[0], width + -width % _CELL[1])
        return cells.reshape(padded.shape[0], self._channels, *size)[..., :height, :width]

    def cells(self, plane: Tensor) -> Tensor:
        """Filter a plane of whole cells, and leave them as they come: see `as_cells`."""
        return self._cells(mirror_pad(plane, self._pad_px))

    def _cells(self, padded: Tensor) -> Tensor:
        cells = F.conv2d(padded, self._weights, self._bias, stride=_CELL)
        cells = cells.reshape(padded.shape[0], self._channels, *_CELL, *cells.shape[-2:])
        return cells.permute(0, 1, 4, 2, 5, 3)


class _Correlation(torch.autograd.Function):
    """Correlation of a padded plane with a kernel.

    The library's gradient with respect to the input of a convolution with a stride costs ten
    times the convolution. It is itself a correlation of a plane, with the kernel turned by 180
    degrees, and is computed as one here.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(padded: Tensor, kernel: Tensor) -> Tensor:
        return CellConvolution(kernel[None, None, None]).valid(padded).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # noqa: ANN401
        padded, kernel = ctx.saved_tensors
        rows, columns = kernel.shape
        of_plane = of_kernel = None
        if ctx.needs_input_grad[0]:
            around = F.pad(gradient, (columns - 1, columns - 1, rows - 1, rows - 1))
            of_plane = _Correlation.apply(around, kernel.flip(0, 1))
        if ctx.needs_input_grad[1]:
            of_kernel = _kernel_gradient(padded, gradient, rows, columns)
        return of_plane, of_kernel

    @staticmethod
    def jvp(ctx: Any, padded_t: Tensor | None, kernel_t: Tensor | None) -> Tensor:  # noqa: ANN401
        padded, kernel = ctx.saved_tensors
        parts = []
        if padded_t is not None:
            parts.append(_Correlation.forward(padded_t, kernel))
        if kernel_t is not None:
            parts.append(_Correlation.forward(padded, kernel_t))
        return sum(parts[1:], start=parts[0])


def _kernel_gradient(padded: Tensor, gradient: Tensor, rows: int, columns: int) -> Tensor:
    """Return what a gradient of the output says of a ``(rows, columns)`` kernel."""
    height, width = gradient.shape[-2:]
    gradient = F.pad(gradient, (0, -width % _CELL[1], 0, -height % _CELL[0]))
    cells = as_cells(gradient.contiguous()).permute(0, 2, 4, 1, 3, 5).flatten(3)
    shape = (_CELL[0] * _CELL[1], 1, _CELL[0] + rows - 1, _CELL[1] + columns - 1)
    shifted: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
        _to_whole_cells(padded, height, width),
        shape,
        cells.permute(0, 3, 1, 2),
        stride=_CELL,
    )
    # Each pixel of the cell has its part of the window: back to the kernel, and all together.
    placed = shifted.reshape(*_CELL, *shape[2:]).permute(1, 3, 0, 2)  # q Q p P
    placed = _unskewed(placed).permute(2, 3, 0, 1)  # p k q Q
    return _unskewed(placed).sum((0, 2))


def _to_whole_cells(padded: Tensor, height: int, width: int) -> Tensor:
    """Add what is missing to whole cells; what is computed there is cut off."""
    missing = (-height % _CELL[0], -width % _CELL[1])
    return padded if missing == (0, 0) else F.pad(padded, (0, missing[1], 0, missing[0]))


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


def kernel_convolution(kernel: Tensor) -> Convolution:
    """Prepare `convolve_kernel` for a ``(k, l)`` kernel."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return CellConvolution(kernel[None, None, None])
    pad_px = (kernel.shape[0] // 2, kernel.shape[1] // 2)

    def convolve(plane: Tensor) -> Tensor:
        filtered: Tensor = _Correlation.apply(mirror_pad(plane, pad_px), kernel)
        return filtered

    return convolve


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

    ``(C, p, q, k, l)`` to ``(C p q, p + k - 1, q + l - 1)``.
    """
    placed = _skewed(filters.transpose(2, 3))  # C p k q Q
    placed = _skewed(placed.permute(0, 3, 4, 1, 2))  # C q Q p P
    return placed.permute(0, 3, 1, 4, 2).flatten(0, 2)


def _skewed(filters: Tensor) -> Tensor:
    """Shift row i of the last two axes by i: ``(..., n, k)`` to ``(..., n, n + k - 1)``."""
    count, size = filters.shape[-2:]
    # Rows with n zeros behind them, read in lines that are one shorter, start one later each.
    line = F.pad(filters, (0, count)).flatten(-2)[..., :-count]
    return line.reshape(*line.shape[:-1], count, count + size - 1)


def _unskewed(shifted: Tensor) -> Tensor:
    """Undo `_skewed`: ``(..., n, n + k - 1)`` to ``(..., n, k)``."""
    count, length = shifted.shape[-2:]
    line = F.pad(shifted.flatten(-2), (0, count))
    return line.reshape(*line.shape[:-1], count, length + 1)[..., : length + 1 - count]
