"""The gain and the read noise of a camera, measured by its photon transfer curve.

The variance of a pixel grows with its mean: by the gain for each digital number of light, from
what read noise and rounding give in the dark. A line through points (mean, variance) of flat fields
tells both (J. R. Janesick, "Photon Transfer", SPIE 2007; EMVA Standard 1288, release 4.0, 2021).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from raw2logit._transfer_line import Line, fit_line
from raw2logit._transfer_points import (
    Points,
    Region,
    flat_points,
    measure_black_level,
    pair_points,
)
from raw2logit.camera import FULL_SCALE_DN, Camera
from raw2logit.errors import InputError

__all__ = [
    "PhotonTransfer",
    "Region",
    "calibrate_flat",
    "calibrate_pairs",
    "measure_black_level",
]

_MAX_GAIN_ERROR = 0.05
"""Standard error, as a share of the gain, above which the points do not tell it."""
_MAX_READ_NOISE_ERROR = 0.25
"""The same for the read noise; half an electron is good enough for any."""
_SINGLE = "; or the pattern of the pixels shows, which pairs are free of (--pairs)"
_MAX_SCATTER = 2.0
_MAX_BELOW_BLACK = 0.25
"""Levels below black, in standard deviations of a dark pixel; they say that black is too high."""
_MIN_DARK_SHARE = 0.02
"""Share of the points that says so: fewer may be a stuck part of the pictures."""


@dataclass(frozen=True)
class PhotonTransfer:
    """What a photon transfer curve tells of a camera.

    Attributes:
        gain_dn_per_electron: Digital numbers of 16 bits that one electron makes.
        gain_error: Its standard error.
        read_noise_electrons: Standard deviation of the read noise.
        read_noise_error: Its standard error; 0 if the read noise was given.
        mean_dn: Mean of each point, digital numbers of 16 bits above black.
        variance_dn2: Its variance, that of rounding included.
        rounding_dn2: Part of the variance that comes from rounding to `Camera.bits`.
        scatter: Spread of the points about the line, in units of what photon and read noise alone
            give them. About 1, if scene and light were flat and did not change.
    """

    gain_dn_per_electron: float
    gain_error: float
    read_noise_electrons: float
    read_noise_error: float
    mean_dn: tuple[float, ...]
    variance_dn2: tuple[float, ...]
    rounding_dn2: float
    scatter: float

    @property
    def full_scale_electrons(self) -> float:
        """Electrons that fill the full scale."""
        return FULL_SCALE_DN / self.gain_dn_per_electron

    @property
    def full_scale_error(self) -> float:
        """Standard error of `full_scale_electrons`."""
        return self.full_scale_electrons * self.gain_error / self.gain_dn_per_electron

    def calibrate(self, camera: Camera) -> Camera:
        """Return `camera` with the measured gain and read noise."""
        return replace(
            camera,
            full_scale_electrons=self.full_scale_electrons,
            read_noise_electrons=self.read_noise_electrons,
        )


def calibrate_pairs(
    pairs: Iterable[tuple[Tensor, Tensor]],
    camera: Camera,
    *,
    regions: Sequence[Region] = (),
    read_noise_electrons: float | None = None,
) -> PhotonTransfer:
    """Measure gain and read noise from pairs of pictures of one flat scene.

    Both pictures of a pair have the same light and exposure. Their difference holds noise alone:
    the scene, shading and the pattern of the pixels cancel. Pairs of different exposures, or
    shading, give the spread of levels that both unknowns need. The read noise is only as good as
    the black level: an error of so many electrons in one is as many square electrons in the other.

    Args:
        pairs: Mosaics ``(H, W)``, fraction of full scale in [0, 1], black level in.
        camera: Its black level, white level and bits are used.
        regions: Parts of the pictures to use; none: all of them.
        read_noise_electrons: Known already, so that only the gain is measured.

    Returns:
        Gain and read noise with their standard errors.

    Raises:
        InputError: The pictures of a pair do not fit each other, a region does not fit them, or
            the points do not tell what is asked for.

    Warns:
        UserWarning: The points scatter more than noise explains.
    """
    points = [
        pair_points(first, second, camera, region)
        for first, second in pairs
        for region in regions or (None,)
    ]
    return _conclude(points, camera, read_noise_electrons, "")


def calibrate_flat(
    pictures: Iterable[Tensor],
    camera: Camera,
    *,
    regions: Sequence[Region] = (),
    read_noise_electrons: float | None = None,
) -> PhotonTransfer:
    """Measure gain and read noise from flat regions of single pictures.

    Slow shading does no harm. But the pattern of the pixels, whose gains differ by about 1 %, adds
    to the variance of bright levels, and so do many hot pixels: above some thousand electrons the
    gain comes out too large, and `calibrate_pairs` is the way.

    Args:
        pictures: Mosaics ``(H, W)``, fraction of full scale in [0, 1], black level in.
        camera: Its black level, white level and bits are used.
        regions: Flat parts of each picture; none: all of it is flat.
        read_noise_electrons: Known already, so that only the gain is measured.

    Returns:
        Gain and read noise with their standard errors.

    Raises:
        InputError: A region does not fit a picture, or the points do not tell what is asked for.

    Warns:
        UserWarning: The points scatter more than noise explains.
    """
    points = [
        flat_points(picture, camera, region)
        for picture in pictures
        for region in regions or (None,)
    ]
    return _conclude(points, camera, read_noise_electrons, _SINGLE)


def _conclude(
    points: Sequence[Points], camera: Camera, read_noise: float | None, caution: str
) -> PhotonTransfer:
    if read_noise is not None and not (read_noise >= 0 and math.isfinite(read_noise)):
        raise InputError(f"read noise must be at least 0 electrons, got {read_noise}")
    if not points:
        raise InputError("no picture to measure: give at least a pair, or one flat picture")
    joined = Points(*(np.concatenate(field) for field in zip(*points, strict=True)))
    mean = joined.mean
    if not len(mean):
        raise InputError(
            "every part of the pictures holds a pixel at zero or at saturation: choose another "
            "region or exposure"
        )
    _check_black_level(joined, camera)
    rounding = 4.0 ** (16 - camera.bits) / 12
    line = fit_line(joined, rounding, read_noise)
    what = f"{len(mean)} points from {mean.min():.0f} to {mean.max():.0f} digital numbers"
    noise, noise_error = _read_noise(line, what, camera, rounding, caution)
    if line.scatter > _MAX_SCATTER:
        given = "" if read_noise is None else ", or the read noise is another (--read-noise)"
        warnings.warn(
            f"{what} scatter {line.scatter:.1f} times as much as noise does: scene or light were "
            "not flat, or changed; choose flat parts (--region). Or the black level is another "
            f"(--dark){given}{caution}",
            stacklevel=3,
        )
    return PhotonTransfer(
        gain_dn_per_electron=line.gain,
        gain_error=line.gain_error,
        read_noise_electrons=noise if read_noise is None else read_noise,
        read_noise_error=noise_error,
        mean_dn=tuple(mean.tolist()),
        variance_dn2=tuple(joined.variance.tolist()),
        rounding_dn2=rounding,
        scatter=line.scatter,
    )


def _check_black_level(points: Points, camera: Camera) -> None:
    """Refuse a black level that is too high, which would make the read noise too large."""
    mean, variance, samples = points
    below = -float(np.quantile(mean + 4 * np.sqrt(variance / samples), _MIN_DARK_SHARE))
    dark = variance[mean <= np.quantile(mean, _MIN_DARK_SHARE)]
    if below > _MAX_BELOW_BLACK * math.sqrt(np.median(dark)):
        raise InputError(
            f"the darkest points lie {below:.0f} digital numbers below the black level "
            f"{_black(camera)}, so that is too high: measure it from a dark picture (--dark)"
        )


def _black(camera: Camera) -> str:
    levels = " ".join(f"{level * FULL_SCALE_DN:.1f}" for level in camera.black_level)
    return f"({levels}) of camera {camera.name!r}"


def _read_noise(
    line: Line, what: str, camera: Camera, rounding: float, caution: str
) -> tuple[float, float]:
    """Return the read noise and its standard error, or refuse points that do not tell enough."""
    gain = f"{line.gain:.3g} +- {line.gain_error:.2g}"
    if not line.gain_error < _MAX_GAIN_ERROR * line.gain:
        raise InputError(
            f"{what} do not tell the gain ({gain}): add pixels, or pictures of other levels, or "
            f"give the read noise (--read-noise){caution}"
        )
    if line.dark + rounding < -3 * line.dark_error:
        raise InputError(
            f"{what}: no variance is left at the black level {_black(camera)}, so that is too low, "
            f"or the levels were processed: measure it from a dark picture (--dark){caution}"
        )
    square = max(line.dark, 0.0) / line.gain**2
    noise = math.sqrt(square)
    # That of a root, and finite where the root is zero.
    error = math.sqrt(square + line.square_error) - noise
    if error > max(_MAX_READ_NOISE_ERROR * noise, 0.5):
        raise InputError(
            f"{what} tell the gain ({gain}) but not the read noise ({noise:.2g} +- {error:.2g} "
            f"e-): add darker pictures, or give the read noise (--read-noise){caution}"
        )
    return noise, error
