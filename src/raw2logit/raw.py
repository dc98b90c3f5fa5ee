"""Raw files: DNG, vendor formats, TIFF, PNG and NPY to a mosaic and its camera, and DNG back."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit.camera import CFA, CFA_NAMES, IDENTITY_MATRIX, Camera, Triple
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import atomic_path
from raw2logit.sensor import FULL_SCALE_DN

if TYPE_CHECKING:
    import tifffile

TIFF_SUFFIXES = (".tif", ".tiff")
VENDOR_SUFFIXES = (
    *(".dng", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".erf", ".fff", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
    *(".sr2", ".srf", ".srw", ".x3f"),
)
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".npy", *VENDOR_SUFFIXES)
"""What `read_raw` reads."""

# Linear sRGB to CIE XYZ under D65, IEC 61966-2-1.
_XYZ_FROM_SRGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)

# Deflate shrinks at most to a thousandth; a header that claims more is broken.
_MOST_BYTES_A_FILE_BYTE = 1100

# tifffile tells of broken tags by logging; read_raw raises instead.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class RawImage:
    """One raw picture.

    Attributes:
        mosaic: ``(H, W)`` float32, linear, fraction of full scale in [0, 1], black level in.
        camera: From the caller or the file's own metadata; None: the file has none.
        path: Where it came from.
    """

    mosaic: Tensor
    camera: Camera | None
    path: Path


def read_raw(path: str | Path, *, camera: Camera | None = None, crop_odd: bool = False) -> RawImage:
    """Read a raw file.

    TIFF and PNG hold 8 or 16 bits a pixel in one channel, NPY the same or floating-point
    fractions of full scale. DNG and vendor formats go through LibRaw: the mosaic is the visible
    area, cut to even height and width at its end, and the camera comes from the file's metadata:
    CFA, black and white level, as-shot white balance (daylight if there is none) and the matrix
    to sRGB (the identity, with a warning, if there is none).

    Args:
        path: A file with one of `SUFFIXES`.
        camera: Use these constants instead of the file's own.
        crop_odd: Drop the last row or column of an odd-sized TIFF, PNG or NPY.

    Returns:
        Mosaic and camera.

    Raises:
        MissingDataError: There is no such file.
        InputError: The file is broken or holds no Bayer mosaic.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder: name the raw files in it")
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file: check the name")
    suffix = path.suffix.lower()
    own_camera: Camera | None = None
    if suffix in VENDOR_SUFFIXES:
        mosaic, own_camera = _read_vendor(path)
    elif suffix in SUFFIXES:
        mosaic = _to_fraction(path, _READERS[suffix](path))
    else:
        raise InputError(
            f"{path}: unknown kind of file {suffix!r}: convert it to one of {' '.join(SUFFIXES)}"
        )
    height, width = mosaic.shape
    if crop_odd:
        mosaic = mosaic[: height - height % 2, : width - width % 2]
    elif height % 2 or width % 2:
        raise InputError(
            f"{path}: {height} x {width} pixels, but a mosaic has even height and width: "
            "drop the last row or column (--crop-odd, or crop_odd=True)"
        )
    if min(mosaic.shape) < 2:
        raise InputError(f"{path}: {height} x {width} pixels are no mosaic: at least 2 x 2 needed")
    return RawImage(torch.from_numpy(np.ascontiguousarray(mosaic)), camera or own_camera, path)


