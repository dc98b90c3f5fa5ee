"""Damage to files, the same for the same seed, and independent decoders of what is left."""

import ast
import random
import re
import struct
import zlib
from collections.abc import Callable

import numpy as np
import png
from numpy.typing import NDArray

Random = random.Random
# Types of TIFF tags as `struct` names them.
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


# ---- damage to any file


def _truncate(content: bytearray, rng: Random) -> None:
    del content[rng.randrange(len(content)) :]


def _cut_the_end(content: bytearray, rng: Random) -> None:
    del content[-rng.randrange(1, 40) :]


def _flip_header(content: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        content[rng.randrange(min(600, len(content)))] = rng.choice((0, 255, rng.randrange(256)))


def _flip_anywhere(content: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 2, 4))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _zero_a_region(content: bytearray, rng: Random) -> None:
    start, length = rng.randrange(len(content)), rng.choice((2, 16, 200))
    end = min(start + length, len(content))
    content[start:end] = bytes(end - start)


def _shift(content: bytearray, rng: Random) -> None:
    place = rng.randrange(len(content))
    if rng.random() < 0.5:
        content[place:place] = rng.randbytes(rng.randrange(1, 20))
    else:
        del content[place : place + rng.randrange(1, 20)]


def _append(content: bytearray, rng: Random) -> None:
    content += rng.randbytes(rng.randrange(1, 100))


def _other_magic(content: bytearray, rng: Random) -> None:
    content[:4] = rng.choice((b"MM\0*", b"II*\0", b"II+\0", b"\x89PNG", b"\xff\xd8\xff\xe0"))


def _noise(content: bytearray, rng: Random) -> None:
    # Nothing at all, or noise that starts as it should or not.
    content[rng.choice((0, 4, 8, 100)) :] = rng.randbytes(rng.choice((0, 3, 1000)))


# ---- damage to what a format's header says


