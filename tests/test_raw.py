import dataclasses
import logging
import random
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import png
import pytest
import rawpy
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from raw2logit import Camera, InputError, MissingDataError, RawImage, read_raw, write_dng
from raw2logit.camera import IDENTITY_MATRIX
from raw2logit.cfa import CFA_NAMES
from raw2logit.dng import VENDOR_SUFFIXES, _mosaic_and_camera, to_uint16
from raw2logit.raw import (
    SUFFIXES,
    write_mosaic_tiff,
)

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
    values: Array,
    *,
    drop: tuple[int, ...] = (),
    replace: dict[int, tuple[int, int, Any]] | None = None,
    photometric: int = 32803,
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
    )
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


def test_writing_clamps_what_does_not_fit() -> None:
    written = to_uint16(torch.tensor([[-0.5, 0.0], [1.0, 7.0]]))
    assert written.tolist() == [[0, 0], [65535, 65535]]


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


def attempt(act: Callable[[], T]) -> T | InputError:
    """Return what `act` returns, or the `InputError` that it raises."""
    try:
        return act()
    except InputError as error:
        return error


def samples(folder: Path) -> dict[str, Path]:
    """One good file of every format and layout."""
    values = numbers()
    mosaic = torch.from_numpy((values / 65535).astype(np.float32))
    files = {
        "tiff": write_mosaic_tiff(folder / "tiff.tif", mosaic),
        "png": save(folder / "png.png", values),
        "npy": save(folder / "npy.npy", values),
        "float npy": save(folder / "float.npy", values / 65535),
        "dng": write_dng(folder / "dng.dng", mosaic, Camera.preset("drone")),
    }
    for name, options in (
        ("strips", {"rowsperstrip": 4}),
        ("deflate", {"rowsperstrip": 4, "compression": "zlib"}),
    ):
        files[name] = folder / f"{name}.tif"
        tifffile.imwrite(files[name], values, **options)
    return files


KINDS = ("tiff", "strips", "deflate", "png", "npy", "float npy", "dng")


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(tmp_path: Path, kind: str) -> None:
    whole = samples(tmp_path)[kind]
    content = whole.read_bytes()
    # The last bytes of a PNG (checksums and end mark) hold no pixels.
    last = len(content) - (21 if kind == "png" else 1)
    path = tmp_path / f"cut{whole.suffix}"
    for length in (1, 4, 8, 40, 100, len(content) // 4, len(content) // 2, last - 64, last):
        path.write_bytes(content[:length])
        message = refusal(path)
        assert "broken" in message, (length, message)
        assert "copy or download the file again" in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_mutations_each(tmp_path: Path, kind: str) -> None:
    whole = samples(tmp_path)[kind]
    content = whole.read_bytes()
    path = tmp_path / f"mutant{whole.suffix}"
    refused = 0
    for seed in range(110):
        rng = random.Random(seed)
        mutant = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 4))):
            # Most damage goes to the header, where it matters.
            reach = len(content) if rng.random() < 0.3 else min(400, len(content))
            mutant[rng.randrange(reach)] = rng.choice((0, 255, rng.randrange(256)))
        if rng.random() < 0.2:
            del mutant[rng.randrange(len(mutant)) :]
        path.write_bytes(mutant)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no colour matrix", category=UserWarning)
            mosaic = attempt(lambda: read_raw(path).mosaic)
        if isinstance(mosaic, InputError):
            refused += 1
            assert str(mosaic).startswith(f"{path}: "), seed
            assert "\n" not in str(mosaic), seed
            continue
        assert mosaic.dtype == torch.float32, seed
        assert mosaic.dim() == 2, seed
        assert mosaic.isfinite().all(), seed
        assert mosaic.min() >= 0, seed
        assert mosaic.max() <= 1, seed
        assert 4 <= mosaic.numel() <= 2 * HEIGHT * WIDTH, seed
    assert refused > 10


def patch_tag(path: Path, code: int, value: int) -> None:
    """Overwrite the value of a one-number tag in a TIFF."""
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags[code]
        place, size = tag.valueoffset, {3: "<H", 4: "<I"}[int(tag.dtype)]
    content = bytearray(path.read_bytes())
    struct.pack_into(size, content, place, value)
    path.write_bytes(content)


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


# ---- DNG


def product(camera: Camera) -> Array:
    """Return what white balance and matrix do together."""
    both: Array = np.array(camera.colour_matrix) * np.array(camera.white_balance)
    return both


