"""Raw files to a mosaic and its camera: TIFF, PNG and NPY here, DNG and vendor formats in `dng`."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.dng import VENDOR_SUFFIXES, broken_file, read_vendor, to_uint16
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import atomic_path
from raw2logit.quiet import quiet

if TYPE_CHECKING:
    import tifffile

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".npy", *VENDOR_SUFFIXES)
"""What `read_raw` reads."""

# Deflate shrinks at most to a thousandth; a header that claims more is broken.
_MOST_BYTES_A_FILE_BYTE = 1100


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
        mosaic, own_camera = read_vendor(path)
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


def write_mosaic_tiff(path: Path, mosaic: Tensor) -> Path:
    """Write a ``(H, W)`` mosaic in [0, 1] as a 16-bit grey TIFF, complete or not at all."""
    import tifffile

    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, to_uint16(mosaic), photometric="minisblack", metadata=None)
    return path


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    import tifffile

    try:
        # tifffile tells of broken tags by logging, too.
        with quiet("tifffile", level=logging.CRITICAL), tifffile.TiffFile(path) as file:
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
        raise broken_file(path, "TIFF", error) from error


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
        raise broken_file(path, "TIFF", f"{len(page.dataoffsets)} of {segments} segments")
    if page.nbytes > _MOST_BYTES_A_FILE_BYTE * file_bytes:
        raise broken_file(
            path, "TIFF", f"{page.nbytes} bytes of pixels in {file_bytes} bytes of file"
        )


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
        raise broken_file(path, "PNG", error) from error


def _read_npy(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:
        raise broken_file(path, "NPY", error) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InputError(f"{path}: an NPZ archive: save the mosaic alone with numpy.save")
    return array


_READERS = {".png": _read_png, ".npy": _read_npy, **dict.fromkeys(TIFF_SUFFIXES, _read_tiff)}


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