def write_dng(path: str | Path, mosaic: Tensor, camera: Camera) -> Path:
    """Write a Bayer mosaic as DNG 1.4, uncompressed, 16 bits.

    A DNG holds white balance and matrix up to a common factor and only positive gains: the sign
    of a negative one moves into the matrix, which leaves the product the same.

    Args:
        path: File to write, complete or not at all.
        mosaic: ``(H, W)``, fraction of full scale in [0, 1], even H and W, at least 22.
        camera: CFA, levels, white balance and matrix go into the metadata.

    Returns:
        `path`.

    Raises:
        InputError: The mosaic has another shape, or a DNG cannot hold the camera's constants.
    """
    import tifffile

    path = Path(path)
    if mosaic.dim() != 2 or mosaic.shape[0] % 2 or mosaic.shape[1] % 2 or min(mosaic.shape) < 22:
        raise InputError(
            "mosaic must be (H, W) with even H and W from 22, below which LibRaw reads no DNG, "
            f"got {tuple(mosaic.shape)}"
        )
    numbers = to_uint16(mosaic)
    # LibRaw cuts fractions of a digital number off, so round here.
    white = round((1.0 if camera.white_level is None else camera.white_level) * FULL_SCALE_DN)
    black = tuple(round(level * FULL_SCALE_DN) for level in camera.black_level)
    # The white level is all that tells a reader of the bits, and so of the full scale.
    if not FULL_SCALE_DN // 2 < white <= FULL_SCALE_DN or min(black) < 0:
        raise InputError(
            f"camera {camera.name!r}: a DNG holds black levels from 0 and a white level from 0.5 "
            f"to 1, not {camera.black_level} and {camera.white_level}"
        )
    matrix, neutral = _dng_colours(camera)
    channel = {"R": 0, "G": 1, "B": 2}
    tags: list[tuple[int, int, int, Any, bool]] = [
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, bytes(channel[letter] for letter in camera.cfa), True),  # CFAPattern
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, 1, 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion
        (50708, 2, 0, f"raw2logit {camera.name}".encode("ascii", "replace"), True),  # camera model
        (50713, 3, 2, (2, 2), True),  # BlackLevelRepeatDim
        (50714, 3, 4, black, True),  # BlackLevel
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


def write_mosaic_tiff(path: Path, mosaic: Tensor) -> Path:
    """Write a ``(H, W)`` mosaic in [0, 1] as a 16-bit grey TIFF, complete or not at all."""
    import tifffile

    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, to_uint16(mosaic), photometric="minisblack", metadata=None)
    return path


def to_uint16(mosaic: Tensor) -> npt.NDArray[np.uint16]:
    """Return the 16-bit digital numbers of a mosaic in [0, 1]."""
    numbers = (mosaic.detach().cpu().double() * FULL_SCALE_DN).round().clamp(0, FULL_SCALE_DN)
    return numbers.numpy().astype(np.uint16)


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) > 1:
                raise InputError(
                    f"{path}: a TIFF of {len(file.pages)} pages: save the mosaic as the only page"
                )
            page = file.pages.first
            _check_page(path, page, file.filehandle.size)
            return page.asarray()
    except InputError:
        raise
    except Exception as error:  # tifffile meets broken files with many kinds of exception
        if "imagecodecs" in str(error):
            raise InputError(
                f"{path}: {error}: install it, or save the TIFF without compression"
            ) from error
        raise _broken(path, "TIFF", error) from error


def _check_page(path: Path, page: tifffile.TiffPage, file_bytes: int) -> None:
    """Refuse what tifffile would read as something else, or fill up with zeros."""
    if kind := {0: "inverted", 3: "palette"}.get(page.photometric):
        raise InputError(
            f"{path}: a TIFF of {kind} values is no mosaic: save the sensor values themselves "
            "(photometric minisblack)"
        )
    if page.dtype is not None and page.dtype.kind == "u" and page.bitspersample % 8:
        raise InputError(f"{path}: {page.bitspersample} bits a pixel: save 8 or 16, left-justified")
    segments = math.prod(page.chunked)
    if not segments == len(page.dataoffsets) == len(page.databytecounts):
        raise _broken(path, "TIFF", f"{len(page.dataoffsets)} of {segments} segments")
    if page.nbytes > _MOST_BYTES_A_FILE_BYTE * file_bytes:
        raise _broken(path, "TIFF", f"{page.nbytes} bytes of pixels in {file_bytes} bytes of file")


