"""Whether a file holds what its header claims.

The readers of image files fill up with zeros what is missing and drop what is too much, without a
word. What these checks let through, they read whole.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raw2logit.errors import InputError

if TYPE_CHECKING:
    import tifffile

# Deflate shrinks at most to a thousandth; a header that claims more is broken.
_MOST_BYTES_A_FILE_BYTE = 1100

_UNCOMPRESSED = 1
_JPEGS = (7, 34892)
# These give bytes, all others a picture: LZW, deflate, PackBits, deflate, LZMA, Zstandard.
_BYTE_COMPRESSIONS = (5, 8, 32773, 32946, 34925, 50000)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# First row, step of rows, first column and step of columns of the passes of an interlaced PNG.
_ONE_PASS = ((0, 1, 0, 1),)
_ADAM7 = (
    *((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4)),
    *((2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)),
)


def broken_file(path: Path, kind: str, error: Exception | str) -> InputError:
    """Return the error of a file that its format's reader could not make sense of."""
    reason = error.args[0] if isinstance(error, Exception) and error.args else error
    if isinstance(reason, bytes):
        reason = reason.decode(errors="replace")  # LibRaw's words
    words = str(reason).split()
    if isinstance(error, Exception) and len(words) < 2:  # such as a missing key
        words.insert(0, type(error).__name__)
    return InputError(f"{path}: broken {kind} ({' '.join(words)}): copy or download the file again")


def check_segments(path: Path, kind: str, page: tifffile.TiffPage) -> None:
    """Refuse a TIFF page whose strips or tiles do not hold exactly the pixels that it claims.

    A page with a tag that cannot be read, or with one twice, is refused too.

    Args:
        path: The file, for the message.
        kind: What the message calls its format.
        page: A page with one sample a pixel.

    Raises:
        InputError: A segment is missing, lies outside of the file, or is too short or too long.
    """
    _check_tags(path, kind, page)
    file = page.parent.filehandle
    number, rows, columns = _layout(path, kind, page)
    name = "Tile" if page.is_tiled else "Strip"
    # tifffile's own lists of these are cut or made up where they do not fit.
    offsets, counts = (_list(page, f"{name}{tag}") for tag in ("Offsets", "ByteCounts"))
    if not number == len(offsets) == len(counts):
        raise broken_file(path, kind, f"{min(len(offsets), len(counts))} of {number} segments")
    row_bytes = math.ceil(columns * page.bitspersample / 8)
    if number * rows * row_bytes > _MOST_BYTES_A_FILE_BYTE * file.size:
        raise broken_file(
            path, kind, f"{number * rows * row_bytes} bytes of pixels in {file.size} of file"
        )
    last_rows = rows if page.is_tiled else page.imagelength - (number - 1) * rows
    measure = _measure(page)
    row_size = columns if page.compression in _JPEGS else row_bytes
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=True), start=1):
        if offset <= 0 or count <= 0 or offset + count > file.size:
            raise broken_file(path, kind, f"segment {index} of {number} lies outside of the file")
        if page.compression == _UNCOMPRESSED:
            found = count
        elif measure is not None:
            file.seek(offset)
            found = measure(file.read(count))
        else:
            continue
        wanted = row_size * (last_rows if index == number else rows)
        if found != wanted:
            raise broken_file(
                path, kind, f"segment {index} of {number} has size {found}, not {wanted}"
            )


def _check_tags(path: Path, kind: str, page: tifffile.TiffPage) -> None:
    """Refuse a page where tifffile left tags out, or other readers might take another of two."""
    form = page.parent.tiff
    file = page.parent.filehandle
    file.seek(page.offset)
    (entries,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    legible = len({tag.code for tag in page.tags})
    if legible != entries:
        raise broken_file(path, kind, f"{legible} of {entries} tags can be read")


def _layout(path: Path, kind: str, page: tifffile.TiffPage) -> tuple[int, int, int]:
    """Return the number of strips or tiles, and the rows and columns of one."""
    height, width = page.imagelength, page.imagewidth
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    else:
        rows, columns = min(page.rowsperstrip, height), width
    if min(height, width, rows, columns) < 1:
        raise broken_file(path, kind, f"{height} x {width} pixels in {rows} x {columns} segments")
    return math.ceil(height / rows) * math.ceil(width / columns), rows, columns


def _list(page: tifffile.TiffPage, tag: str) -> tuple[int, ...]:
    value = page.tags.valueof(tag, ())
    return (value,) if isinstance(value, int) else tuple(value)


def _measure(page: tifffile.TiffPage) -> Callable[[bytes], int] | None:
    """Return what tells the size of a segment; None: only its own decoder could."""
    import tifffile

    if page.compression in _JPEGS:
        return lambda data: math.prod(jpeg_frame(data))
    if page.compression in _BYTE_COMPRESSIONS:
        decode = tifffile.TIFF.DECOMPRESSORS[page.compression]
        return lambda data: len(decode(data))
    return None


def jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Return height, width and components that a JPEG stream claims; zeros: it has no header.

    Raw data goes into lossless JPEG with two or four columns as components of one.
    """
    place = 2  # after the mark of the start
    while data[place : place + 1] == b"\xff" and place + 10 <= len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack_from(">HHB", data, place + 5)
            return height, width, components
        place += 2 + length
    return 0, 0, 0


def check_png(path: Path) -> None:
    """Refuse a PNG with a wrong checksum, or with more or fewer pixels than it claims.

    Raises:
        InputError: It is broken.
    """
    content = path.read_bytes()
    if not content.startswith(_PNG_SIGNATURE):
        raise broken_file(path, "PNG", "another signature")
    pixels = []
    kinds = []
    for kind, data in _png_chunks(path, content):
        kinds.append(kind)
        if kind == b"IDAT":
            pixels.append(data)
        elif kind == b"IHDR":
            header = data
    if not kinds or kinds[0] != b"IHDR" or len(header) != 13 or kinds[-1] != b"IEND":
        raise broken_file(path, "PNG", "no header or no end")
    wanted = _png_bytes(header)
    if wanted > _MOST_BYTES_A_FILE_BYTE * len(content):
        raise broken_file(path, "PNG", f"{wanted} bytes of pixels in {len(content)} of file")
    stream = zlib.decompressobj()
    try:
        found = len(stream.decompress(b"".join(pixels), wanted + 1))
    except zlib.error as error:
        raise broken_file(path, "PNG", error) from error
    if found != wanted or not stream.eof:
        raise broken_file(path, "PNG", f"{found} bytes of pixels, not {wanted}")


def _png_chunks(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length = int.from_bytes(content[place : place + 4])
        kind = content[place + 4 : place + 8]
        data = content[place + 8 : place + 8 + length]
        place += 12 + length
        if place > len(content):
            raise broken_file(path, "PNG", "it ends early")
        if zlib.crc32(kind + data) != int.from_bytes(content[place - 4 : place]):
            raise broken_file(path, "PNG", f"wrong checksum of {kind.decode(errors='replace')!r}")
        yield kind, data


def _png_bytes(header: bytes) -> int:
    """Return how many bytes the pixels of a PNG fill, with the filter byte of each row."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    total = 0
    for top, row_step, left, column_step in _ADAM7 if interlaced else _ONE_PASS:
        rows = len(range(top, height, row_step))
        columns = len(range(left, width, column_step))
        if columns:
            total += rows * (1 + math.ceil(columns * bits / 8))
    return int(total)
