"""The sensor: light to digital numbers, with photon noise, read noise and quantisation.

The model is that of the photon transfer curve (J. R. Janesick, "Photon Transfer", SPIE 2007): the
variance of a pixel is its number of electrons, plus that of the read noise, plus that of rounding
to digital numbers. `raw2logit.photon_transfer` measures the constants of a camera.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from raw2logit.camera import FULL_SCALE_DN, Camera
from raw2logit.cfa import per_site
from raw2logit.errors import InputError

INTENSITIES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01)
"""Exposures relative to full in the published data."""

Law = Literal["binomial", "gaussian"]
"""How `reduce_exposure` draws photon noise."""


def expose(
    light: Tensor,
    camera: Camera,
    *,
    intensity: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take a raw picture of light that falls on the mosaic.

    Photons arrive by a Poisson law, the read-out adds gaussian noise and the black level, the
    pixel saturates at the white level, and the converter rounds to `camera.bits`.

    Args:
        light: ``(B, H, W)``, noise-free, linear, non-negative; 1 fills the full scale at
            intensity 1 (black level not counted). H and W even.
        camera: Needs `full_scale_electrons`; read noise None counts as none.
        intensity: Exposure relative to full, above 0.
        generator: Source of the noise; None: PyTorch's global one.

    Returns:
        ``(B, H, W)`` float32 mosaic as a file holds it: multiples of 1 / 65535 in [0, 1],
        left-justified, black level in.

    Raises:
        InputError: The camera has no `full_scale_electrons`, or the intensity is not positive.
    """
    full_scale_electrons = _require(camera, "full_scale_electrons", "photon noise")
    if not intensity > 0:
        raise InputError(f"intensity must be above 0, got {intensity}")
    electrons = torch.poisson(
        light.clamp_min(0) * (intensity * full_scale_electrons), generator=generator
    )
    if camera.read_noise_electrons:
        noise = torch.empty_like(electrons).normal_(generator=generator)
        electrons = electrons + camera.read_noise_electrons * noise
    return quantise(_read_out(electrons, camera, full_scale_electrons), camera.bits)


