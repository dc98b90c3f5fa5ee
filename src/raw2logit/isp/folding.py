"""A chain of steps run with as few passes over the image as it allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from raw2logit.isp.functional.convolution import as_cells, is_whole_cells
from raw2logit.isp.functional.luma import luma_of
from raw2logit.isp.functional.slices import is_watched
from raw2logit.isp.linear import LinearMap, is_symmetric
from raw2logit.isp.steps import KernelStep, LinearStep, LumaStep, Step

_Kind = TypeVar("_Kind", bound=Step)


_LARGEST_PX = 17
"""Side of the largest luma filter that is folded; a larger one is slower than its parts."""

_Part = Callable[[Tensor], Tensor]


def fold(steps: Sequence[Step], like: Tensor, *, look_at_values: bool = False) -> _Part:
    """Prepare steps to run in their order, neighbours of one kind together.

    Linear steps become one operation. Where filters of the luma follow, it gives the luma and the
    colours minus the luma, and the filtered luma is added to these at the end. All that depends on
    parameters alone is computed here, so that slices of a batch share it.

    Args:
        steps: In the order of execution.
        like: A tensor of the type and on the device of the mosaics to come.
        look_at_values: Fold kernels of the luma too where all are symmetric. This reads parameters
            and is for their present values only, so it is not for tracing or learning.

    Returns:
        A function from ``(B, H, W)`` mosaics to what the steps give one by one, up to rounding.
    """
    parts: list[_Part] = []
    rest, on_mosaic = list(steps), True
    while rest:
        linear, rest = _leading(rest, LinearStep)  # type: ignore[type-abstract]
        filters, rest = _leading(rest, LumaStep)
        if linear:
            folded = LinearMap.identity(like, takes_mosaic=on_mosaic)
            for step in linear:
                folded = step.fold(folded)
            if on_mosaic and not folded.gives_image:
                # Before a demosaicing that decides by values, not even rounding may differ.
                parts.extend([*linear, *filters])
            elif not filters:
                parts.append(folded.prepare())
            elif on_mosaic:
                parts.append(_from_mosaic(folded, filters, look_at_values=look_at_values))
            else:
                parts.append(_filter_luma(filters, folded))
            on_mosaic = on_mosaic and not folded.gives_image
        elif filters:
            parts.append(_filter_luma(filters))
        else:
            on_mosaic = on_mosaic and not rest[0].gives_image
            parts.append(rest.pop(0))

    def run(image: Tensor) -> Tensor:
        for part in parts:
            image = part(image)
        return image

    return run


def _from_mosaic(folded: LinearMap, filters: list[LumaStep], *, look_at_values: bool) -> _Part:
    """Make the colours of a mosaic and filter their luma."""
    luma_map, rest = folded.luma(), list(filters)
    look_at_values = look_at_values and luma_map.is_symmetric
    while look_at_values and rest and isinstance(rest[0], KernelStep):
        kernel = rest[0].luma_kernel()
        if luma_map.size_px + kernel.shape[-1] - 1 > _LARGEST_PX or not is_symmetric(kernel):
            break
        luma_map = luma_map.filtered(kernel)
        rest.pop(0)
    colour, luma = folded.without_luma().convolution(), luma_map.convolution()
    remaining = [step.prepare() for step in rest]

    def run(mosaic: Tensor) -> Tensor:
        plane = mosaic[:, None]
        plain = torch.is_grad_enabled() or is_watched(mosaic)
        if plain or not is_whole_cells(*mosaic.shape[-2:]):
            return colour(plane) + _chained(luma(plane), remaining)
        filtered = as_cells(_chained(luma(plane), remaining)) if remaining else luma.cells(plane)
        image = mosaic.new_empty(mosaic.shape[0], 3, *mosaic.shape[-2:])
        torch.add(colour.cells(plane), filtered, out=as_cells(image))
        return image

    return run


def _filter_luma(filters: Sequence[LumaStep], folded: LinearMap | None = None) -> _Part:
    """Filter the luma of an image, of which a linear map is still to be made."""
    prepared = [step.prepare() for step in filters]
    if folded is None:

        def run(image: Tensor) -> Tensor:
            luma = luma_of(image)
            return image + (_chained(luma, prepared) - luma)

        return run
    colour_of, folded_luma_of = folded.without_luma().prepare(), folded.luma().prepare()
    return lambda image: colour_of(image) + _chained(folded_luma_of(image), prepared)


def _chained(luma: Tensor, filters: Sequence[_Part]) -> Tensor:
    for luma_filter in filters:
        luma = luma_filter(luma)
    return luma


def _leading(steps: list[Step], kind: type[_Kind]) -> tuple[list[_Kind], list[Step]]:
    """Split the steps of a kind off the front; one with hooks has to be called by itself."""
    count = 0
    while count < len(steps) and isinstance(steps[count], kind) and not has_hooks(steps[count]):
        count += 1
    return steps[:count], steps[count:]  # type: ignore[return-value]


def has_hooks(step: Step) -> bool:
    """Return whether a step has to be called as a module, for its hooks to run."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(step, name) for name in hooks)
