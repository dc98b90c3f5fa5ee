"""A chain of steps run with as few passes over the image as it allows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TypeVar

from torch import Tensor

from raw2logit.isp.functional.luma import luma_of
from raw2logit.isp.linear import LinearMap
from raw2logit.isp.steps import LinearStep, LumaStep, Step

_Kind = TypeVar("_Kind", bound=Step)


def run_folded(steps: Sequence[Step], image: Tensor) -> Tensor:
    """Run steps in their order, neighbours of one kind together.

    Linear steps become one operation, which yields the luma too where a luma filter follows; luma
    filters pass the luma on to each other, and their change is added to the colours once.

    Args:
        steps: In the order of execution.
        image: ``(B, H, W)`` mosaic.

    Returns:
        What the steps would give one by one, up to rounding.
    """
    rest = list(steps)
    while rest:
        linear, rest = _leading(rest, LinearStep)
        filters, rest = _leading(rest, LumaStep)
        if linear:
            folded = LinearMap.identity(image)
            for step in linear:
                folded = step.fold(folded)
            image = (folded.with_luma() if filters else folded).apply(image)
        if filters:
            luma = image[:, 3:] if linear else luma_of(image)
            filtered = luma
            for luma_step in filters:
                filtered = luma_step.filter(filtered)
            image = image[:, :3] + (filtered - luma)
        if not linear and not filters:
            image, rest = rest[0](image), rest[1:]
    return image


def _leading(steps: list[Step], kind: type[_Kind]) -> tuple[list[_Kind], list[Step]]:
    """Split the steps of a kind off the front."""
    front = [step for step in takewhile(lambda step: isinstance(step, kind), steps)]
    return front, steps[len(front) :]  # type: ignore[return-value]