def reduce_exposure(
    mosaic: Tensor,
    camera: Camera,
    intensity: float | Tensor,
    *,
    law: Law = "binomial",
    quantised: bool = True,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Make of a raw picture the one that a shorter exposure would have given.

    A pixel of N electrons on average was recorded with variance N + r^2 + q^2: photons, read noise
    r, rounding q. At intensity s it would have mean s N and variance s N + r^2 (+ q^2). Scaling the
    picture leaves s^2 of its variance, so what is missing is drawn on top: photon noise
    s (1 - s) N, which depends on the recorded electrons themselves, and read noise
    (1 - s^2) r^2 - s^2 q^2. Mean and variance are then right at every level, also where read noise
    took the signal below black. Only rounding that is coarse beside read and photon noise cannot be
    taken back: the variance stays too large by at most s^2 q^2, and the mean may be off by some
    hundredths of a digital number.

    What was clipped stays unknown. A saturated pixel comes out at s times saturation, although it
    may have been brighter; where the black level is too low for the read noise, dark pixels come
    out too bright. The result shares noise with the picture it was made from: of photon noise
    alone, the two correlate by sqrt(s).

    Args:
        mosaic: ``(H, W)`` or ``(B, H, W)``, fraction of full scale, black level in, even H and W,
            rounded to `camera.bits`. It is at full exposure, or at any other that `intensity` is
            relative to.
        camera: Needs `full_scale_electrons` and `read_noise_electrons`.
        intensity: Exposure relative to that of `mosaic`, above 0, at most 1. A tensor of one value
            or of one an image, ``(B,)``.
        law: ``binomial`` thins the whole electrons, each kept with probability s, which is exact:
            what is left of a Poisson law is a Poisson law. It has no gradient. ``gaussian`` has
            the same mean and variance and is differentiable in `intensity` and `mosaic`.
        quantised: Round to `camera.bits`; the gradient passes as if nothing was rounded. False:
            only saturate.
        noise: ``gaussian`` only: standard normal values in the shape of `mosaic`, instead of new
            ones. The same noise makes the result a smooth function of the intensity.
        generator: Source of the noise; None: PyTorch's global one.

    Returns:
        Shape and dtype of `mosaic`, in [0, 1]; if quantised, multiples of 1 / 65535.

    Raises:
        InputError: The camera lacks a constant, or an argument has the wrong shape or range.
    """
    full_scale_electrons = _require(camera, "full_scale_electrons", "photon noise")
    read_noise = _require(camera, "read_noise_electrons", "read noise")
    _check_mosaic(mosaic)
    if law not in get_args(Law):
        raise InputError(f"unknown law {law!r}: choose {' or '.join(get_args(Law))}")
    kept = _per_image(intensity, mosaic)
    black = per_site(mosaic.new_tensor(camera.black_level), *mosaic.shape[-2:])
    electrons = (mosaic - black) * full_scale_electrons
    rounding = full_scale_electrons * 2 ** (16 - camera.bits) / FULL_SCALE_DN / 12**0.5
    missing = (1 - kept**2) * read_noise**2 - (kept * rounding) ** 2
    if law == "gaussian":
        scaled = kept * electrons
        missing = missing + kept * (1 - kept) * electrons
    else:
        if torch.is_grad_enabled() and (mosaic.requires_grad or kept.requires_grad):
            raise InputError("the binomial law has no gradient: ask for law='gaussian'")
        if noise is not None:
            raise InputError("noise is for law='gaussian': give the binomial law a generator")
        whole = electrons.round().clamp_min(0)
        scaled = kept * (electrons - whole) + _thin(whole, kept, generator)
        missing = missing + kept * (1 - kept) * (electrons - whole)
    if noise is None:
        noise = torch.empty_like(mosaic).normal_(generator=generator)
    elif noise.shape != mosaic.shape:
        raise InputError(f"noise must be {tuple(mosaic.shape)}, got {tuple(noise.shape)}")
    # The slope of a root at zero is infinite, and infinity times zero would be the gradient.
    some = missing > 0
    deviation = torch.where(some, missing, 1.0).sqrt() * some
    exact = _read_out(scaled + deviation * noise.to(mosaic.dtype), camera, full_scale_electrons)
    top = (2**camera.bits - 1) * 2 ** (16 - camera.bits) / FULL_SCALE_DN
    saturated = exact.clamp(0, top)
    if not quantised:
        return saturated
    passed = saturated - saturated.detach()  # zero, with a gradient
    return quantise(exact.detach(), camera.bits) + passed


def quantise(mosaic: Tensor, bits: int) -> Tensor:
    """Round to `bits`, left-justified in 16, saturating at both ends.

    Args:
        mosaic: Any shape, fraction of full scale.
        bits: 1 to 16.

    Returns:
        Same shape, multiples of 1 / 65535.
    """
    step = 2 ** (16 - bits)
    numbers = (mosaic * (FULL_SCALE_DN / step)).round().clamp(0, 2**bits - 1) * step
    fraction: Tensor = numbers / FULL_SCALE_DN
    return fraction


def check_bits(mosaic: Tensor, camera: Camera) -> None:
    """Refuse a mosaic whose values contradict the bits of its camera.

    Noise and rounding are wrong by far where a camera states more bits than its converter has, or
    where a file holds fewer than 16 bits that were not shifted to the top.

    Args:
        mosaic: ``(H, W)``, fraction of full scale.
        camera: What is said of it.

    Raises:
        InputError: The values are multiples of a coarser step than the camera states, or stay
            below its number of bits in the low bits of 16.
    """
    numbers = (mosaic.double() * FULL_SCALE_DN).round().long().numpy()
    if numbers.min() == numbers.max():
        return  # a constant tells nothing
    common = int(np.gcd.reduce(numbers.ravel()))
    step = common & -common
    shown = 16 - step.bit_length() + 1
    if shown < camera.bits:
        raise InputError(
            f"all values are multiples of {step}, so the converter has {shown} bits, but camera "
            f"{camera.name!r} states {camera.bits}: add --bits {shown}"
        )
    native = mosaic.double() * (2**camera.bits - 1)
    off_grid = float((native - native.round()).abs().max()) > 0.01
    if shown > camera.bits and off_grid and numbers.max() < 2**camera.bits:
        raise InputError(
            f"no value reaches {2**camera.bits} of 65535, so its {camera.bits} bits stand at the "
            f"bottom of 16: multiply the values by {2 ** (16 - camera.bits)}"
        )


def noise_generator(seed: tuple[int, ...]) -> torch.Generator:
    """Return a generator on the CPU whose noise depends on these numbers and on nothing else.

    Args:
        seed: At least one number, none negative. Zeros at the end do not count, so keep to one
            length.
    """
    state = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator().manual_seed(state)


def _read_out(electrons: Tensor, camera: Camera, full_scale_electrons: float) -> Tensor:
    """Return fractions of full scale, black level in; a pixel saturates at the white level."""
    black = per_site(electrons.new_tensor(camera.black_level), *electrons.shape[-2:])
    mosaic = electrons / full_scale_electrons + black
    return mosaic if camera.white_level is None else mosaic.clamp_max(camera.white_level)


def _require(
    camera: Camera, field: Literal["full_scale_electrons", "read_noise_electrons"], what: str
) -> float:
    value: float | None = getattr(camera, field)
    if value is None:
        raise InputError(
            f"camera {camera.name!r} has no {field}, so its {what} is unknown: measure it with "
            f"`raw2logit data calibrate`, or set it with dataclasses.replace(camera, {field}=...)"
        )
    return value


def _check_mosaic(mosaic: Tensor) -> None:
    if not mosaic.is_floating_point():
        raise InputError(
            f"mosaic must be floating-point fractions of full scale, got {mosaic.dtype}: divide "
            "by 2^bits - 1"
        )
    if mosaic.dim() not in (2, 3) or mosaic.shape[-2] % 2 or mosaic.shape[-1] % 2:
        raise InputError(
            f"mosaic must be (H, W) or (B, H, W) with even H and W, got {tuple(mosaic.shape)}"
        )


def _per_image(intensity: float | Tensor, mosaic: Tensor) -> Tensor:
    """Return the intensity in a shape that multiplies `mosaic`."""
    values = torch.as_tensor(intensity, dtype=mosaic.dtype, device=mosaic.device)
    if not ((values > 0) & (values <= 1)).all():
        raise InputError(
            f"intensity must be above 0 and at most 1, got {intensity}: light that was not "
            "recorded cannot be added"
        )
    if values.numel() == 1:
        return values.reshape(())
    if mosaic.dim() == 3 and values.shape == mosaic.shape[:1]:
        return values[:, None, None]
    raise InputError(
        f"intensity must be one value, or one an image, got {tuple(values.shape)} for a mosaic "
        f"{tuple(mosaic.shape)}"
    )


def _thin(whole: Tensor, kept: Tensor, generator: torch.Generator | None) -> Tensor:
    """Keep each of the electrons with a probability."""
    # In double precision, so that no count is too large to be told from the next.
    probability = kept.double().expand_as(whole).contiguous()
    return torch.binomial(whole.double(), probability, generator=generator).to(whole.dtype)
