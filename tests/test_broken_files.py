"""Truncated, damaged and lying files: a clear error or a correct read, nothing else."""

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
import torch
from PIL import Image, ImageFile

from raw2logit import Camera, InputError, read_raw, write_dng
from raw2logit.dng import to_uint16
from raw2logit.raw import write_mosaic_tiff

from .mutations import mutant
from .raw_files import dng, jpeg_dng, numbers, patch_tag, random_mosaic, refusal, save

KINDS = {
    "tiff.tif": "16 bits in one strip",
    "strips.tif": "several strips",
    "deflate.tif": "compressed strips",
    "tiles.tif": "tiles of 8 bits",
    "grey.png": "16 bits",
    "eight.png": "8 bits",
    "interlaced.png": "Adam7",
    "whole.npy": "16 bits",
    "float.npy": "float64",
    "own.dng": "written here",
    "area.dng": "odd active area and black levels",
    "eight.dng": "8 bits",
    "jpeg.dng": "tiles of lossless JPEG",
}
MUTANTS = 252


def good_file(folder: Path, name: str) -> Path:
    """Write an intact file of one of `KINDS`."""
    path, values, bytes_ = folder / name, numbers(), numbers(np.uint8)
    match name:
        case "tiff.tif":
            write_mosaic_tiff(path, random_mosaic())
        case "strips.tif":
            tifffile.imwrite(path, values, rowsperstrip=5)
        case "deflate.tif":
            tifffile.imwrite(path, values, rowsperstrip=5, compression="zlib")
        case "tiles.tif":
            tifffile.imwrite(path, numbers(np.uint8, height=32, width=48), tile=(16, 16))
        case "grey.png" | "whole.npy":
            save(path, values)
        case "eight.png":
            save(path, bytes_)
        case "interlaced.png":
            writer = png.Writer(32, 24, greyscale=True, bitdepth=16, interlace=True)
            with path.open("wb") as file:
                writer.write(file, values.tolist())
        case "float.npy":
            save(path, values / 65535)
        case "own.dng":
            write_dng(path, random_mosaic(), Camera.preset("drone"))
        case "area.dng":
            black = {50713: (3, 2, (2, 2)), 50714: (5, 4, (1, 1, 3, 1, 5, 1, 7, 1))}
            dng(path, values, replace={50829: (4, 4, (1, 1, 24, 32)), **black})
        case "eight.dng":
            dng(path, bytes_, replace={50717: (4, 1, 255)})
        case "jpeg.dng":
            jpeg_dng(path, numbers(height=48, width=96), (16, 32))
    return path


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".dng"])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    names = [name for name in KINDS if name.endswith(suffix)]
    paths = [str(good_file(tmp_path, name)) for name in names]
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.read_mutants"]
    done = subprocess.run(
        [*command, "0", str(MUTANTS), *paths],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parent.parent,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    last = results[-1:]
    assert done.returncode == 0, f"after {last}: {done.stderr[-2000:]}"
    assert [result for result in results if result["outcome"] == "bug"] == []
    counts = Counter((result["file"], result["outcome"] == "error") for result in results)
    for name in names:
        assert counts[name, True] + counts[name, False] == MUTANTS
        # Damage to the pixels themselves does not show, but in a PNG it does.
        assert counts[name, True] > 100
        assert counts[name, False] > 4


def test_damage_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    content = good_file(tmp_path, "own.dng").read_bytes()
    mutants = [mutant(content, ".dng", seed) for seed in range(100)]
    assert mutants == [mutant(content, ".dng", seed) for seed in range(100)]
    assert len(set(mutants)) > 90


@pytest.mark.parametrize("name", KINDS)
def test_truncated_files(tmp_path: Path, name: str) -> None:
    whole = good_file(tmp_path, name)
    content = whole.read_bytes()
    path = tmp_path / f"cut{whole.suffix}"
    lengths = {*range(0, len(content), 23), *range(12), len(content) - 1, len(content) - 2}
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        message = refusal(path)
        assert "broken" in message, (length, message)
        assert "copy or download the file again" in message


@pytest.mark.parametrize("name", [name for name in KINDS if not name.endswith(".npy")])
def test_bytes_after_the_end_do_not_count(tmp_path: Path, name: str) -> None:
    path = good_file(tmp_path, name)
    mosaic = read_raw(path).mosaic
    path.write_bytes(path.read_bytes() + b"more")
    assert torch.equal(read_raw(path).mosaic, mosaic)


# ---- sizes that the rest of the file does not bear out


@pytest.mark.parametrize("name", ["tiff.tif", "strips.tif", "deflate.tif", "own.dng", "eight.dng"])
@pytest.mark.parametrize(("tag", "size"), [(256, 32), (257, 24)])
@pytest.mark.parametrize("change", [-8, -2, -1, 1, 2, 8, 1000, 60000])
def test_another_width_or_height_in_a_tiff(
    tmp_path: Path, name: str, tag: int, size: int, change: int
) -> None:
    path = good_file(tmp_path, name)
    patch_tag(path, tag, size + change)
    assert "broken" in refusal(path)


@pytest.mark.parametrize("tag", [322, 323])
@pytest.mark.parametrize("size", [8, 32, 64, 0])
def test_another_size_of_tiles(tmp_path: Path, tag: int, size: int) -> None:
    path = good_file(tmp_path, "tiles.tif")
    patch_tag(path, tag, size)
    assert "broken TIFF" in refusal(path)


@pytest.mark.parametrize("code", [258, 273, 279])
def test_a_tag_that_cannot_be_read(tmp_path: Path, code: int) -> None:
    path = good_file(tmp_path, "tiff.tif")
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.tags[code].offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, place + 2, 99)  # no type of tags
    path.write_bytes(content)
    assert "broken TIFF" in refusal(path)


