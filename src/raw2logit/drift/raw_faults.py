"""Faults of a camera, in the raw data: what the pipeline is not told of.

Mosaics are fractions of full scale, black level in, linear light. Every fault keeps them within 0
and saturation, which is the camera's white level, or 1. Strengths are a table of our own, roughly
from what one must look for to what nobody would deploy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.cfa import colour_sites, per_site
from raw2logit.drift.corruptions.draws import Draws, draw_seeds
from raw2logit.errors import InputError

_SHADING_OF_CHANNEL = (1.1, 1.0, 0.9)
"""Red falls off more than blue, so that corners turn bluish, as behind an infrared filter."""
_WRONG_PHASES = ((0, 1), (1, 0), (1, 1))


@dataclass(frozen=True)
class Fault:
    """What is known of a fault.

    Attributes:
        unit: Of its amounts.
        amounts: Of severities 1 to 5.
        largest: The largest amount that makes sense; the smallest is 0, which changes nothing.
        is_share: Whether the amount is a share of pixels or rows, which has no gradient.
    """

    unit: str
    amounts: tuple[float, float, float, float, float]
    largest: float
    is_share: bool = False


FAULTS: dict[str, Fault] = {
    "black_level": Fault("fraction of full scale", (0.002, 0.005, 0.01, 0.02, 0.05), 1.0),
    "white_balance": Fault("stops of red and of blue", (0.05, 0.1, 0.2, 0.4, 0.8), 8.0),
    "dead_pixels": Fault("share of pixels", (1e-4, 5e-4, 2e-3, 1e-2, 5e-2), 1.0, is_share=True),
    "hot_pixels": Fault("share of pixels", (1e-4, 5e-4, 2e-3, 1e-2, 5e-2), 1.0, is_share=True),
    "row_noise": Fault("fraction of full scale", (0.001, 0.002, 0.005, 0.01, 0.02), 1.0),
    "lens_shading": Fault("stops in the corner", (0.25, 0.5, 1.0, 1.5, 2.0), 8.0),
    "cfa_phase": Fault("share of rows", (0.2, 0.4, 0.6, 0.8, 1.0), 1.0, is_share=True),
}
"""The faults:

- ``black_level``: the sensor's black lies higher than the camera says.
- ``white_balance``: red sites are too bright and blue sites too dark by as many stops, or the other
  way round, which each sample draws. Gains act on the light above black.
- ``dead_pixels``: pixels that stay at the black level.
- ``hot_pixels``: pixels that are saturated.
- ``row_noise``: gaussian noise that a whole row shares; the amount is its standard deviation.
- ``lens_shading``: light above black falls off with the square of the distance from the middle of
  the mosaic, by the amount in the corners for green, 1.1 of it for red, 0.9 of it for blue.
- ``cfa_phase``: from some row on to the last, the mosaic is read a pixel further on: to the right,
  down or both, which each sample draws. The last row or column mirrors, which keeps its colours.
"""


def fault(
    mosaic: Tensor,
    name: str,
    severity: int,
    camera: Camera,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Put a fault into mosaics, at one of five severities.

    Args:
        mosaic: ``(B, H, W)``, floating point, fraction of full scale, even H and W, at least 4.
        name: A key of `FAULTS`.
        severity: 1 to 5, see the amounts in `FAULTS`.
        camera: Gives CFA, black level and white level.
        generator: On the CPU; None: PyTorch's global one. One seed a sample is drawn from it.

    Returns:
        Same shape and type, from 0 to saturation.

    Raises:
        InputError: An argument has the wrong shape, type or range, or the name is unknown.
    """
    _check_name(name)
    if isinstance(severity, bool) or severity not in (1, 2, 3, 4, 5):
        raise InputError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")
    return fault_at(mosaic, name, FAULTS[name].amounts[severity - 1], camera, generator=generator)


