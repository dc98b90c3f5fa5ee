"""What the tags of a DNG say of its mosaic, checked against what the file holds.

LibRaw decodes the pixels of a DNG, but its interface loses some of the tags: it rounds an odd
active area without shifting the black levels along, cuts fractions of a digital number off, and
takes the first of larger patterns of black levels for all. It also reads on past the end.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raw2logit._file_checks import broken_file, check_segments, jpeg_frame
from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.errors import InputError
from raw2logit.quiet import quiet

if TYPE_CHECKING:
    import tifffile

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RATIONALS = (5, 10)
_CFA_PHOTOMETRIC, _LINEAR_PHOTOMETRIC = 32803, 34892
# Codes of colours in CFAPattern, from TIFF/EP.
_COLOURS = ("red", "green", "blue", "cyan", "magenta", "yellow", "white")
_LOSSLESS_JPEG = 7
# None, lossless JPEG, deflate, lossy JPEG, JPEG XL.
_COMPRESSIONS = (1, _LOSSLESS_JPEG, 8, 34892, 52546)
_MOST_PAGES = 64


@dataclass(frozen=True)
class DngHeader:
    """Tags of the raw picture in a DNG.

    Attributes:
        shape: Rows and columns of the whole picture.
        area: Rows and columns that saw light.
        cfa: Name of the colour filter array at the top-left of `area`.
        black_level: Digital numbers, one a site of `cfa`; the mean where it varies further.
        white_level: Digital number of a saturated pixel.
    """

    shape: tuple[int, int]
    area: tuple[slice, slice]
    cfa: CFA
    black_level: tuple[float, ...]
    white_level: int


def read_dng_header(path: Path) -> DngHeader | None:
    """Return the tags of a DNG, whatever its suffix; None: it is no DNG.

    Raises:
        InputError: The tags contradict each other or the file's size, it holds no Bayer mosaic,
            or its suffix is ``.dng`` and it is no DNG.
    """
    import tifffile

    is_dng = path.suffix.lower() == ".dng"
    with path.open("rb") as start:
        if start.read(4) not in _TIFF_STARTS and not is_dng:
            return None
    try:
        # tifffile tells of broken tags by logging, too.
        with quiet("tifffile", level=logging.CRITICAL), tifffile.TiffFile(path) as file:
            if "DNGVersion" not in file.pages.first.tags:
                if is_dng:
                    raise broken_file(path, "DNG", "no DNGVersion tag")
                return None
            is_dng = True
            return _header(path, _raw_page(file))
    except InputError:
        raise
    except Exception as error:  # tifffile meets broken files with many kinds of exception
        if not is_dng:  # a vendor's own kind of TIFF: LibRaw knows it
            return None
        raise broken_file(path, "DNG", error) from error


def not_bayer(path: Path, what: str) -> InputError:
    """Return the error of a raw file of another kind of sensor."""
    return InputError(
        f"{path}: {what}: only 2 x 2 Bayer mosaics of red, green and blue are read. Take the "
        "original raw file of a Bayer camera"
    )


LINEAR = "an already demosaiced (linear) file"
MONOCHROME = "a monochrome sensor, without colour filters"


def filter_array(height: int, width: int) -> str:
    """Return what messages call a colour filter array that is not 2 x 2."""
    maker = " (X-Trans)" if (height, width) == (6, 6) else ""
    return f"a {height} x {width} colour filter array{maker}"


def _raw_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """Return the largest raw picture of full resolution; the largest page where there is none."""
    import tifffile

    chain = list(itertools.islice(file.pages, _MOST_PAGES))
    inner = [page for parent in chain for page in itertools.islice(parent.pages or (), _MOST_PAGES)]
    pages = [page for page in chain + inner if isinstance(page, tifffile.TiffPage)]
    raw = [
        page
        for page in pages
        if page.tags.valueof("PhotometricInterpretation") in (_CFA_PHOTOMETRIC, _LINEAR_PHOTOMETRIC)
        and page.tags.valueof("NewSubfileType", 0) == 0
    ]
    return max(raw or pages, key=lambda page: page.imagelength * page.imagewidth)


def _header(path: Path, page: tifffile.TiffPage) -> DngHeader:
    photometric = page.tags.valueof("PhotometricInterpretation")
    if photometric == _LINEAR_PHOTOMETRIC and page.samplesperpixel > 1:
        raise not_bayer(path, LINEAR)
    if photometric in (0, 1, _LINEAR_PHOTOMETRIC):
        raise not_bayer(path, MONOCHROME)
    if photometric != _CFA_PHOTOMETRIC:
        raise not_bayer(path, f"a DNG without raw picture (photometric {photometric})")
    cfa = _cfa(path, page)
    if page.samplesperpixel != 1:
        raise broken_file(path, "DNG", f"{page.samplesperpixel} samples a pixel")
    if page.tags.valueof("SampleFormat", 1) != 1 or page.bitspersample > 16:
        raise InputError(
            f"{path}: a DNG of floating-point numbers or more than 16 bits, which LibRaw rounds: "
            "convert it to whole numbers of 16 bits"
        )
    if page.compression not in _COMPRESSIONS:
        raise broken_file(path, "DNG", f"unknown compression {int(page.compression)}")
    # LibRaw bends the values by it.
    if "GrayResponseCurve" in page.tags:
        raise broken_file(path, "DNG", "a response curve, which belongs to scanned pictures")
    check_segments(path, "DNG", page)
    _check_tiles(path, page)
    top, left, bottom, right = _active_area(path, page)
    return DngHeader(
        shape=(page.imagelength, page.imagewidth),
        area=(slice(top, bottom), slice(left, right)),
        cfa=cfa,
        black_level=_black_level(path, page, bottom - top, right - left),
        white_level=int(min(_numbers(page, "WhiteLevel", (2**page.bitspersample - 1,)))),
    )


def _numbers(
    page: tifffile.TiffPage, name: str, default: tuple[float, ...]
) -> npt.NDArray[np.float64]:
    """Return the numbers of a tag; a rational one is its quotient."""
    tag = page.tags.get(name)
    if tag is None:
        return np.asarray(default, dtype=float)
    value = tag.value
    if isinstance(value, str):
        raise ValueError(f"{name} is text")
    numbers = np.asarray(list(value) if isinstance(value, bytes) else value, dtype=float).ravel()
    if tag.dtype in _RATIONALS:
        if not numbers[1::2].all():
            raise ValueError(f"{name} divides by zero")
        numbers = numbers[::2] / numbers[1::2]
    return numbers


def _cfa(path: Path, page: tifffile.TiffPage) -> CFA:
    """Return the name of the colour filter array at the top-left of the active area."""
    if page.tags.valueof("CFALayout", 1) != 1:
        raise not_bayer(path, "a staggered colour filter array (Super CCD)")
    shape = tuple(int(length) for length in _numbers(page, "CFARepeatPatternDim", ()))
    colours = _numbers(page, "CFAPattern", ()).astype(int).tolist()
    if len(shape) != 2 or len(colours) != shape[0] * shape[1] or not colours:
        raise broken_file(path, "DNG", "no CFAPattern of the size of CFARepeatPatternDim")
    names = [_COLOURS[code] if code < len(_COLOURS) else str(code) for code in colours]
    if len(set(colours)) == 1:
        raise not_bayer(path, f"{MONOCHROME} other than {names[0]}")
    planes = _numbers(page, "CFAPlaneColor", (0, 1, 2)).astype(int).tolist()
    if not set(colours) <= {0, 1, 2} or set(planes) != {0, 1, 2}:
        raise not_bayer(path, f"a four-colour sensor ({' '.join(dict.fromkeys(names))})")
    if shape != (2, 2):
        raise not_bayer(path, filter_array(*shape))
    name = "".join("RGB"[code] for code in colours)
    for cfa in CFA_NAMES:
        if cfa == name and planes == [0, 1, 2]:
            return cfa
    raise not_bayer(path, f"colours {' '.join(names)} in planes {planes}")


def _check_tiles(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse a picture of which LibRaw 0.22 reads the first row of each tile and no more."""
    if not page.is_tiled or page.compression != _LOSSLESS_JPEG:
        return
    file = page.parent.filehandle
    file.seek(page.dataoffsets[0])
    _, _, components = jpeg_frame(file.read(page.databytecounts[0]))
    if components > 1 and components * page.tilewidth == page.imagewidth:
        raise InputError(
            f"{path}: {components} tiles of lossless JPEG across, which LibRaw misreads: convert "
            "it to an uncompressed DNG"
        )