def _tiff_entry(content: bytearray, rng: Random) -> None:
    """Overwrite the code, type, count or value of an entry of the first directory."""
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    place = directory + 2 + 12 * rng.randrange(count)
    field, kind = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I"), (8, "<I")))
    (old,) = struct.unpack_from(kind, content, place + field)
    near = (old + rng.choice((-8, -2, -1, 1, 2, 8)), old // 2, old * 2)
    value = rng.choice((*_EXTREMES, *near, *near, rng.randrange(70000)))
    struct.pack_into(kind, content, place + field, value % 2 ** (8 * struct.calcsize(kind)))


def _png_header(content: bytearray, rng: Random) -> None:
    """Overwrite a number of the header chunk and mend its checksum."""
    if rng.random() < 0.7:
        place = rng.choice((16, 20))
        (old,) = struct.unpack_from(">I", content, place)
        new = rng.choice((*_EXTREMES, old - 2, old + 2, old // 2, old * 2))
        struct.pack_into(">I", content, place, new)
    else:
        content[rng.randrange(24, 29)] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))


def _npy_header(content: bytearray, rng: Random) -> None:
    """Overwrite shape, type or order, at the same length."""
    text = content[10:128].decode("latin-1")
    change = rng.randrange(4)
    if change == 0:
        numbers = [rng.choice((0, 1, 2, 12, 16, 22, 24, 32, 48, 10**6, 10**12)) for _ in range(2)]
        new = re.sub(r"\(\d+, \d+\)", f"({numbers[0]}, {numbers[1]})", text)
    elif change == 1:
        kinds = ("<u2", ">u2", "<f2", "|u1", "<i2", "<u4", "<f4", ">f8", "|O", "<c8", "|b1")
        new = re.sub(r"'[<>|]\w\d'", repr(rng.choice(kinds)), text)
    elif change == 2:
        new = text.replace("False", "True")
    else:
        new = re.sub(
            r"\(\d+, \d+\)", rng.choice(("(768,)", "(24, 4, 8)", "(-24, -32)", "24")), text
        )
    content[10:128] = new.rstrip().ljust(117)[:117].encode("latin-1") + b"\n"


_GENERAL = (
    *(_truncate, _truncate, _cut_the_end, _flip_header, _flip_header, _flip_anywhere),
    *(_zero_a_region, _shift, _append, _other_magic, _noise),
)
_OF_FORMAT: dict[str, Callable[[bytearray, Random], None]] = {
    ".tif": _tiff_entry,
    ".dng": _tiff_entry,
    ".png": _png_header,
    ".npy": _npy_header,
}


def mutant(content: bytes, suffix: str, seed: int) -> bytes:
    """Damage a file of one of the four formats in one of many ways."""
    rng = random.Random(seed)
    damaged = bytearray(content)
    damage = (*_GENERAL, *[_OF_FORMAT[suffix]] * 7)
    damage[seed % len(damage)](damaged, rng)
    return bytes(damaged)


# ---- what is left


def decode(content: bytes, suffix: str) -> NDArray[np.float32]:
    """Return the mosaic that a damaged file still holds, or raise whatever comes."""
    if suffix == ".npy":
        return _decode_npy(content)
    if suffix == ".png":
        width, height, rows, info = png.Reader(bytes=content).asDirect()
        assert info["greyscale"]
        assert not info["alpha"]
        numbers = np.vstack([np.asarray(row) for row in rows]).reshape(height, width)
        return (numbers / (2 ** info["bitdepth"] - 1)).astype(np.float32)
    return _decode_tiff(content, raw=suffix == ".dng")


def _decode_npy(content: bytes) -> NDArray[np.float32]:
    wide = content[6] > 1
    start = 12 if wide else 10
    end = start + int.from_bytes(content[8:start], "little")
    header = ast.literal_eval(content[start:end].decode("latin-1"))
    dtype = np.dtype(header["descr"])
    order = "F" if header["fortran_order"] else "C"
    values = np.frombuffer(content[end:], dtype).reshape(header["shape"], order=order)
    scale = np.iinfo(dtype).max if dtype.kind == "u" else 1
    result: NDArray[np.float32] = (values / scale).astype(np.float32)
    return result


def _decode_tiff(content: bytes, *, raw: bool) -> NDArray[np.float32]:
    """Decode one page without compression or with deflate."""
    order = {b"II": "<", b"MM": ">"}[content[:2]]
    tags = _tiff_tags(content, order)
    (width,), (height,) = tags[256], tags[257]
    (bits,) = tags.get(258, (1,))
    (compression,) = tags.get(259, (1,))
    if compression == 7:
        tiles = -(-height // tags[323][0]) * -(-width // tags[322][0])
        if not tiles == len(tags[324]) == len(tags[325]):
            raise ValueError("tiles that do not fill the picture")
        raise NotImplementedError(height // 2 * 2, width // 2 * 2)
    if 322 in tags:
        return _decode_tiles(content, tags)
    strips = [content[o : o + n] for o, n in zip(tags[273], tags[279], strict=True)]
    if compression in (8, 32946):
        strips = [zlib.decompress(strip) for strip in strips]
    elif compression != 1:
        raise ValueError(f"compression {compression}")
    kind = {1: "u", 3: "f"}[tags.get(339, (1,))[0]]
    pixels = b"".join(strips)
    if tags.get(266, (1,)) == (2,) and not raw:
        pixels = _reversed_bits(pixels)
    values = np.frombuffer(pixels, f"{order}{kind}{bits // 8}").reshape(height, width)
    if tags.get(317, (1,)) == (2,) and compression != 1:
        values = np.cumsum(values, axis=1, dtype=values.dtype)
    if not raw:
        return (values / (np.iinfo(values.dtype).max if kind == "u" else 1)).astype(np.float32)
    top, left, bottom, right = tags.get(50829, (0, 0, height, width))
    visible = values[top : bottom - (bottom - top) % 2, left : right - (right - left) % 2]
    (white,) = tags.get(50717, (2**bits - 1,))
    scale = 2 ** int(white).bit_length() - 1
    return np.minimum(visible.astype(np.float32) / np.float32(scale), np.float32(1))


def _decode_tiles(content: bytes, tags: dict[int, tuple[int, ...]]) -> NDArray[np.float32]:
    """Decode whole tiles of 8 bits."""
    if tags[258] != (8,) or tags.get(339, (1,)) != (1,):
        raise ValueError("not 8 bits")
    (width,), (height,), (columns,), (rows,) = tags[256], tags[257], tags[322], tags[323]
    reverse = tags.get(266) == (2,)
    values = np.zeros((height + rows, width + columns), np.uint8)
    places = [(r, c) for r in range(0, height, rows) for c in range(0, width, columns)]
    for (row, column), offset, count in zip(places, tags[324], tags[325], strict=True):
        pixels = content[offset : offset + count]
        if reverse:
            pixels = _reversed_bits(pixels)
        tile = np.frombuffer(pixels, np.uint8).reshape(rows, columns)
        values[row : row + rows, column : column + columns] = tile
    return (values[:height, :width] / 255).astype(np.float32)


def _reversed_bits(pixels: bytes) -> bytes:
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in pixels)


def _tiff_tags(content: bytes, order: str) -> dict[int, tuple[int, ...]]:
    """Return the tags of whole numbers in the first directory."""
    (directory,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, directory)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        code, kind, length = struct.unpack_from(order + "HHI", content, entry)
        if kind not in _WHOLE_NUMBERS or length > len(content):
            continue
        form = f"{order}{length}{_WHOLE_NUMBERS[kind]}"
        place = entry + 8
        if struct.calcsize(form) > 4:
            (place,) = struct.unpack_from(order + "I", content, place)
        if place + struct.calcsize(form) <= len(content):
            tags.setdefault(code, struct.unpack_from(form, content, place))
    return tags