def fault_at(
    mosaic: Tensor,
    name: str,
    amount: float | Tensor,
    camera: Camera,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Put a fault of some amount into mosaics.

    A sample depends on its own seed alone, and the same generator state gives the same random
    numbers at every amount: more dead pixels are the same ones and others. Differentiable in the
    mosaic; in the amount, too, unless it is a share.

    Args:
        mosaic: As for `fault`.
        name: A key of `FAULTS`.
        amount: In the unit of the fault; 0 changes nothing but what is beyond saturation. One
            value, or a tensor of one a sample, ``(B,)``, where it is not a share.
        camera: As for `fault`.
        generator: As for `fault`.

    Raises:
        InputError: As for `fault`.
    """
    _check_name(name)
    if mosaic.dim() != 3 or not mosaic.is_floating_point():
        raise InputError(
            f"mosaic must be floating point (B, H, W), got {mosaic.dtype} {tuple(mosaic.shape)}"
        )
    if any(side % 2 or side < 4 for side in mosaic.shape[-2:]):
        raise InputError(
            f"mosaic of {tuple(mosaic.shape[-2:])} pixels: sides must be even and at least 4"
        )
    seeds = draw_seeds(len(mosaic), generator)
    if not len(mosaic):
        return mosaic.clone()
    amounts = _amounts(mosaic, name, amount)
    top = 1.0 if camera.white_level is None else camera.white_level
    return _MAKERS[name](mosaic, amounts, camera, Draws(seeds, mosaic), top).clamp(0, top)


def _check_name(name: str) -> None:
    if name not in FAULTS:
        raise InputError(f"unknown raw fault {name!r}: choose {', '.join(FAULTS)}")


def _amounts(mosaic: Tensor, name: str, amount: float | Tensor) -> Tensor:
    """Return the amounts as ``(B or 1, 1, 1)``, checked."""
    known = FAULTS[name]
    values = torch.as_tensor(amount, dtype=mosaic.dtype, device=mosaic.device)
    if not ((values >= 0) & (values <= known.largest)).all():
        raise InputError(
            f"{name}: amount must be from 0 to {known.largest:g} ({known.unit}), got {amount}"
        )
    if values.numel() != 1 and (known.is_share or values.shape != mosaic.shape[:1]):
        one = "one value" if known.is_share else f"one value or {len(mosaic)}"
        raise InputError(f"{name}: amount must be {one}, got {tuple(values.shape)}")
    return values.reshape(-1, 1, 1)


def _black(mosaic: Tensor, camera: Camera) -> Tensor:
    return per_site(mosaic.new_tensor(camera.black_level), *mosaic.shape[-2:])


def _per_channel(mosaic: Tensor, camera: Camera, values: tuple[float, float, float]) -> Tensor:
    """Give each pixel the value of its channel: ``(H, W)``."""
    sites = [values[channel] for channel in colour_sites(camera.cfa)]
    return per_site(mosaic.new_tensor(sites), *mosaic.shape[-2:])


def _black_level(mosaic: Tensor, offset: Tensor, _: Camera, __: Draws, ___: float) -> Tensor:
    return mosaic + offset


def _white_balance(mosaic: Tensor, stops: Tensor, camera: Camera, draws: Draws, _: float) -> Tensor:
    sign = (2 * draws.integers(0, 2, 1, 1) - 1).to(mosaic)
    black = _black(mosaic, camera)
    gains = torch.exp2(stops * sign * _per_channel(mosaic, camera, (1.0, 0.0, -1.0)))
    return mosaic + (gains - 1) * (mosaic - black)


def _dead_pixels(mosaic: Tensor, share: Tensor, camera: Camera, draws: Draws, _: float) -> Tensor:
    hit = draws.uniform(0, 1, *mosaic.shape[1:]) < share
    return torch.where(hit, _black(mosaic, camera), mosaic)


def _hot_pixels(mosaic: Tensor, share: Tensor, _: Camera, draws: Draws, top: float) -> Tensor:
    hit = draws.uniform(0, 1, *mosaic.shape[1:]) < share
    return mosaic.masked_fill(hit, top)


def _row_noise(mosaic: Tensor, deviation: Tensor, _: Camera, draws: Draws, __: float) -> Tensor:
    return mosaic + deviation * draws.normal(mosaic.shape[1], 1)


def _lens_shading(mosaic: Tensor, stops: Tensor, camera: Camera, _: Draws, __: float) -> Tensor:
    height, width = mosaic.shape[-2:]
    down, across = (
        2 * torch.arange(side, dtype=mosaic.dtype, device=mosaic.device) - (side - 1)
        for side in (height, width)
    )
    corner = (height - 1) ** 2 + (width - 1) ** 2
    share = (down[:, None] ** 2 + across**2) / corner
    loss = stops * _per_channel(mosaic, camera, _SHADING_OF_CHANNEL) * share
    black = _black(mosaic, camera)
    return mosaic + (torch.exp2(-loss) - 1) * (mosaic - black)


def _cfa_phase(mosaic: Tensor, share: Tensor, _: Camera, draws: Draws, __: float) -> Tensor:
    height, width = mosaic.shape[-2:]
    first = height - round(float(share) * height)
    shifted = []
    for sample, choice in zip(mosaic, draws.integers(0, 3, 1).flatten().tolist(), strict=True):
        down, across = _WRONG_PHASES[choice]
        rows, columns = (
            _further(side, step, mosaic.device) for side, step in ((height, down), (width, across))
        )
        shifted.append(torch.cat([sample[:first], sample[rows][:, columns][first:]]))
    return torch.stack(shifted)


def _further(side: int, step: int, device: torch.device) -> Tensor:
    """Number the pixels of a side, `step` (0 or 1) further on; the last one mirrors."""
    place = torch.arange(side, device=device) + step
    return torch.where(place < side, place, 2 * side - 2 - place)


_MAKERS: dict[str, Callable[[Tensor, Tensor, Camera, Draws, float], Tensor]] = {
    "black_level": _black_level,
    "white_balance": _white_balance,
    "dead_pixels": _dead_pixels,
    "hot_pixels": _hot_pixels,
    "row_noise": _row_noise,
    "lens_shading": _lens_shading,
    "cfa_phase": _cfa_phase,
}