def png_of(header: tuple[int, ...], pixels: bytes, end: bytes = b"") -> bytes:
    """Return a PNG with right checksums, whatever is in it."""
    file = io.BytesIO()
    png.write_chunks(
        file,
        [
            (b"IHDR", struct.pack(">IIBBBBB", *header)),
            (b"IDAT", zlib.compress(pixels)),
            (b"IEND", end),
        ],
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "pixels", "words"),
    [
        (4, 4, 36, None),
        (4, 4, 35, "35 bytes of pixels, not 36"),
        (4, 6, 36, "36 bytes of pixels, not 54"),
        (4, 2, 36, "19 bytes of pixels, not 18"),
        (2, 4, 36, "bytes of pixels, not 20"),
        (4, 2**31 - 1, 36, "bytes of pixels in"),
        (2**31 - 1, 2**31 - 1, 36, "bytes of pixels in"),
        (0, 4, 4, "bytes of pixels, not 0"),
    ],
)
def test_another_size_in_a_png(
    tmp_path: Path, width: int, height: int, pixels: int, words: str | None
) -> None:
    path = tmp_path / "raw.png"
    path.write_bytes(png_of((width, height, 16, 0, 0, 0, 0), bytes(pixels)))
    if words is None:
        assert read_raw(path).mosaic.shape == (height, width)
    else:
        assert words in refusal(path)


def test_truncated_png_though_pillow_may_fill_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "raw.png"
    path.write_bytes(png_of((4, 4, 16, 0, 0, 0, 0), bytes(20)))
    with Image.open(path) as image:
        assert np.asarray(image).shape == (4, 4)
    assert "20 bytes of pixels, not 36" in refusal(path)


@pytest.mark.parametrize("chunk", [b"IHDR", b"IDAT", b"IEND"])
def test_a_wrong_checksum(tmp_path: Path, chunk: bytes) -> None:
    path = good_file(tmp_path, "grey.png")
    content = bytearray(path.read_bytes())
    place = content.index(chunk)
    length = int.from_bytes(content[place - 4 : place])
    content[place + 4 + length] ^= 1
    path.write_bytes(content)
    assert "wrong checksum" in refusal(path)


def test_a_png_without_header(tmp_path: Path) -> None:
    path = tmp_path / "raw.png"
    with path.open("wb") as file:
        png.write_chunks(file, [(b"IDAT", zlib.compress(bytes(36))), (b"IEND", b"")])
    assert "no header" in refusal(path)


def test_interlaced_png(tmp_path: Path) -> None:
    mosaic = read_raw(good_file(tmp_path, "interlaced.png")).mosaic
    np.testing.assert_array_equal(to_uint16(mosaic), numbers())


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("(24, 32)", None),
        ("(22, 32)", "1664 bytes, not 1536"),
        ("(24, 34)", "broken NPY"),
        ("(10**9, 10**9)", "broken NPY"),
        ("(1000000000, 1000)", "broken NPY"),
        ("(-24, -32)", "broken NPY"),
    ],
)
def test_another_shape_in_an_npy(tmp_path: Path, shape: str, words: str | None) -> None:
    header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00\x76\x00" + header.encode() + numbers().tobytes()
    assert len(content) == 1664
    path = tmp_path / "raw.npy"
    path.write_bytes(content)
    if words is None:
        np.testing.assert_array_equal(to_uint16(read_raw(path).mosaic), numbers())
    else:
        assert words in refusal(path)


def test_bytes_after_the_end_of_an_npy(tmp_path: Path) -> None:
    path = good_file(tmp_path, "whole.npy")
    path.write_bytes(path.read_bytes() + b"\0")
    assert "1665 bytes, not 1664" in refusal(path)


# ---- what is no regular file


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".dng", ".nef"])
def test_a_named_pipe_does_not_keep_its_reader_waiting(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    assert "a pipe or a device" in refusal(path)


def test_a_device(tmp_path: Path) -> None:
    path = tmp_path / "zero.npy"
    path.symlink_to("/dev/zero")
    assert "a pipe or a device" in refusal(path)


def test_a_link_to_nothing_and_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "dangling.png").symlink_to(tmp_path / "absent.png")
    assert "no such file" in refusal(tmp_path / "dangling.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert "cannot be read" in refusal(tmp_path / "loop.png")


def test_a_file_below_a_file(tmp_path: Path) -> None:
    save(tmp_path / "raw.png", numbers())
    assert "no such file" in refusal(tmp_path / "raw.png" / "raw.png")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    assert "File name too long" in refusal(tmp_path / ("a" * 300 + ".png"))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".dng"])
def test_a_file_that_may_not_be_read(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"secret{suffix}"
    path.write_bytes(b"secret")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # The superuser may read everything, whatever the file's mode.
    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read (Permission denied)" in refusal(path)


def test_a_file_that_vanishes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = good_file(tmp_path, "own.dng")
    monkeypatch.setattr("raw2logit.dng.read_dng_header", lambda path: path.unlink())
    with pytest.raises(InputError, match="broken raw file"):
        read_raw(path)
