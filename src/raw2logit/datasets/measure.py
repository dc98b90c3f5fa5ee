"""One file of a data set, read and measured."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from raw2logit.camera import FULL_SCALE_DN, Camera
from raw2logit.cfa import CFA
from raw2logit.datasets.drone import read_mask
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import sha256_of
from raw2logit.raw import RawImage, read_raw

SITES = ("R", "G1", "G2", "B")
"""The sites of a colour filter array; the first green is the upper one."""


class FileJob(NamedTuple):
    """A file to measure.

    Attributes:
        path: The file.
        role: What it is read as; ``other`` is not read, only digested.
        camera: Its constants; None: the file's own. Their colour filter arrays must be the same.
        own_camera: Whether the file's own constants count more, where it has any.
        crop_odd: Drop the last row or column of an odd-sized image or mask.
        one_class: Refuse a mask that holds more than one value beside zero.
    """

    path: Path
    role: Literal["image", "mask", "other"]
    camera: Camera | None = None
    own_camera: bool = False
    crop_odd: bool = False
    one_class: bool = False


@dataclass(frozen=True)
class SiteSums:
    """Sums over the pixels of one site of the colour filter array.

    Attributes:
        count: Pixels.
        total: Sum of the values, as fractions of full scale.
        squares: Sum of their squares.
        below_black: Pixels below the black level.
        black_level: Of the site, fraction of full scale.
    """

    count: int
    total: float
    squares: float
    below_black: int
    black_level: float


@dataclass(frozen=True)
class Measured:
    """What was found in a file.

    Attributes:
        sha256: Of the file.
        error: Why it could not be read, and the mend; empty: it could.
        shape: Height and width in pixels.
        pixels: Digest of the values; files with equal ones show the same.
        minimum: Smallest value, fraction of full scale.
        maximum: Largest value.
        zeros: Pixels at 0.
        saturated: Pixels at the white level, or at the top of the camera's range.
        sites: By name; empty if the camera is not known.
    """

    sha256: str
    error: str = ""
    shape: tuple[int, int] = (0, 0)
    pixels: str = ""
    minimum: float = 0.0
    maximum: float = 0.0
    zeros: int = 0
    saturated: int = 0
    sites: dict[str, SiteSums] = field(default_factory=dict)


def measure_file(job: FileJob) -> Measured:
    """Read a file and measure it; what is wrong with it becomes `Measured.error`."""
    digest = ""
    try:
        digest = sha256_of(job.path)
        if job.role == "other":
            return Measured(digest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever opens the data set is told
            if job.role == "mask":
                return _measure_mask(digest, job)
            image = read_raw(job.path, crop_odd=job.crop_odd)
        return _measure_mosaic(digest, image.mosaic, _camera_of(image, job))
    except (InputError, MissingDataError) as error:
        return Measured(digest, str(error).removeprefix(f"{job.path}: "))
    except OSError as error:
        return Measured(digest, f"cannot be read ({error.strerror}): mend its rights or the disk")


def site_names(cfa: CFA) -> tuple[str, str, str, str]:
    """Return the names of the sites of the top-left 2x2, row by row.

    >>> site_names("GRBG")
    ('G1', 'R', 'B', 'G2')
    """
    greens = iter(("G1", "G2"))
    first, second, third, fourth = (next(greens) if name == "G" else name for name in cfa)
    return first, second, third, fourth


def _camera_of(image: RawImage, job: FileJob) -> Camera | None:
    if image.camera is None or job.camera is None:
        return image.camera or job.camera
    if image.camera.cfa != job.camera.cfa:
        raise InputError(
            f"{job.path}: its metadata says {image.camera.cfa}, camera {job.camera.name!r} says "
            f"{job.camera.cfa}: mend the camera"
        )
    return image.camera if job.own_camera else job.camera


def _measure_mask(digest: str, job: FileJob) -> Measured:
    mask = read_mask(job.path, one_class=job.one_class)
    if job.crop_odd:
        height, width = mask.shape
        mask = mask[: height - height % 2, : width - width % 2]
    return Measured(digest, shape=_shape(mask), pixels=_digest(mask))


def _measure_mosaic(digest: str, mosaic: Tensor, camera: Camera | None) -> Measured:
    values = mosaic.numpy()
    # Half a digital number: a level is rounded on its way into a file.
    top = _top(camera) - 0.5 / FULL_SCALE_DN
    return Measured(
        digest,
        shape=_shape(mosaic),
        pixels=_digest(mosaic),
        minimum=float(values.min()),
        maximum=float(values.max()),
        zeros=int((values == 0).sum()),
        saturated=int((values >= top).sum()),
        sites={} if camera is None else _measure_sites(mosaic, camera),
    )


def _shape(values: Tensor) -> tuple[int, int]:
    height, width = values.shape
    return height, width


def _digest(values: Tensor) -> str:
    shape = f"{tuple(values.shape)}".encode()
    return hashlib.sha256(shape + values.contiguous().numpy().tobytes()).hexdigest()


def _top(camera: Camera | None) -> float:
    if camera is None:
        return 1.0
    if camera.white_level is not None:
        return camera.white_level
    step = 1 << (16 - camera.bits)
    return ((1 << camera.bits) - 1) * step / FULL_SCALE_DN


def _measure_sites(mosaic: Tensor, camera: Camera) -> dict[str, SiteSums]:
    sites = {}
    for site, name in enumerate(site_names(camera.cfa)):
        row, column = divmod(site, 2)
        values = mosaic[row::2, column::2].to(torch.float64).numpy()
        black = camera.black_level[site]
        # A level that a file holds as float32 must not lie above itself.
        below = values < float(np.float32(black))
        sites[name] = SiteSums(
            values.size,
            float(values.sum()),
            float(np.square(values).sum()),
            int(below.sum()),
            black,
        )
    return sites
