"""Corrupt views: the names, and the way from a name and a severity to a corrupted view."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raw2logit.drift.corruptions import blur, digital, noise, weather
from raw2logit.drift.corruptions.constants import (
    CONSTANT_SETS,
    SEVERITIES,
    Constants,
    ConstantSet,
    between,
    published,
)
from raw2logit.drift.corruptions.draws import Draws, draw_seeds
from raw2logit.drift.corruptions.elastic import elastic
from raw2logit.drift.corruptions.jpeg import jpeg
from raw2logit.drift.corruptions.spatter import spatter
from raw2logit.errors import InputError

LEAST_SIDE_PX = 8

_SLICE_PX = 2 * 256 * 256

_SAME = math.nan  # at strength 0 what it is at severity 1


@dataclass(frozen=True)
class _Corruption:
    """How a corruption is made.

    Attributes:
        apply: Takes a view, draws, and the constants of one strength.
        random: Whether it draws.
        identity: Constants that change nothing, where those between two severities are
            interpolated; None: the two corrupted views are cross-faded.
    """

    apply: Callable[..., Tensor]
    random: bool = True
    identity: Constants | None = None


_CORRUPTIONS: dict[str, _Corruption] = {
    "gaussian_noise": _Corruption(noise.gaussian_noise, identity=(0.0,)),
    "shot_noise": _Corruption(noise.shot_noise, identity=(math.inf,)),
    "impulse_noise": _Corruption(noise.impulse_noise, identity=(0.0,)),
    "speckle_noise": _Corruption(noise.speckle_noise, identity=(0.0,)),
    "gaussian_blur": _Corruption(blur.gaussian_blur, random=False, identity=(0.0,)),
    "zoom_blur": _Corruption(blur.zoom_blur, random=False),
    "contrast": _Corruption(digital.contrast, random=False, identity=(1.0,)),
    "brightness": _Corruption(digital.brightness, random=False, identity=(0.0,)),
    "saturate": _Corruption(digital.saturate, random=False, identity=(1.0, 0.0)),
    "elastic": _Corruption(elastic, identity=(0.0, _SAME, 0.0)),
    "defocus_blur": _Corruption(blur.defocus_blur, random=False),
    "glass_blur": _Corruption(blur.glass_blur),
    "motion_blur": _Corruption(blur.motion_blur),
    "fog": _Corruption(weather.fog, identity=(0.0, _SAME)),
    "frost": _Corruption(weather.frost, identity=(1.0, 0.0, _SAME)),
    "snow": _Corruption(weather.snow),
    "spatter": _Corruption(spatter),
    "jpeg": _Corruption(jpeg, random=False),
    "pixelate": _Corruption(digital.pixelate, random=False),
}

CORRUPTIONS: tuple[str, ...] = tuple(_CORRUPTIONS)
"""All names: the ten of `PUBLISHED`, then the other nine of ImageNet-C."""
PUBLISHED: tuple[str, ...] = CORRUPTIONS[:10]
"""The ten of the published experiments, in their order."""


def corrupt(
    view: Tensor,
    name: str,
    severity: int,
    *,
    constants: ConstantSet = "cifar10-c",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Corrupt views as Hendrycks and Dietterich (ICLR 2019) do.

    Their programs read bytes, and write bytes that are rounded down, or a JPEG. Here, as in the
    published experiments on drift, views are fractions from end to end; bytes occur only where a
    corruption is made of them (glass, snow, spatter, jpeg). Constants in pixels are for 32 px
    (``cifar10-c``) and 224 px (``imagenet-c``), and are used as they are at every other size, as
    in the published experiments: the same constants do less to a larger view.

    Random corruptions draw one seed a sample from `generator` and everything else from those: a
    sample depends on its own seed alone, a batch cut in pieces gives the same, and so does every
    device. Differentiable but for shot_noise, glass_blur and jpeg.

    Args:
        view: ``(B, 3, H, W)``, floating point, in [0, 1], gamma-encoded, at least 8 px a side.
        name: One of `CORRUPTIONS`.
        severity: 1 to 5.
        constants: ``cifar10-c`` or ``imagenet-c``.
        generator: On the CPU; None: PyTorch's global one. Left alone where nothing is random.

    Returns:
        Same shape and type, in [0, 1].

    Raises:
        InputError: An argument has the wrong shape, type or range, or is no known name.
    """
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise InputError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")
    return corrupt_at(view, name, float(severity), constants=constants, generator=generator)


