"""The sensor: light to digital numbers, with photon noise, read noise and quantisation."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.camera import FULL_SCALE_DN, Camera
from raw2logit.cfa import per_site
from raw2logit.errors import InputError

INTENSITIES = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01)
"""Exposures relative to full in the published data."""


def expose(
    light: Tensor,
    camera: Camera,
    *,
    intensity: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take a raw picture of light that falls on the mosaic.

    Photons arrive by a Poisson law, the read-out adds gaussian noise and the black level, the
    converter rounds to `camera.bits` and saturates (the photon transfer model, J. R. Janesick,
    "Photon Transfer", SPIE 2007).

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
    if camera.full_scale_electrons is None:
        raise InputError(
            f"camera {camera.name!r} has no full_scale_electrons, so its photon noise is unknown: "
            "set it with dataclasses.replace(camera, full_scale_electrons=...)"
        )
    if not intensity > 0:
        raise InputError(f"intensity must be above 0, got {intensity}")
    electrons = torch.poisson(
        light.clamp_min(0) * (intensity * camera.full_scale_electrons), generator=generator
    )
    if camera.read_noise_electrons:
        noise = torch.empty_like(electrons).normal_(generator=generator)
        electrons = electrons + camera.read_noise_electrons * noise
    black = per_site(electrons.new_tensor(camera.black_level), *light.shape[-2:])
    return quantise(electrons / camera.full_scale_electrons + black, camera.bits)


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
