"""Large batches and large frames, a cacheful at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

SLICE_PX = 4 * 256 * 256
"""Pixels processed at a time: the planes in flight then stay in a processor's cache."""
_TILE_PX = (384, 768)
"""Largest height and width of a tile: not square, since long rows are read and written faster."""
_GRID_PX = 8
"""Tiles and their margins are whole numbers of this: even, which keeps the CFA, and whole cells of
a convolution, which is quick."""


Process = Callable[[Tensor, Tensor | None], Tensor]
"""From ``(B, H, W)`` mosaics to ``(B, 3, H, W)`` images, whatever B, H and W. The second argument,
where there is one, is a contiguous tensor for the result: it may be filled and returned."""


def in_slices(
    process: Process,
    raw: Tensor,
    parameters: Iterable[Tensor] = (),
    *,
    reach_px: int | None = None,
) -> Tensor:
    """Process a batch a few images at a time, and large frames in tiles that overlap.

    Off a CPU, and while the computation is watched, all is processed at once. Where a gradient is
    asked for, frames stay whole.

    Args:
        process: What to do.
        raw: ``(B, H, W)``.
        parameters: Those of `process`: whether one of them wants a gradient.
        reach_px: How far away a pixel can be that changes an output pixel; None: anywhere, so
            that frames stay whole.

    Returns:
        What ``process(raw, None)`` returns.
    """
    if is_watched(raw) or raw.device.type != "cpu" or raw.numel() <= SLICE_PX:
        return process(raw, None)
    count, height, width = raw.shape
    if wants_gradient(raw, *parameters):
        return torch.cat([process(raw[images], None) for images in _batches(raw)])
    with torch.no_grad():
        view = raw.new_empty(count, 3, height, width)
        if height * width <= SLICE_PX or reach_px is None:
            for images in _batches(raw):
                out = view[images]
                if (part := process(raw[images], out)) is not out:
                    out.copy_(part)
        else:
            margin_px = math.ceil(reach_px / _GRID_PX) * _GRID_PX
            for target, source, inner in _tiles(raw, margin_px):
                view[target] = process(raw[source], None)[inner]
    return view


def wants_gradient(*tensors: Tensor) -> bool:
    """Return whether the gradient with respect to one of the tensors is asked for."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def is_watched(raw: Tensor) -> bool:
    """Return whether a graph is traced, a function transform runs, or `raw` is a dual number.

    Nothing may then be written in place or decided by values.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or unpack_dual(raw).tangent is not None  # type: ignore[no-untyped-call]
    )


_Part = tuple[tuple[slice, ...], tuple[slice, ...], tuple[slice, ...]]


def _batches(raw: Tensor) -> Iterator[slice]:
    """Divide the batch."""
    count, height, width = raw.shape
    step = max(1, SLICE_PX // (height * width))
    for start in range(0, count, step):
        yield slice(start, start + step)


def _tiles(raw: Tensor, margin_px: int) -> Iterator[_Part]:
    """Give, a tile each: where it goes, where it comes from, and what is kept of that."""
    count, height, width = raw.shape
    for index in range(count):
        image = slice(index, index + 1)
        for rows in _spans(height, _TILE_PX[0], margin_px):
            for columns in _spans(width, _TILE_PX[1], margin_px):
                target = (image, slice(None), rows[0], columns[0])
                yield target, (image, rows[1], columns[1]), (..., rows[2], columns[2])  # type: ignore[misc]


def _spans(length: int, most_px: int, margin_px: int) -> Iterator[tuple[slice, slice, slice]]:
    """Divide an axis evenly: each part, the same with margins, and its place inside that."""
    count = math.ceil(length / most_px)
    size = math.ceil(length / count / _GRID_PX) * _GRID_PX
    for start in range(0, length, size):
        stop = min(start + size, length)
        first, last = max(0, start - margin_px), min(length, stop + margin_px)
        yield slice(start, stop), slice(first, last), slice(start - first, stop - first)