def assert_same_colours(actual: Camera, expected: Camera, *, rtol: float = 1e-5) -> None:
    """White balance and matrix agree up to one positive factor."""
    one, two = product(actual), product(expected)
    factor = (one * two).sum() / (two * two).sum()
    assert factor > 0
    np.testing.assert_allclose(one / factor, two, atol=rtol * np.abs(two).max(), rtol=0)


def random_mosaic(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.from_numpy((numbers(height=height, width=width) / 65535).astype(np.float32))


@pytest.mark.parametrize("cfa", CFA_NAMES)
@pytest.mark.parametrize("name", ["microscopy", "drone"])
def test_dng_round_trip(tmp_path: Path, name: str, cfa: str) -> None:
    camera = dataclasses.replace(Camera.preset(name), cfa=cfa)
    mosaic = random_mosaic()
    image = read_raw(write_dng(tmp_path / "raw.dng", mosaic, camera))
    assert torch.equal(image.mosaic, mosaic)
    assert image.camera is not None
    assert image.camera.name == "raw.dng"
    assert image.camera.cfa == cfa
    assert image.camera.bits == 16
    assert image.camera.white_level == 1.0
    np.testing.assert_allclose(
        image.camera.black_level, camera.black_level, atol=0.5 / 65535 + 1e-9, rtol=0
    )
    assert min(image.camera.white_balance) > 0
    assert_same_colours(image.camera, camera)


@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_every_site_keeps_its_black_level(tmp_path: Path, cfa: str) -> None:
    camera = Camera("four", cfa=cfa, black_level=(0.01, 0.02, 0.03, 0.04), white_level=0.9)
    read = read_raw(write_dng(tmp_path / "raw.dng", random_mosaic(), camera)).camera
    assert read is not None
    np.testing.assert_allclose(
        read.black_level, camera.black_level, atol=0.5 / 65535 + 1e-9, rtol=0
    )
    assert read.white_level == pytest.approx(0.9, abs=0.5 / 65535 + 1e-9)


@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_rawpy_sees_the_same_mosaic(tmp_path: Path, cfa: str) -> None:
    camera = dataclasses.replace(Camera.preset("drone"), cfa=cfa)
    path = write_dng(tmp_path / "raw.dng", random_mosaic(26, 40), camera)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, numbers(height=26, width=40))
        assert raw.white_level == 65535
        seen = "".join("RGBG"[index] for index in raw.raw_pattern.ravel())
        assert seen == cfa


@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, -1, 1), (-1, 1, -1)])
def test_negative_gains_move_into_the_matrix(tmp_path: Path, signs: tuple[int, ...]) -> None:
    drone = Camera.preset("drone")
    camera = Camera(
        "negative",
        white_balance=tuple(np.multiply(drone.white_balance, signs).tolist()),
        colour_matrix=tuple(map(tuple, np.multiply(drone.colour_matrix, signs).tolist())),
    )
    read = read_raw(write_dng(tmp_path / "raw.dng", random_mosaic(), camera)).camera
    assert read is not None
    assert min(read.white_balance) > 0
    assert_same_colours(read, drone)


triples = st.tuples(*[st.floats(-0.4, 0.4)] * 3)


@given(
    rows=st.tuples(triples, triples, triples),
    gains=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    black=st.tuples(*[st.floats(0, 0.2)] * 4),
    white=st.none() | st.floats(0.51, 1.0),
)
def test_dng_holds_any_camera_or_refuses_it(
    tmp_path_factory: pytest.TempPathFactory,
    rows: tuple[tuple[float, ...], ...],
    gains: tuple[float, float, float],
    black: tuple[float, float, float, float],
    white: float | None,
) -> None:
    matrix = np.eye(3) + np.array(rows)
    camera = Camera(
        "any",
        white_balance=gains,
        colour_matrix=tuple(map(tuple, matrix.tolist())),
        black_level=black,
        white_level=white,
    )
    path = tmp_path_factory.mktemp("dng") / "raw.dng"
    mosaic = random_mosaic()
    written = attempt(lambda: write_dng(path, mosaic, camera))
    if isinstance(written, InputError):
        assert "'any'" in str(written)
        assert not any(path.parent.iterdir())
        neutral = np.linalg.inv(product(camera)).sum(1)
        assert neutral.min() <= 0 or np.linalg.cond(matrix) > 50
        return
    image = read_raw(path)
    assert torch.equal(image.mosaic, mosaic)
    assert image.camera is not None
    assert_same_colours(image.camera, camera, rtol=1e-3)


