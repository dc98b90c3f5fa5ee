"""Files that carry each their own camera, brought to one camera in the raw domain.

A pipeline has one camera, but two shots of the same camera differ in black level, white level and
as-shot white balance. Levels and gains act on each value by itself, so their difference can be
taken up by the mosaic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.cfa import colour_sites, per_site
from raw2logit.errors import InputError

_MATRIX_TOLERANCE = 1e-3
"""Colour matrices that differ less are the same: files hold them as rounded fractions."""


def reference_camera(cameras: Mapping[Path, Camera], name: str) -> Camera:
    """Return the camera that `to_reference` brings mosaics of all `cameras` to.

    Gains are the largest of each channel and black levels the largest of each site. The white
    level is as low as it takes to fit every mosaic in [0, 1] without a clip: factors are at most 1.

    Args:
        cameras: One a file, at least one.
        name: Of the camera that is returned.

    Raises:
        InputError: Colour filter array, bits or colour matrix differ, or a gain is not positive.
    """
    (first_file, first), *others = cameras.items()
    for file, camera in others:
        _require_same(first_file, first, file, camera)
    gains = np.array([camera.white_balance for camera in cameras.values()])
    if not (gains > 0).all():
        file = next(file for file, camera in cameras.items() if min(camera.white_balance) <= 0)
        raise InputError(f"{file}: a white balance gain is not above 0: {_MEND}")
    if all(_constants(camera) == _constants(first) for camera in cameras.values()):
        return replace(first, name=name)
    black = np.array([camera.black_level for camera in cameras.values()])
    span = np.stack([_span(camera) for camera in cameras.values()])
    reference_black = black.max(axis=0)
    # What fills the range from black to full scale in a file may do so in the reference.
    room = (1 - reference_black) / (1 - black)
    return replace(
        first,
        name=name,
        black_level=tuple(reference_black.tolist()),
        white_balance=tuple(gains.max(axis=0).tolist()),
        white_level=float((reference_black + span * room).min()),
    )


def to_reference(mosaic: Tensor, camera: Camera, reference: Camera) -> Tensor:
    """Make of a mosaic of `camera` one of `reference`: the same light and the same white balance.

    The view through a pipeline of `reference` is that of the file's own camera for bilinear
    demosaicing, to rounding, and close to it for the methods that mix channels (Malvar, Menon):
    the difference of the gains then acts before demosaicing. Views without white balance (``none``,
    ``neural``) see the mosaic with that difference taken up.

    Args:
        mosaic: ``(H, W)``, fraction of full scale, even H and W.
        camera: Of the mosaic.
        reference: From `reference_camera` with `camera` among its cameras.

    Returns:
        ``(H, W)`` float32 in [0, 1].
    """
    if is_reference(camera, reference):
        return mosaic
    channels = list(colour_sites(camera.cfa))
    gains = np.array(camera.white_balance) / np.array(reference.white_balance)
    factor = torch.from_numpy(gains[channels] * _span(reference) / _span(camera))
    black = torch.tensor(camera.black_level, dtype=torch.float64)
    offset = torch.tensor(reference.black_level, dtype=torch.float64) - factor * black
    size = mosaic.shape
    moved = mosaic.double() * per_site(factor, *size) + per_site(offset, *size)
    # Only rounding can leave the range.
    return moved.clamp(0, 1).float()


def is_reference(camera: Camera, reference: Camera) -> bool:
    """Tell whether `to_reference` leaves mosaics of a camera as they are."""
    return _constants(camera) == _constants(reference)


_MEND = "give one camera for all files (camera.yaml in the folder, or --camera)"


def _require_same(first_file: Path, first: Camera, file: Path, camera: Camera) -> None:
    matrices = np.array(first.colour_matrix), np.array(camera.colour_matrix)
    for field, same in (
        ("CFA", first.cfa == camera.cfa),
        ("bits", first.bits == camera.bits),
        ("colour matrix", np.allclose(*matrices, rtol=0, atol=_MATRIX_TOLERANCE)),
    ):
        if not same:
            attribute = field.lower().replace(" ", "_")
            raise InputError(
                f"{file}: its camera has another {field} than that of {first_file.name} "
                f"({getattr(camera, attribute)}, not {getattr(first, attribute)}): {_MEND}, or "
                "keep the files of one camera model"
            )


def _constants(camera: Camera) -> tuple[object, ...]:
    """Return all that decides what a mosaic means."""
    return camera.black_level, camera.white_level, camera.white_balance


def _span(camera: Camera) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return what a pipeline divides the values of each site by, ``(4,)``."""
    if camera.white_level is None:
        return np.ones(4)
    return camera.white_level - np.array(camera.black_level)