def corrupt_at(
    view: Tensor,
    name: str,
    strength: float,
    *,
    constants: ConstantSet = "cifar10-c",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Corrupt views at a strength between the published severities.

    Whole strengths are the severities of `corrupt`; 0 returns the view itself. Between them, the
    constants of noise, gaussian blur, contrast, brightness, saturation, elastic, fog and frost are
    interpolated (photons of shot noise in their reciprocal). Those of the others jump (whole
    kernels, steps, qualities, water or mud), so the two corrupted views, made with the same random
    numbers, are cross-faded; below 1 that fades the view into severity 1.

    The published constants do not all rise: saturation first falls (1, 2), then rises (3 to 5),
    and passes unchanged between 2 and 3.

    Args:
        view: As for `corrupt`.
        name: One of `CORRUPTIONS`.
        strength: 0 to 5.
        constants: ``cifar10-c`` or ``imagenet-c``.
        generator: As for `corrupt`.

    Raises:
        InputError: As for `corrupt`.
    """
    check_choice(view, name, constants)
    if not 0 <= strength <= SEVERITIES[-1]:
        raise InputError(f"strength must be from 0 to {SEVERITIES[-1]}, got {strength}")
    seeds = seeds_for(view, name, generator)
    return corrupt_with_seeds(view, name, strength, constants, seeds)


def check_choice(view: Tensor, name: str, constants: str) -> None:
    """Refuse views, names and constants that cannot be used.

    Raises:
        InputError: One of them is wrong.
    """
    if name not in _CORRUPTIONS:
        raise InputError(f"unknown corruption {name!r}: choose {', '.join(CORRUPTIONS)}")
    if constants not in CONSTANT_SETS:
        raise InputError(f"unknown constants {constants!r}: choose {' or '.join(CONSTANT_SETS)}")
    if view.dim() != 4 or view.shape[1] != 3 or not view.is_floating_point():
        raise InputError(
            f"view must be floating point (B, 3, H, W), got {view.dtype} {tuple(view.shape)}"
        )
    if min(view.shape[-2:]) < LEAST_SIDE_PX:
        raise InputError(
            f"view of {tuple(view.shape[-2:])} pixels: at least {LEAST_SIDE_PX} a side"
        )


def seeds_for(view: Tensor, name: str, generator: torch.Generator | None) -> list[int]:
    """Draw a seed a sample where the corruption is random; none where it is not."""
    return draw_seeds(len(view), generator) if _CORRUPTIONS[name].random else []


def corrupt_with_seeds(
    view: Tensor, name: str, strength: float, constants: ConstantSet, seeds: list[int]
) -> Tensor:
    """Corrupt at a strength with given seeds; arguments are taken as checked.

    On a CPU a few views at a time, which then stay in its cache; it makes no difference otherwise.
    """
    if strength == 0 or not len(view):
        return view.clone()
    count = len(view)
    step = max(1, _SLICE_PX // view[0, 0].numel()) if view.device.type == "cpu" else count
    places = [slice(start, start + step) for start in range(0, count, step)]
    parts = (
        _corrupt_slice(view[place], name, strength, constants, seeds[place]) for place in places
    )
    if torch.is_grad_enabled() and view.requires_grad:
        return torch.cat(list(parts))
    corrupted = torch.empty_like(view)
    for place, part in zip(places, parts, strict=True):
        corrupted[place] = part
    return corrupted


def _corrupt_slice(
    view: Tensor, name: str, strength: float, constants: ConstantSet, seeds: list[int]
) -> Tensor:
    corruption = _CORRUPTIONS[name]

    def at(numbers: Constants) -> Tensor:
        return corruption.apply(view, Draws(seeds, view), *numbers)

    if corruption.identity is not None:
        return at(between(name, strength, constants, corruption.identity))
    low = math.ceil(strength) - 1
    upper = at(published(name, low + 1, constants))
    if strength == low + 1:
        return upper
    lower = at(published(name, low, constants)) if low else view
    return lower + (strength - low) * (upper - lower)