def test_a_read_dng_can_be_written_again(tmp_path: Path) -> None:
    first = read_raw(write_dng(tmp_path / "a.dng", random_mosaic(), Camera.preset("microscopy")))
    assert first.camera is not None
    renamed = dataclasses.replace(first.camera, name="Größe.dng")
    second = read_raw(write_dng(tmp_path / "b.dng", first.mosaic, renamed))
    assert second.camera is not None
    assert torch.equal(first.mosaic, second.mosaic)
    assert second.camera.black_level == first.camera.black_level
    assert_same_colours(second.camera, first.camera)


@pytest.mark.parametrize(
    "shape", [(24,), (1, 24, 32), (23, 32), (24, 31), (20, 32), (32, 2), (0, 0)]
)
def test_dng_of_a_wrong_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        write_dng(tmp_path / "raw.dng", torch.zeros(shape), Camera.preset("drone"))
    assert str(shape) in str(caught.value)
    assert not any(tmp_path.iterdir())


ONES = ((1.0, 1.0, 1.0),) * 3


@pytest.mark.parametrize(
    "broken",
    [
        {"colour_matrix": ONES},
        {"colour_matrix": ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0, 9.0))},
        {"colour_matrix": ((1e-4, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
        {"colour_matrix": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
        {"white_balance": (0.0, 1.0, 1.0)},
        {"black_level": (-0.01, 0.0, 0.0, 0.0)},
        {"white_level": 0.3},
        {"white_level": 1.5},
    ],
    ids=str,
)
def test_cameras_that_a_dng_cannot_hold(tmp_path: Path, broken: dict[str, Any]) -> None:
    path = tmp_path / "raw.dng"
    path.write_bytes(b"kept")
    with pytest.raises(InputError, match="'odd one'"):
        write_dng(path, random_mosaic(), Camera("odd one", **broken))
    assert [file.name for file in tmp_path.iterdir()] == ["raw.dng"]
    assert path.read_bytes() == b"kept"


def test_a_dng_that_fails_on_the_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(file: Path, *args: object, **options: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        write_dng(tmp_path / "raw.dng", random_mosaic(), Camera.preset("drone"))
    assert not any(tmp_path.iterdir())


def test_dng_into_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_dng(tmp_path / "file" / "raw.dng", random_mosaic(), Camera.preset("drone"))
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "in the way"


# ---- DNG of others


@pytest.mark.parametrize(
    "tags",
    [
        {"drop": (50721, 50778)},
        {"replace": {50721: (10, 9, (0, 1) * 9)}},
    ],
    ids=["absent", "zero"],
)
def test_a_file_without_matrix_warns(tmp_path: Path, tags: dict[str, Any]) -> None:
    path = dng(tmp_path / "raw.dng", numbers(), **tags)
    with pytest.warns(UserWarning, match=r"raw\.dng: no colour matrix"):
        image = read_raw(path)
    assert image.camera is not None
    assert image.camera.colour_matrix == IDENTITY_MATRIX
    np.testing.assert_array_equal(to_uint16(image.mosaic), numbers())


def test_as_shot_neutral_becomes_gains(tmp_path: Path) -> None:
    camera = read_raw(dng(tmp_path / "raw.dng", numbers())).camera
    assert camera is not None
    np.testing.assert_allclose(camera.white_balance, (2.0, 1.0, 1.5), rtol=1e-5)
    np.testing.assert_allclose(camera.colour_matrix, np.eye(3), atol=1e-5)


def test_without_as_shot_neutral_daylight_counts(tmp_path: Path) -> None:
    camera = read_raw(dng(tmp_path / "raw.dng", numbers(), drop=(50728,))).camera
    assert camera is not None
    # This camera sees sRGB, whose white is daylight.
    np.testing.assert_allclose(camera.white_balance, (1.0, 1.0, 1.0), rtol=1e-4)


def test_the_white_level_tells_the_full_scale(tmp_path: Path) -> None:
    values = numbers() >> 4
    levels = {50717: (4, 1, 4000), 50714: (3, 1, 256)}
    image = read_raw(dng(tmp_path / "raw.dng", values, replace=levels))
    assert image.camera is not None
    assert image.camera.bits == 12
    assert image.camera.white_level == pytest.approx(4000 / 4095)
    np.testing.assert_allclose(image.camera.black_level, [256 / 4095] * 4)
    np.testing.assert_allclose(image.mosaic.numpy(), values / 4095, rtol=1e-6)


def test_an_odd_sized_dng_loses_its_end(tmp_path: Path) -> None:
    values = numbers(height=25, width=33)
    image = read_raw(dng(tmp_path / "raw.dng", values))
    np.testing.assert_array_equal(to_uint16(image.mosaic), values[:24, :32])


XTRANS = bytes.fromhex("010100010102010102010100020001000201010102010100010100010102000201020001")


def test_files_that_are_no_bayer_mosaic(tmp_path: Path) -> None:
    values = numbers()
    six = {33421: (3, 2, (6, 6)), 33422: (1, 36, XTRANS)}
    assert "6 x 6" in refusal(dng(tmp_path / "xtrans.dng", values, replace=six))
    emerald = {33422: (1, 4, bytes((3, 4, 5, 1)))}  # cyan, magenta, yellow, green
    assert "no Bayer array" in refusal(dng(tmp_path / "cmyg.dng", values, replace=emerald))
    linear = dng(
        tmp_path / "linear.dng", np.stack([values] * 3, -1), drop=(33421, 33422), photometric=34892
    )
    assert "linear" in refusal(linear)


def test_a_black_level_above_the_white_level(tmp_path: Path) -> None:
    levels = {50717: (4, 1, 65535), 50714: (4, 1, 70000)}
    path = dng(tmp_path / "raw.dng", numbers(), replace=levels)
    assert "black level" in refusal(path)


def stand_in(**changes: object) -> SimpleNamespace:
    """Something like a rawpy file of an old camera without as-shot white balance."""
    visible = np.arange(48, dtype=np.uint16).reshape(6, 8)
    values: dict[str, object] = {
        "raw_image_visible": visible,
        "raw_pattern": np.array([[3, 2], [0, 1]]),
        "raw_colors_visible": np.tile([[3, 2], [0, 1]], (3, 4)),
        "color_desc": b"RGBG",
        "white_level": 1023,
        "black_level_per_channel": [10, 20, 30, 40],
        "camera_whitebalance": [0.0, 0.0, 0.0, 0.0],
        "daylight_whitebalance": [4.0, 2.0, 3.0, 0.0],
        "rgb_xyz_matrix": np.zeros((4, 3)),
        "color_matrix": np.eye(3, 4),
    }
    return SimpleNamespace(**{**values, **changes})


def test_colours_go_through_the_pattern() -> None:
    mosaic, camera = _mosaic_and_camera(Path("old.nef"), stand_in())
    assert camera.cfa == "GBRG"  # G2 B / R G1
    np.testing.assert_allclose(camera.black_level, np.array([40, 30, 10, 20]) / 1023)
    assert camera.white_balance == (2.0, 1.0, 1.5)
    assert camera.bits == 10
    np.testing.assert_allclose(mosaic, np.arange(48).reshape(6, 8) / 1023, rtol=1e-6)


def test_gains_of_last_resort() -> None:
    _, camera = _mosaic_and_camera(
        Path("old.nef"), stand_in(daylight_whitebalance=[0.0, 0.0, 0.0, 0.0])
    )
    assert camera.white_balance == (1.0, 1.0, 1.0)


def test_matrix_from_a_vendors_table() -> None:
    mixing = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.05, 0.25, 0.7]])
    table = np.vstack([2 * mixing @ np.linalg.inv(SRGB_TO_XYZ), np.zeros(3)])
    _, camera = _mosaic_and_camera(
        Path("old.nef"), stand_in(rgb_xyz_matrix=table, color_matrix=np.zeros((3, 4)))
    )
    np.testing.assert_allclose(camera.colour_matrix, np.linalg.inv(mixing), atol=1e-6)
    np.testing.assert_allclose(np.sum(camera.colour_matrix, axis=1), 1, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"raw_pattern": None}, "linear"),
        ({"raw_image_visible": None}, "linear"),
        ({"raw_image_visible": np.zeros((6, 8, 4), np.uint16)}, "linear"),
        ({"raw_pattern": np.zeros((6, 6), int)}, "6 x 6"),
        ({"color_desc": b"GMCY"}, "no Bayer array"),
        ({"raw_colors_visible": np.zeros((6, 8), int)}, "RRRR"),
    ],
)
def test_stand_ins_that_are_no_bayer_mosaic(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        _mosaic_and_camera(Path("old.nef"), stand_in(**changes))
    assert str(caught.value).startswith("old.nef: ")


def test_vendor_suffixes_are_lower_case_and_unique() -> None:
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert set(VENDOR_SUFFIXES) < set(SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
