"""Raw files to a mosaic and its camera: TIFF, PNG and NPY here, DNG and vendor formats in `dng`."""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit._file_checks import broken_file, check_png, check_segments
from raw2logit.camera import Camera
from raw2logit.dng import VENDOR_SUFFIXES, read_vendor, to_uint16
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import atomic_path
from raw2logit.quiet import quiet

if TYPE_CHECKING:
    import tifffile

TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = (*TIFF_SUFFIXES, ".png", ".npy", *VENDOR_SUFFIXES)
"""What `read_raw` reads."""

_ZIP_START = b"PK\x03\x04"


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
    fractions of full scale. DNG and vendor formats go through LibRaw, which looks at the content
    and not at the suffix. Their mosaic is the visible area, cut to even height and width at its
    end, as fraction of the full scale of the bits that the white level needs. The camera comes
    from the file's metadata: CFA at the mosaic's top-left, black level per site, white level (the
    lowest, if it differs by colour), as-shot white balance (daylight if there is none, else gains
    of one) and the matrix to sRGB (the identity, with a warning, if there is none).

    Args:
        path: A file with one of `SUFFIXES`.
        camera: Use these constants instead of the file's own.
        crop_odd: Drop the last row or column of an odd-sized TIFF, PNG or NPY.

    Returns:
        Mosaic and camera.

    Raises:
        MissingDataError: There is no such file.
        InputError: The file is broken, or holds no Bayer mosaic: X-Trans and other colour filter
            arrays, four colours, monochrome, already demosaiced (linear).
    """
    path = Path(path)
    _check_readable(path)
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


def _check_readable(path: Path) -> None:
    """Refuse what is no file or may not be read; a named pipe would keep its reader waiting."""
    try:
        status = path.stat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: a folder: name the raw files in it")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: a pipe or a device: copy what it gives into a file")
        if status.st_size == 0:
            raise broken_file(path, "file", "it is empty")
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingDataError(f"{path}: no such file: check the name") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}): mend its name or rights"
        ) from error


def write_mosaic_tiff(path: Path, mosaic: Tensor) -> Path:
    """Write a ``(H, W)`` mosaic in [0, 1] as a 16-bit grey TIFF, complete or not at all.

    Raises:
        InputError: The mosaic is no floating point, or not in [0, 1].
    """
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
            _check_page(path, page)
            return page.asarray()
    except InputError:
        raise
    except Exception as error:  # tifffile meets broken files with many kinds of exception
        if "imagecodecs" in str(error):
            raise InputError(
                f"{path}: {error}: install it, or save the TIFF without compression"
            ) from error
        raise broken_file(path, "TIFF", error) from error


def _check_page(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse what tifffile would read as something else, or fill up with zeros."""
    if kind := {0: "inverted", 3: "palette"}.get(page.photometric):
        raise InputError(
            f"{path}: a TIFF of {kind} values is no mosaic: save the sensor values themselves "
            "(photometric minisblack)"
        )
    if page.dtype is not None and page.dtype.kind == "u" and page.bitspersample % 8:
        raise InputError(f"{path}: {page.bitspersample} bits a pixel: save 8 or 16, left-justified")
    _check_shape(path, page.shape)
    check_segments(path, "TIFF", page)


def _read_png(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    check_png(path)
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
    with path.open("rb") as start:
        if start.read(4) == _ZIP_START:
            raise InputError(f"{path}: an NPZ archive: save the mosaic alone with numpy.save")
    try:
        # numpy.load asks for the memory that the header claims, and ignores what is too much. A map
        # asks for none, but its reader crashes where another program cuts the file meanwhile.
        claimed = np.lib.format.open_memmap(path, mode="r")
        if (wanted := claimed.offset + claimed.nbytes) != (found := path.stat().st_size):
            raise broken_file(path, "NPY", f"{found} bytes, not {wanted}")
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except InputError:
        raise
    except Exception as error:
        raise broken_file(path, "NPY", error) from error
    return array


_READERS = {".png": _read_png, ".npy": _read_npy, **dict.fromkeys(TIFF_SUFFIXES, _read_tiff)}


def _to_fraction(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    _check_shape(path, array.shape)
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


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 2:
        raise InputError(
            f"{path}: shape {shape} is no mosaic (H, W): raw data has one value a pixel, before "
            "any RGB"
        )
