import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
import tifffile
import torch
from PIL import Image

from raw2logit import Camera, RawImage, read_raw, write_dng
from raw2logit.dng import to_uint16
from raw2logit.raw import (
    SUFFIXES,
    write_mosaic_tiff,
)

from .raw_files import dng, numbers, patch_tag, refusal, save

# ---- what is read


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".TIFF", ".png", ".npy"])
def test_reads_the_exact_fraction_of_full_scale(tmp_path: Path, suffix: str, dtype: type) -> None:
    values = numbers(dtype)
    path = tmp_path / f"raw{suffix.lower()}"
    save(path, values)
    path = path.rename(tmp_path / f"raw{suffix}")
    image = read_raw(path)
    assert isinstance(image, RawImage)
    assert image.path == path
    assert image.camera is None
    assert image.mosaic.dtype == torch.float32
    assert image.mosaic.is_contiguous()
    expected = (values.astype(np.float64) / np.iinfo(dtype).max).astype(np.float32)
    np.testing.assert_array_equal(image.mosaic.numpy(), expected)
    assert image.mosaic[0, :2].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
def test_floating_point_npy_holds_fractions_already(tmp_path: Path, dtype: str) -> None:
    values = (numbers() / 65535).astype(dtype)
    np.save(tmp_path / "raw.npy", values)
    mosaic = read_raw(tmp_path / "raw.npy").mosaic
    np.testing.assert_array_equal(mosaic.numpy(), values.astype(np.float32))


def test_both_byte_orders(tmp_path: Path) -> None:
    values = numbers()
    np.save(tmp_path / "raw.npy", values.astype(">u2"))
    tifffile.imwrite(tmp_path / "raw.tif", values, byteorder=">")
    for name in ("raw.npy", "raw.tif"):
        np.testing.assert_array_equal(to_uint16(read_raw(tmp_path / name).mosaic), values)


@pytest.mark.parametrize(
    "options",
    [{"rowsperstrip": 4}, {"rowsperstrip": 5, "compression": "zlib"}, {"tile": (16, 16)}],
    ids=["strips", "deflate", "tiles"],
)
def test_layouts_of_tiff(tmp_path: Path, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", numbers(), **options)
    np.testing.assert_array_equal(to_uint16(read_raw(tmp_path / "raw.tif").mosaic), numbers())


def test_every_16_bit_number_survives_a_round_trip(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    mosaic = read_raw(save(tmp_path / "a.png", values)).mosaic
    for copy in (
        write_mosaic_tiff(tmp_path / "b.tif", mosaic),
        write_dng(tmp_path / "c.dng", mosaic, Camera.preset("drone")),
    ):
        np.testing.assert_array_equal(to_uint16(read_raw(copy).mosaic), values)
        assert torch.equal(read_raw(copy).mosaic, mosaic)


def test_mosaic_tiff_opens_elsewhere(tmp_path: Path) -> None:
    mosaic = torch.from_numpy((numbers() / 65535).astype(np.float32))
    path = write_mosaic_tiff(tmp_path / "new" / "raw.tiff", mosaic)
    with Image.open(path) as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), numbers())
    assert [file.name for file in path.parent.iterdir()] == ["raw.tiff"]


@pytest.mark.parametrize("name", ["raw.tif", "raw.png", "raw.npy", "raw.dng"])
def test_a_given_camera_wins(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    dng(path, numbers()) if path.suffix == ".dng" else save(path, numbers())
    camera = Camera("mine", cfa="GBRG")
    assert read_raw(path, camera=camera).camera == camera


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy"])
@pytest.mark.parametrize(
    ("height", "width", "cut"), [(23, 32, (22, 32)), (24, 31, (24, 30)), (5, 3, (4, 2))]
)
def test_odd_sizes(
    tmp_path: Path, suffix: str, height: int, width: int, cut: tuple[int, int]
) -> None:
    values = numbers(height=height, width=width)
    path = save(tmp_path / f"raw{suffix}", values)
    assert f"{height} x {width}" in refusal(path)
    assert "--crop-odd" in refusal(path)
    mosaic = read_raw(path, crop_odd=True).mosaic
    assert mosaic.is_contiguous()
    np.testing.assert_array_equal(to_uint16(mosaic), values[: cut[0], : cut[1]])


def test_crop_odd_leaves_even_sizes_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "raw.png", numbers())
    assert torch.equal(read_raw(path, crop_odd=True).mosaic, read_raw(path).mosaic)


# ---- what is refused


@pytest.mark.parametrize("shape", [(1, 8), (8, 1), (1, 1), (0, 0), (0, 8)])
@pytest.mark.parametrize("crop_odd", [False, True])
def test_too_small(tmp_path: Path, shape: tuple[int, int], crop_odd: bool) -> None:
    np.save(tmp_path / "raw.npy", np.zeros(shape, np.uint16))
    message = refusal(tmp_path / "raw.npy", crop_odd=crop_odd)
    assert f"{shape[0]} x {shape[1]}" in message