def _active_area(path: Path, page: tifffile.TiffPage) -> tuple[int, int, int, int]:
    whole = (0, 0, page.imagelength, page.imagewidth)
    top, left, bottom, right = (int(edge) for edge in _numbers(page, "ActiveArea", whole))
    if not (0 <= top <= bottom - 2 < page.imagelength - 1) or not (
        0 <= left <= right - 2 < page.imagewidth - 1
    ):
        raise broken_file(
            path,
            "DNG",
            f"active area {(top, left, bottom, right)} of {page.imagelength} x {page.imagewidth}",
        )
    return top, left, bottom, right


def _black_level(path: Path, page: tifffile.TiffPage, height: int, width: int) -> tuple[float, ...]:
    """Return one black level a site, with the means of what varies by row and by column."""
    rows, columns = (int(length) for length in _numbers(page, "BlackLevelRepeatDim", (1, 1)))
    levels = _numbers(page, "BlackLevel", (0.0,))
    by_row = _numbers(page, "BlackLevelDeltaV", (0.0,) * height)
    by_column = _numbers(page, "BlackLevelDeltaH", (0.0,) * width)
    if levels.size != rows * columns or by_row.size != height or by_column.size != width:
        raise broken_file(path, "DNG", "black levels of another size than the picture")
    # Twice in each direction, a pattern of odd size meets every site of the filter array.
    twice = np.tile(levels.reshape(rows, columns), (2, 2))
    return tuple(
        float(twice[r::2, c::2].mean() + by_row[r::2].mean() + by_column[c::2].mean())
        for r in (0, 1)
        for c in (0, 1)
    )