def _read_png(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            if image.mode not in ("L", "I;16"):
                raise InputError(
                    f"{path}: a PNG of mode {image.mode} is no mosaic: it must be grey, with 8 or "
                    "16 bits. Raw data is what the sensor saw, before any RGB"
                )
            return np.asarray(image)
    except InputError:
        raise
    except Exception as error:  # Pillow meets broken files with many kinds of exception
        raise _broken(path, "PNG", error) from error


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:
        raise _broken(path, "NPY", error) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{path}: an NPZ archive: save the mosaic alone with numpy.save")
    return array


_READERS = {".png": _read_png, ".npy": _read_npy, **dict.fromkeys(TIFF_SUFFIXES, _read_tiff)}


def _broken(path: Path, kind: str, error: Exception | str) -> InputError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"{path}: broken {kind} ({reason}): copy or download the file again")


def _to_fraction(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if array.ndim != 2:
        raise InputError(
            f"{path}: shape {array.shape} is no mosaic (H, W): raw data has one value a pixel, "
            "before any RGB"
        )
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:  # in either byte order
        return (array / np.iinfo(array.dtype).max).astype(np.float32)
    if array.dtype.kind != "f":
        raise InputError(
            f"{path}: values of type {array.dtype}: save 8 or 16 bits without sign, or floating "
            "point in [0, 1]"
        )
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"{path}: {bad} values are NaN or infinite: mend or mask them first")
    if array.size and (array.min() < 0 or array.max() > 1):
        raise InputError(
            f"{path}: values from {array.min():g} to {array.max():g} are no fractions of full "
            "scale: divide by 2^bits - 1"
        )
    return array.astype(np.float32)


def _read_vendor(path: Path) -> tuple[npt.NDArray[np.float32], Camera]:
    import rawpy

    try:
        with rawpy.imread(str(path)) as raw:
            return _mosaic_and_camera(path, raw)
    except InputError:
        raise
    except Exception as error:  # LibRaw's own, and memory errors from sizes in broken headers
        raise _broken(path, "raw file", error) from error


def _mosaic_and_camera(path: Path, raw: Any) -> tuple[npt.NDArray[np.float32], Camera]:  # noqa: ANN401
    visible = raw.raw_image_visible
    if visible is None or visible.ndim != 2 or raw.raw_pattern is None:
        raise InputError(
            f"{path}: an already demosaiced (linear) or monochrome file: no mosaic. Take the "
            "camera's original raw file"
        )
    if raw.raw_pattern.shape != (2, 2):
        raise InputError(
            f"{path}: a {raw.raw_pattern.shape[0]} x {raw.raw_pattern.shape[1]} colour filter "
            "array (X-Trans or another): only 2 x 2 Bayer arrays are read"
        )
    sites = [int(index) for index in raw.raw_colors_visible[:2, :2].ravel()]
    cfa = _cfa_name(path, [chr(raw.color_desc[index]) for index in sites])
    height, width = (length - length % 2 for length in visible.shape)
    bits = int(raw.white_level).bit_length()
    full_scale = 2**bits - 1
    mosaic = visible[:height, :width].astype(np.float32) / np.float32(full_scale)
    colour_matrix = _matrix_to_srgb(path, raw)
    try:
        camera = Camera(
            name=path.name,
            cfa=cfa,
            black_level=_four(raw.black_level_per_channel[index] / full_scale for index in sites),
            white_balance=_gains(raw.camera_whitebalance, raw.daylight_whitebalance),
            colour_matrix=colour_matrix,
            white_level=raw.white_level / full_scale,
            bits=bits,
        )
    except InputError as error:
        raise _broken(path, "raw file", error) from error
    return np.minimum(mosaic, 1.0), camera


def _cfa_name(path: Path, letters: list[str]) -> CFA:
    name = "".join(letters)
    for cfa in CFA_NAMES:
        if cfa == name:
            return cfa
    raise InputError(f"{path}: colours {name} are no Bayer array of red, green, blue")


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