@pytest.mark.parametrize("name", ["raw.jpg", "raw", "raw.tif.bak", ".tif", "raw.npz"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"II*\0")
    message = refusal(tmp_path / name)
    assert "unknown kind of file" in message
    assert all(suffix in message.split() for suffix in (".tif", ".png", ".npy", ".dng"))


@pytest.mark.parametrize("suffix", [".tif", ".png", ".npy", ".dng", ".jpg", ".nef"])
def test_missing_file_and_folder(tmp_path: Path, suffix: str) -> None:
    missing = tmp_path / f"absent{suffix}"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_raw(missing)
    assert "no such file" in refusal(missing)
    missing.mkdir()
    with pytest.raises(ValueError, match="folder"):
        read_raw(missing)
    assert "a folder" in refusal(missing)


def test_paths_may_be_text(tmp_path: Path) -> None:
    path = save(tmp_path / "raw.png", numbers())
    assert read_raw(str(path)).path == path


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".raw"])
def test_empty_file_of_every_kind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"raw{suffix}"
    path.touch()
    assert "broken" in refusal(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("height", [400, 2_000_000_000])
def test_a_header_that_claims_a_giant(tmp_path: Path, compression: str, height: int) -> None:
    path = tmp_path / "raw.tif"
    # tifffile would fill 400 rows of six strips with zeros, and ask for 128 GB.
    tifffile.imwrite(path, numbers(), rowsperstrip=4, compression=compression)
    patch_tag(path, 257, height)
    assert "6 of" in refusal(path)


def test_a_single_strip_that_claims_a_giant(tmp_path: Path) -> None:
    path = tmp_path / "raw.tif"
    tifffile.imwrite(path, numbers(), compression="zlib")
    patch_tag(path, 257, 2_000_000)
    patch_tag(path, 278, 2_000_000)
    assert "bytes of pixels" in refusal(path)


def test_pixels_packed_closer_than_bytes(tmp_path: Path) -> None:
    path = tmp_path / "raw.tif"
    tifffile.imwrite(path, numbers())
    patch_tag(path, 258, 12)
    assert "12 bits" in refusal(path)


def test_a_compression_that_needs_another_package(tmp_path: Path) -> None:
    path = tmp_path / "raw.tif"
    tifffile.imwrite(path, numbers())
    patch_tag(path, 259, 34712)  # JPEG 2000
    message = refusal(path)
    if "imagecodecs" in message:  # it is not installed
        assert "without compression" in message


def test_multi_page_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", np.stack([numbers()] * 3), photometric="minisblack")
    assert "3 pages" in refusal(tmp_path / "raw.tif")


def test_rgb_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", np.stack([numbers()] * 3, -1), photometric="rgb")
    assert "(24, 32, 3)" in refusal(tmp_path / "raw.tif")


@pytest.mark.parametrize(("photometric", "word"), [("miniswhite", "inverted"), (3, "palette")])
def test_tiff_whose_numbers_are_not_light(
    tmp_path: Path, photometric: str | int, word: str
) -> None:
    path = tmp_path / "raw.tif"
    if photometric == 3:
        Image.fromarray(numbers(np.uint8)).convert("P").save(path)
    else:
        tifffile.imwrite(path, numbers(), photometric=photometric)
    assert word in refusal(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1"])
def test_png_that_is_no_mosaic(tmp_path: Path, mode: str) -> None:
    Image.fromarray(numbers(np.uint8)).convert(mode).save(tmp_path / "raw.png")
    message = refusal(tmp_path / "raw.png")
    assert f"mode {mode} " in message
    assert "grey" in message


def test_16_bit_rgb_png(tmp_path: Path) -> None:
    rows = np.concatenate([numbers()] * 3, axis=1)
    png.from_array(rows, "RGB;16").save(tmp_path / "raw.png")
    assert "mode RGB " in refusal(tmp_path / "raw.png")


def test_other_formats_under_a_false_name(tmp_path: Path) -> None:
    for false, true in (("raw.png", "JPEG"), ("raw.png", "TIFF"), ("raw.tif", "PNG")):
        Image.fromarray(numbers(np.uint8)).save(tmp_path / false, true)
        assert "broken" in refusal(tmp_path / false)
    with (tmp_path / "raw.npy").open("wb") as file:
        np.savez(file, mosaic=numbers())
    assert "NPZ" in refusal(tmp_path / "raw.npy")
    (tmp_path / "raw.dng").write_bytes(save(tmp_path / "grey.tif", numbers()).read_bytes())
    refusal(tmp_path / "raw.dng")


@pytest.mark.parametrize("shape", [(), (4,), (2, 4, 4), (4, 4, 1), (1, 1, 4, 4)])
def test_npy_of_another_rank(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "raw.npy", np.zeros(shape, np.uint16))
    assert str(shape) in refusal(tmp_path / "raw.npy")


@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "i4", "i8", "u4", "u8", "bool", "c8", "S2", "U1", "M8[s]", "a2,u2"]
)
def test_npy_of_another_type(tmp_path: Path, dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy 2: "a2" is "S2"
        np.save(tmp_path / "raw.npy", np.zeros((4, 4), dtype))
    assert "values of type" in refusal(tmp_path / "raw.npy")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-6, 1.001, 4095.0])
def test_npy_outside_of_the_range(tmp_path: Path, value: float) -> None:
    values = np.full((4, 4), 0.5)
    values[2, 3] = value
    np.save(tmp_path / "raw.npy", values)
    message = refusal(tmp_path / "raw.npy")
    if np.isfinite(value):
        assert f"{value:g}" in message
        assert "divide by 2^bits - 1" in message
    else:
        assert message.startswith("1 values are NaN or infinite")


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("header", [True, False])
def test_pickled_objects_are_never_loaded(tmp_path: Path, header: bool) -> None:
    import pickle

    trap = tmp_path / "exploded"
    if header:
        objects = np.empty((2, 2), object)
        objects[:] = _Bomb(trap)
        np.save(tmp_path / "raw.npy", objects, allow_pickle=True)
    else:
        (tmp_path / "raw.npy").write_bytes(pickle.dumps(_Bomb(trap)))
    assert "broken NPY" in refusal(tmp_path / "raw.npy")
    assert not trap.exists()


def test_reading_leaves_the_log_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", numbers(), rowsperstrip=4)
    patch_tag(tmp_path / "raw.tif", 257, 400)
    with caplog.at_level(logging.WARNING):
        refusal(tmp_path / "raw.tif")
    assert not caplog.records
