"""DNG and camera makers' raw formats through LibRaw, and DNG written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from raw2logit._dng_header import (
    LINEAR,
    MONOCHROME,
    DngHeader,
    filter_array,
    not_bayer,
    read_dng_header,
)
from raw2logit._file_checks import broken_file
from raw2logit.camera import FULL_SCALE_DN, IDENTITY_MATRIX, Camera, Triple
from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.errors import InputError
from raw2logit.files import atomic_path

VENDOR_SUFFIXES = (
    *(".dng", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".erf", ".fff", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
    *(".sr2", ".srf", ".srw", ".x3f"),
)

# Linear sRGB to CIE XYZ under D65, IEC 61966-2-1.
_XYZ_FROM_SRGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def write_dng(path: str | Path, mosaic: Tensor, camera: Camera) -> Path:
    """Write a Bayer mosaic as DNG 1.4, uncompressed.

    `read_raw` gives the same mosaic, CFA and levels back. The file has 16 bits; if that would
    round the mosaic and the camera's own number of bits would not, it has those.

    A DNG holds white balance and matrix up to a common factor and only positive gains: the sign
    of a negative one moves into the matrix, which leaves the product the same. Black levels that
    are no whole digital numbers are written as fractions; LibRaw alone cuts those off.

    Args:
        path: File to write, complete or not at all.
        mosaic: ``(H, W)``, fraction of full scale in [0, 1], even H and W, at least 22.
        camera: CFA, levels, white balance and matrix go into the metadata.

    Returns:
        `path`.

    Raises:
        InputError: The mosaic has another shape or other values, or a DNG cannot hold the
            camera's constants.
    """
    import tifffile

    path = Path(path)
    if mosaic.dim() != 2 or mosaic.shape[0] % 2 or mosaic.shape[1] % 2 or min(mosaic.shape) < 22:
        raise InputError(
            "mosaic must be (H, W) with even H and W from 22, below which LibRaw reads no DNG, "
            f"got {tuple(mosaic.shape)}"
        )
    numbers, full_scale = _exact_numbers(mosaic, camera.bits)
    white = round((1.0 if camera.white_level is None else camera.white_level) * full_scale)
    # The white level is all that tells a reader of the bits, and so of the full scale.
    if not full_scale // 2 < white <= full_scale or min(camera.black_level) < 0:
        raise InputError(
            f"camera {camera.name!r}: a DNG holds black levels from 0 and a white level from 0.5 "
            f"to 1, not {camera.black_level} and {camera.white_level}"
        )
    matrix, neutral = _dng_colours(camera)
    channel = {"R": 0, "G": 1, "B": 2}
    tags: list[tuple[int, int, int, Any, bool]] = [
        (274, 3, 1, 1, True),  # Orientation: as it is
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, bytes(channel[letter] for letter in camera.cfa), True),  # CFAPattern
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, 1, 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion
        (50708, 2, 0, f"raw2logit {camera.name}".encode("ascii", "replace"), True),  # camera model
        (50713, 3, 2, (2, 2), True),  # BlackLevelRepeatDim
        (50714, 5, 4, _black_rationals(camera, full_scale), True),  # BlackLevel
        (50717, 4, 1, white, True),  # WhiteLevel
        (50721, 10, 9, _rationals(matrix.ravel()), True),  # ColorMatrix1
        (50728, 5, 3, _rationals(neutral), True),  # AsShotNeutral
        (50778, 3, 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            numbers,
            photometric=32803,  # CFA
            compression=None,
            metadata=None,
            subfiletype=0,
            extratags=tags,
        )
    return path


def _exact_numbers(mosaic: Tensor, bits: int) -> tuple[npt.NDArray[np.uint16], int]:
    """Return digital numbers and their full scale: 16 bits, or `bits` where only they are exact."""
    values = mosaic.detach().cpu().float().numpy()
    for full_scale in (FULL_SCALE_DN, 2**bits - 1):
        numbers = _digital_numbers(mosaic, full_scale)
        if np.array_equal(numbers.astype(np.float32) / np.float32(full_scale), values):
            return numbers, full_scale
    return to_uint16(mosaic), FULL_SCALE_DN


def _black_rationals(camera: Camera, full_scale: int) -> tuple[int, ...]:
    # Numerators stay below 2^32; and what was a whole digital number is one again.
    levels = (Fraction(level * full_scale) for level in camera.black_level)
    nearest = [level.limit_denominator(FULL_SCALE_DN) for level in levels]
    return tuple(number for level in nearest for number in level.as_integer_ratio())


def to_uint16(mosaic: Tensor) -> npt.NDArray[np.uint16]:
    """Return the 16-bit digital numbers of a mosaic.

    Raises:
        InputError: The mosaic is no floating point, or not in [0, 1].
    """
    return _digital_numbers(mosaic, FULL_SCALE_DN)


def _digital_numbers(mosaic: Tensor, full_scale: int) -> npt.NDArray[np.uint16]:
    if not mosaic.is_floating_point():
        raise InputError(
            f"mosaic must be floating-point fractions of full scale, got {mosaic.dtype}: divide "
            "by 2^bits - 1"
        )
    values = mosaic.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(f"mosaic holds {bad} values that are NaN or infinite: mend or mask them")
    if values.size and (values.min() < 0 or values.max() > 1):
        raise InputError(
            f"mosaic holds values from {values.min():g} to {values.max():g}, no fractions of full "
            "scale: clamp it to [0, 1]"
        )
    return np.round(values * full_scale).astype(np.uint16)


def read_vendor(path: Path) -> tuple[npt.NDArray[np.float32], Camera]:
    """Read the visible mosaic ``(H, W)`` in [0, 1] and the camera; see `raw2logit.read_raw`.

    LibRaw has a line of its own for some broken files, on stderr; there is no way to turn it off
    from Python that would spare the lines of other threads.
    """
    import rawpy

    header = read_dng_header(path)
    try:
        # Through a buffer: names that are no UTF-8, and other threads run meanwhile.
        with path.open("rb") as file, rawpy.imread(file) as raw:
            return _mosaic_and_camera(path, raw, header)
    except InputError:
        raise
    except Exception as error:  # LibRaw's own, and memory errors from sizes in broken headers
        raise broken_file(path, "raw file", error) from error


def _mosaic_and_camera(
    path: Path,
    raw: Any,  # noqa: ANN401
    header: DngHeader | None,
) -> tuple[npt.NDArray[np.float32], Camera]:
    visible, cfa, black, white = (
        _levels_of_maker(path, raw) if header is None else _levels_of_dng(path, raw, header)
    )
    height, width = (length - length % 2 for length in visible.shape)
    bits = white.bit_length()
    full_scale = 2**bits - 1
    mosaic = visible[:height, :width].astype(np.float32) / np.float32(full_scale)
    colour_matrix = _matrix_to_srgb(path, raw)
    try:
        camera = Camera(
            name=path.name,
            cfa=cfa,
            black_level=_four(level / full_scale for level in black),
            white_balance=_gains(raw.camera_whitebalance, raw.daylight_whitebalance),
            colour_matrix=colour_matrix,
            white_level=white / full_scale,
            bits=bits,
        )
    except InputError as error:
        raise broken_file(path, "raw file", error) from error
    return np.minimum(mosaic, 1.0), camera


_Levels = tuple[npt.NDArray[np.uint16], CFA, Sequence[float], int]


def _levels_of_dng(path: Path, raw: Any, header: DngHeader) -> _Levels:  # noqa: ANN401
    pixels = raw.raw_image
    if pixels.shape != header.shape:
        raise broken_file(path, "DNG", f"{pixels.shape} pixels, not {header.shape}")
    return pixels[header.area], header.cfa, header.black_level, header.white_level


def _levels_of_maker(path: Path, raw: Any) -> _Levels:  # noqa: ANN401
    if raw.num_colors == 1:
        raise not_bayer(path, MONOCHROME)
    pattern = raw.raw_pattern
    if pattern is None:
        raise not_bayer(path, LINEAR)
    if pattern.shape != (2, 2):
        raise not_bayer(path, filter_array(*pattern.shape))
    # The pattern starts at the whole picture's corner, the mosaic where light fell.
    sites = [int(index) for index in raw.raw_colors_visible[:2, :2].ravel()]
    cfa = _cfa_name(path, [chr(raw.color_desc[index]) for index in sites])
    black = [raw.black_level_per_channel[index] for index in sites]
    white = min(raw.camera_white_level_per_channel or (raw.white_level,))
    return raw.raw_image_visible, cfa, black, int(white)


def _cfa_name(path: Path, letters: list[str]) -> CFA:
    name = "".join(letters)
    for cfa in CFA_NAMES:
        if cfa == name:
            return cfa
    if set(letters) <= set("RGB"):
        raise not_bayer(path, f"colours {name}")
    raise not_bayer(path, f"a four-colour sensor ({name})")


def _four(values: Any) -> tuple[float, float, float, float]:  # noqa: ANN401
    first, second, third, fourth = (float(value) for value in values)
    return first, second, third, fourth


def _triple(values: Any) -> Triple:  # noqa: ANN401
    first, second, third = (float(value) for value in values)
    return first, second, third


def _gains(as_shot: Sequence[float], daylight: Sequence[float]) -> Triple:
    gains = as_shot if min(as_shot[:3]) > 0 else daylight
    if min(gains[:3]) <= 0:
        return 1.0, 1.0, 1.0
    red, green, blue = _triple(gains[:3])
    return red / green, 1.0, blue / green


def _matrix_to_srgb(path: Path, raw: Any) -> tuple[Triple, Triple, Triple]:  # noqa: ANN401
    """Return the matrix from white-balanced camera RGB to linear sRGB.

    LibRaw has the matrix of a DNG in `color_matrix`, ready made, and that of a vendor's camera
    as its own XYZ table in `rgb_xyz_matrix`; each is zero where the other is set.
    """
    camera_from_srgb = np.asarray(raw.rgb_xyz_matrix, dtype=float)[:3] @ _XYZ_FROM_SRGB
    if abs(np.linalg.det(camera_from_srgb)) > 1e-9:
        # Rows that sum to one keep a neutral surface neutral after white balance.
        matrix = np.linalg.inv(camera_from_srgb / camera_from_srgb.sum(axis=1, keepdims=True))
    else:
        matrix = np.asarray(raw.color_matrix, dtype=float)[:, :3]
    if not matrix.any():
        warnings.warn(
            f"{path}: no colour matrix in the file, its colours are taken for sRGB", stacklevel=2
        )
        return IDENTITY_MATRIX
    red, green, blue = (_triple(row) for row in matrix)
    return red, green, blue


def _dng_colours(camera: Camera) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return ColorMatrix1 ``(3, 3)`` and AsShotNeutral ``(3,)`` of a DNG.

    Raises:
        InputError: A DNG's rational numbers cannot hold them.
    """
    gains = np.asarray(camera.white_balance, dtype=float)
    matrix = np.asarray(camera.colour_matrix, dtype=float) * np.where(gains < 0, -1.0, 1.0)
    if gains.all() and np.linalg.cond(matrix) < 1e6:
        to_camera = np.linalg.inv(matrix)
        # LibRaw scales the rows of the inverse to sum to one; the gains take up the factors.
        neutral = to_camera.sum(axis=1) / np.abs(gains)
        to_camera @= np.linalg.inv(_XYZ_FROM_SRGB)
        if min(neutral) > 0 and max(neutral / neutral[1]) < 200 and np.abs(to_camera).max() < 200:
            return to_camera, neutral / neutral[1]
    raise InputError(
        f"camera {camera.name!r}: a DNG cannot hold its colours: gains {camera.white_balance} must "
        f"not be zero, and the matrix {camera.colour_matrix} needs an inverse that makes white "
        "positive in all channels"
    )


def _rationals(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(number for value in values for number in (round(value * 10**7), 10**7))
