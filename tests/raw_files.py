"""Raw files from independent writers, and what `read_raw` says to them."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from raw2logit import InputError, MissingDataError, read_raw

from .lossless_jpeg import encode_lossless_jpeg

Array = NDArray[Any]
T = TypeVar("T")
HEIGHT, WIDTH = 24, 32
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def numbers(dtype: type = np.uint16, *, height: int = HEIGHT, width: int = WIDTH) -> Array:
    """Random digital numbers with both ends of the range among them."""
    top = np.iinfo(dtype).max
    values = np.random.default_rng(7).integers(0, top + 1, (height, width)).astype(dtype)
    values[0, :2] = 0, top
    return values


def save(path: Path, values: Array) -> Path:
    """Write an array with the independent writer of the path's format."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".png":
        Image.fromarray(values).save(path)
    else:
        tifffile.imwrite(path, values)
    return path


def dng(
    path: Path,
    values: Array | Iterator[bytes],
    *,
    drop: tuple[int, ...] = (),
    replace: dict[int, tuple[int, int, Any]] | None = None,
    photometric: int = 32803,
    **options: Any,  # noqa: ANN401
) -> Path:
    """Write a DNG with chosen tags, as another program might."""
    rational = tuple(
        number
        for value in np.linalg.inv(SRGB_TO_XYZ).ravel()
        for number in (round(value * 10**7), 10**7)
    )
    tags: dict[int, tuple[int, int, Any]] = {
        33421: (3, 2, (2, 2)),  # CFARepeatPatternDim
        33422: (1, 4, bytes((0, 1, 1, 2))),  # CFAPattern
        50706: (1, 4, bytes((1, 4, 0, 0))),  # DNGVersion
        50708: (2, 0, "test camera"),  # UniqueCameraModel
        50717: (4, 1, 65535),  # WhiteLevel
        50721: (10, 9, rational),  # ColorMatrix1
        50728: (5, 3, (1, 2, 1, 1, 2, 3)),  # AsShotNeutral: 1/2, 1, 2/3
        50778: (3, 1, 21),  # CalibrationIlluminant1: D65
        **(replace or {}),
    }
    tifffile.imwrite(
        path,
        values,
        photometric=photometric,
        metadata=None,
        subfiletype=0,
        extratags=[(code, *tag, True) for code, tag in tags.items() if code not in drop],
        **options,
    )
    return path


def jpeg_dng(path: Path, values: Array, tile: tuple[int, int]) -> Path:
    """Write a DNG of tiles in lossless JPEG."""
    rows, columns = tile
    tiles = [
        encode_lossless_jpeg(values[row : row + rows, column : column + columns])
        for row in range(0, values.shape[0], rows)
        for column in range(0, values.shape[1], columns)
    ]
    # tifffile takes ready-made tiles, but only of a compression that it could do itself.
    dng(path, iter(tiles), shape=values.shape, dtype=values.dtype, tile=tile, compression="zlib")
    patch_tag(path, 259, 7)
    return path


def refusal(path: Path, **options: Any) -> str:  # noqa: ANN401
    """Return the message with which `read_raw` refuses a file: one line, the path first."""
    with pytest.raises((InputError, MissingDataError)) as caught:
        read_raw(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    # What is wrong and the mend, in words.
    assert len(message.removeprefix(str(path)).split()) >= 5
    return message.removeprefix(f"{path}: ")


def random_mosaic(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.from_numpy((numbers(height=height, width=width) / 65535).astype(np.float32))


def attempt(act: Callable[[], T]) -> T | InputError:
    """Return what `act` returns, or the `InputError` that it raises."""
    try:
        return act()
    except InputError as error:
        return error


def patch_tag(path: Path, code: int, value: int) -> None:
    """Overwrite the value of a one-number tag in a TIFF."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags[code]
        place, size = tag.valueoffset, {3: "<H", 4: "<I"}[int(tag.dtype)]
    content = bytearray(path.read_bytes())
    struct.pack_into(size, content, place, value)
    path.write_bytes(content)
