import dataclasses
import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from raw2logit import Camera, InputError, read_raw, write_dng
from raw2logit.camera import IDENTITY_MATRIX
from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.datasets.synthetic.generate import generate_drone
from raw2logit.dng import VENDOR_SUFFIXES, _mosaic_and_camera, to_uint16
from raw2logit.raw import SUFFIXES, write_mosaic_tiff

from .raw_files import (
    SRGB_TO_XYZ,
    Array,
    attempt,
    dng,
    jpeg_dng,
    numbers,
    patch_tag,
    random_mosaic,
    refusal,
)

# ---- written


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


@pytest.mark.parametrize("size", [(22, 22), (24, 130), (258, 64)])
@pytest.mark.parametrize("white", [32769, 47001, 65535])
@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_odd_black_levels_white_levels_and_sizes(
    tmp_path: Path, cfa: CFA, white: int, size: tuple[int, int]
) -> None:
    black = (1001, 203, 4095, 77)
    camera = Camera(
        "odd",
        cfa=cfa,
        black_level=tuple(level / 65535 for level in black),
        white_level=white / 65535,
    )
    path = write_dng(tmp_path / "raw.dng", random_mosaic(*size), camera)
    image = read_raw(path)
    assert torch.equal(image.mosaic, random_mosaic(*size))
    assert image.camera is not None
    assert image.camera.cfa == cfa
    assert image.camera.black_level == pytest.approx(camera.black_level, rel=1e-12)
    assert image.camera.white_level == white / 65535
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, numbers(height=size[0], width=size[1]))
        levels = raw.black_level_per_channel
        assert [levels[index] for index in raw.raw_pattern.ravel()] == list(black)
        assert raw.white_level == white


def test_black_levels_between_digital_numbers(tmp_path: Path) -> None:
    camera = Camera("fractions", black_level=(9.8e-06, 0.0626, 1 / 3, 0.25))
    read = read_raw(write_dng(tmp_path / "raw.dng", random_mosaic(), camera)).camera
    assert read is not None
    assert read.black_level == pytest.approx(camera.black_level, rel=1e-8)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_mosaic_of_fewer_bits_stays_exact(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    values = numbers() >> (16 - bits)
    levels = {50717: (4, 1, top - 3), 50714: (3, 1, 65)}
    first = read_raw(dng(tmp_path / "first.dng", values, replace=levels))
    assert first.camera is not None
    second = read_raw(write_dng(tmp_path / "second.dng", first.mosaic, first.camera))
    assert torch.equal(first.mosaic, second.mosaic)
    assert second.camera is not None
    assert second.camera.bits == bits
    assert second.camera.black_level == first.camera.black_level == (65 / top,) * 4
    assert second.camera.white_level == first.camera.white_level
    with tifffile.TiffFile(tmp_path / "second.dng") as file:
        np.testing.assert_array_equal(file.asarray(), values)


@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_the_tags_that_the_specification_asks_for(tmp_path: Path, cfa: CFA) -> None:
    camera = dataclasses.replace(Camera.preset("drone"), cfa=cfa)
    path = write_dng(tmp_path / "raw.dng", random_mosaic(), camera)
    with tifffile.TiffFile(path) as file:
        (page,) = file.pages
        tags = {tag.name: tag.value for tag in page.tags}
    colours = {"R": 0, "G": 1, "B": 2}
    expected = {
        "NewSubfileType": 0,
        "ImageWidth": 32,
        "ImageLength": 24,
        "BitsPerSample": 16,
        "Compression": 1,
        "PhotometricInterpretation": 32803,
        "Orientation": 1,
        "SamplesPerPixel": 1,
        "CFARepeatPatternDim": (2, 2),
        "DNGVersion": b"\1\4\0\0",
        "DNGBackwardVersion": b"\1\1\0\0",
        "UniqueCameraModel": "raw2logit drone",
        "BlackLevelRepeatDim": (2, 2),
        "WhiteLevel": 65535,
        "CalibrationIlluminant1": 21,
    }
    assert {name: tags[name] for name in expected} == expected
    assert list(tags["CFAPattern"]) == [colours[letter] for letter in cfa]
    black = np.reshape(tags["BlackLevel"], (4, 2))
    np.testing.assert_allclose(
        black[:, 0] / black[:, 1], np.multiply(camera.black_level, 65535), rtol=1e-8
    )
    neutral = np.reshape(tags["AsShotNeutral"], (3, 2))
    to_camera = np.reshape(tags["ColorMatrix1"], (9, 2))
    white_xyz = SRGB_TO_XYZ.sum(axis=1)
    # What the camera sees of a white surface, up to its brightness, both tags tell.
    seen = (to_camera[:, 0] / to_camera[:, 1]).reshape(3, 3) @ white_xyz
    ratio = seen / (neutral[:, 0] / neutral[:, 1])
    np.testing.assert_allclose(ratio / camera.white_balance, ratio[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("mosaic", "words"),
    [
        (torch.full((24, 32), torch.nan), "768 values that are NaN"),
        (torch.full((24, 32), -torch.inf), "768 values that are NaN or infinite"),
        (torch.linspace(-0.1, 1, 768).reshape(24, 32), "from -0.1 to 1"),
        (torch.linspace(0, 1.5, 768).reshape(24, 32), "from 0 to 1.5"),
        (torch.ones(24, 32, dtype=torch.int32), "torch.int32"),
        (torch.ones(24, 32, dtype=torch.uint16), "divide by"),
    ],
)
def test_values_that_are_no_fractions(tmp_path: Path, mosaic: Tensor, words: str) -> None:
    for write in (
        lambda: write_dng(tmp_path / "raw.dng", mosaic, Camera.preset("drone")),
        lambda: write_mosaic_tiff(tmp_path / "raw.tif", mosaic),
    ):
        with pytest.raises(InputError, match=words):
            write()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_rounded_to_digital_numbers(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    mosaic = random_mosaic().to(dtype).requires_grad_()
    read = read_raw(write_dng(tmp_path / "raw.dng", mosaic, Camera.preset("drone"))).mosaic
    assert (read.double() - mosaic.double()).abs().max() <= 0.5 / 65535 + 1e-7


def test_generated_frames_hold_their_tiles_bit_for_bit(tmp_path: Path) -> None:
    size = 32
    drone = generate_drone(tmp_path, count=12, size=size, frames=True, intensities=(1.0, 0.05))
    found = 0
    for number, mask_file in enumerate(sorted((drone / "masks_full").iterdir())):
        mask = np.asarray(Image.open(mask_file))
        for folder in ("raw_scale100", "raw_scale005"):
            image = read_raw(drone / "images_full" / folder / f"{mask_file.stem}.DNG")
            assert image.mosaic.shape == mask.shape
            assert image.camera is not None
            assert image.camera.black_level == pytest.approx((0.0625, 0.0626) * 2, rel=1e-8)
            frame = to_uint16(image.mosaic)
            assert not (frame % 16).any()  # the drone's 12 bits
            # A car is in the tiles of a frame in reading order.
            places = [
                (slice(row, row + size), slice(column, column + size))
                for row in range(0, mask.shape[0], size)
                for column in range(0, mask.shape[1], size)
                if mask[row : row + size, column : column + size].any()
            ]
            tiles = sorted((drone / "images_tiles_256" / folder).glob(f"{number:02d}_*.tif"))
            assert 0 < len(tiles) <= len(places)
            for tile, place in zip(tiles, places, strict=False):
                np.testing.assert_array_equal(tifffile.imread(tile), frame[place])
            found += len(tiles)
    assert found == 24


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


@pytest.mark.parametrize("cfa", CFA_NAMES)
@pytest.mark.parametrize(
    "area", [(0, 0, 40, 48), (1, 0, 40, 48), (0, 1, 39, 48), (1, 1, 40, 48), (3, 4, 38, 45)]
)
def test_the_visible_area_keeps_the_phase_of_the_colours(
    tmp_path: Path, cfa: CFA, area: tuple[int, int, int, int]
) -> None:
    # Pattern and black levels of a DNG count from the corner of the active area.
    tags = {
        50829: (4, 4, area),
        33422: (1, 4, bytes("RGB".index(letter) for letter in cfa)),
        50713: (3, 2, (2, 2)),
        50714: (3, 4, (10, 20, 30, 40)),
    }
    values = numbers(height=40, width=48)
    image = read_raw(dng(tmp_path / "raw.dng", values, replace=tags))
    top, left, bottom, right = area
    height, width = (bottom - top) // 2 * 2, (right - left) // 2 * 2
    np.testing.assert_array_equal(
        to_uint16(image.mosaic), values[top : top + height, left : left + width]
    )
    assert image.camera is not None
    assert image.camera.cfa == cfa
    assert np.multiply(image.camera.black_level, 65535).round(6).tolist() == [10, 20, 30, 40]


def deltas(count: int) -> tuple[int, ...]:
    return tuple(number for index in range(count) for number in (100 * (index % 2), 1))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({50714: (3, 1, 1000)}, [1000] * 4),
        ({50713: (3, 2, (1, 2)), 50714: (3, 2, (10, 20))}, [10, 20, 10, 20]),
        ({50713: (3, 2, (2, 1)), 50714: (3, 2, (10, 20))}, [10, 10, 20, 20]),
        ({50713: (3, 2, (2, 2)), 50714: (5, 4, (3, 2, 5, 2, 7, 2, 9, 2))}, [1.5, 2.5, 3.5, 4.5]),
        ({50713: (3, 2, (4, 4)), 50714: (3, 16, tuple(range(16)))}, [5, 6, 9, 10]),
        ({50713: (3, 2, (1, 3)), 50714: (3, 3, (10, 20, 60))}, [30] * 4),
        ({50714: (3, 1, 1000), 50715: (10, 32, deltas(32))}, [1000, 1100, 1000, 1100]),
        ({50714: (3, 1, 1000), 50716: (10, 24, deltas(24))}, [1000, 1000, 1100, 1100]),
    ],
)
def test_black_levels_of_every_form(
    tmp_path: Path, tags: dict[int, tuple[int, int, Any]], expected: list[float]
) -> None:
    camera = read_raw(dng(tmp_path / "raw.dng", numbers(), replace=tags)).camera
    assert camera is not None
    np.testing.assert_allclose(np.multiply(camera.black_level, 65535), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "tags",
    [
        {50713: (3, 2, (2, 2)), 50714: (3, 2, (10, 20))},
        {50713: (3, 2, (60000, 60000))},
        {50714: (5, 1, (10, 0))},
        {50715: (10, 31, deltas(31))},
        {50829: (4, 4, (0, 0, 25, 32))},
        {50829: (4, 4, (10, 10, 11, 20))},
        {33422: (1, 2, bytes((0, 1)))},
        {50712: (3, 4, (0, 1, 2, 3)), 291: (3, 4, (0, 1, 2, 3))},
    ],
)
def test_tags_that_contradict_each_other(
    tmp_path: Path, tags: dict[int, tuple[int, int, Any]]
) -> None:
    assert "broken DNG" in refusal(dng(tmp_path / "raw.dng", numbers(), replace=tags))


def test_a_tag_that_stands_twice(tmp_path: Path) -> None:
    path = dng(tmp_path / "raw.dng", numbers(), replace={65000: (3, 1, 5), 65001: (3, 1, 6)})
    content = path.read_bytes()
    assert content.count(struct.pack("<HH", 65001, 3)) == 1
    path.write_bytes(content.replace(struct.pack("<HH", 65001, 3), struct.pack("<HH", 65000, 3)))
    assert "tags can be read" in refusal(path)


def test_the_lowest_of_several_white_levels(tmp_path: Path) -> None:
    levels = {50717: (4, 4, (62000, 61000, 60000, 63000))}
    camera = read_raw(dng(tmp_path / "raw.dng", numbers(), replace=levels)).camera
    assert camera is not None
    assert camera.white_level == 60000 / 65535


def test_a_linearisation_table(tmp_path: Path) -> None:
    table = tuple(min(i * i // 256, 65535) for i in range(4096))
    levels = {50712: (3, 4096, table), 50717: (4, 1, 65520)}
    values = numbers() >> 4
    mosaic = read_raw(dng(tmp_path / "raw.dng", values, replace=levels)).mosaic
    np.testing.assert_array_equal(to_uint16(mosaic), np.array(table)[values])


@pytest.mark.parametrize("suffix", [".nef", ".cr2", ".ARW", ".raw", ".DNG"])
def test_the_content_decides_not_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = dng(tmp_path / "raw.dng", numbers(), replace={50829: (4, 4, (1, 1, 23, 31))})
    mosaic = read_raw(path).mosaic
    path = path.rename(tmp_path / f"renamed{suffix}")
    assert torch.equal(read_raw(path).mosaic, mosaic)
    path.write_bytes(path.read_bytes()[:-1])
    assert "outside of the file" in refusal(path)


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = dng(tmp_path / "raw.dng", numbers())
    try:
        path = path.rename(tmp_path / os.fsdecode(b"caf\xe9.dng"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert read_raw(path).mosaic.shape == (24, 32)


XTRANS = bytes.fromhex("010100010102010102010100020001000201010102010100010100010102000201020001")
QUAD = bytes((0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 2, 2, 1, 1, 2, 2))


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        ("6 x 6 colour filter array (X-Trans)", {33421: (3, 2, (6, 6)), 33422: (1, 36, XTRANS)}),
        ("4 x 4 colour filter array", {33421: (3, 2, (4, 4)), 33422: (1, 16, QUAD)}),
        ("four-colour sensor (cyan magenta yellow green)", {33422: (1, 4, bytes((3, 4, 5, 1)))}),
        ("four-colour sensor (red green cyan blue)", {33422: (1, 4, bytes((0, 1, 3, 2)))}),
        (
            "four-colour sensor (red green blue)",
            {50710: (1, 4, bytes((0, 1, 2, 6)))},
        ),
        ("colours red red green blue", {33422: (1, 4, bytes((0, 0, 1, 2)))}),
        ("in planes [2, 1, 0]", {50710: (1, 3, bytes((2, 1, 0)))}),
        ("monochrome sensor", {33422: (1, 4, bytes(4))}),
        ("staggered colour filter array (Super CCD)", {50711: (3, 1, 2)}),
    ],
)
def test_other_colour_filter_arrays_are_refused_by_name(
    tmp_path: Path, words: str, tags: dict[int, tuple[int, int, Any]]
) -> None:
    message = refusal(dng(tmp_path / "raw.dng", numbers(), replace=tags))
    assert words in message
    assert "only 2 x 2 Bayer mosaics" in message


@pytest.mark.parametrize("samples", [3, 4])
def test_an_already_demosaiced_dng(tmp_path: Path, samples: int) -> None:
    values = np.stack([numbers()] * samples, -1)
    path = dng(tmp_path / "raw.dng", values, drop=(33421, 33422), photometric=34892)
    assert "already demosaiced (linear)" in refusal(path)


@pytest.mark.parametrize("photometric", [0, 1, 34892])
def test_a_monochrome_dng(tmp_path: Path, photometric: int) -> None:
    path = dng(tmp_path / "raw.dng", numbers(), drop=(33421, 33422))
    patch_tag(path, 262, photometric)
    message = refusal(path)
    assert "monochrome sensor" in message
    assert "linear" not in message


def test_a_dng_without_raw_picture(tmp_path: Path) -> None:
    values = np.stack([numbers(np.uint8)] * 3, -1)
    path = dng(tmp_path / "raw.dng", values, drop=(33421, 33422), photometric=2)
    assert "without raw picture" in refusal(path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
def test_a_dng_that_libraw_would_round(tmp_path: Path, dtype: type) -> None:
    path = dng(tmp_path / "raw.dng", (numbers() / 65535).astype(dtype))
    assert "16 bits" in refusal(path)


def test_a_tiff_that_is_no_dng(tmp_path: Path) -> None:
    path = dng(tmp_path / "raw.dng", numbers(), drop=(50706,))
    assert "no DNGVersion tag" in refusal(path)


@pytest.mark.parametrize("tile", [(48, 96), (16, 32)])
def test_lossless_jpeg(tmp_path: Path, tile: tuple[int, int]) -> None:
    values = numbers(height=48, width=96)
    path = jpeg_dng(tmp_path / "raw.dng", values, tile)
    np.testing.assert_array_equal(to_uint16(read_raw(path).mosaic), values)
    # Another width than the stream's, as a flipped bit would make it.
    patch_tag(path, 322, tile[1] * 2)
    assert "broken DNG" in refusal(path)


def test_lossless_jpeg_that_libraw_misreads(tmp_path: Path) -> None:
    path = jpeg_dng(tmp_path / "raw.dng", numbers(height=48, width=64), (16, 32))
    assert "2 tiles of lossless JPEG across" in refusal(path)
    with rawpy.imread(str(path)) as raw:
        misread: bool = (raw.raw_image != numbers(height=48, width=64)).any()
    # Once LibRaw can, the refusal should go.
    assert misread


def test_a_black_level_above_the_white_level(tmp_path: Path) -> None:
    levels = {50717: (4, 1, 65535), 50714: (4, 1, 70000)}
    path = dng(tmp_path / "raw.dng", numbers(), replace=levels)
    assert "black level" in refusal(path)


def stand_in(**changes: object) -> SimpleNamespace:
    """Something like a rawpy file of an old camera without as-shot white balance."""
    visible = np.arange(48, dtype=np.uint16).reshape(6, 8)
    values: dict[str, object] = {
        "num_colors": 3,
        "raw_image_visible": visible,
        "raw_pattern": np.array([[3, 2], [0, 1]]),
        "raw_colors_visible": np.tile([[3, 2], [0, 1]], (3, 4)),
        "color_desc": b"RGBG",
        "white_level": 1023,
        "camera_white_level_per_channel": None,
        "black_level_per_channel": [10, 20, 30, 40],
        "camera_whitebalance": [0.0, 0.0, 0.0, 0.0],
        "daylight_whitebalance": [4.0, 2.0, 3.0, 0.0],
        "rgb_xyz_matrix": np.zeros((4, 3)),
        "color_matrix": np.eye(3, 4),
    }
    return SimpleNamespace(**{**values, **changes})


def test_colours_go_through_the_pattern() -> None:
    mosaic, camera = _mosaic_and_camera(Path("old.nef"), stand_in(), None)
    assert camera.cfa == "GBRG"  # G2 B / R G1
    np.testing.assert_allclose(camera.black_level, np.array([40, 30, 10, 20]) / 1023)
    assert camera.white_balance == (2.0, 1.0, 1.5)
    assert camera.bits == 10
    np.testing.assert_allclose(mosaic, np.arange(48).reshape(6, 8) / 1023, rtol=1e-6)


def test_a_makers_white_level_by_colour() -> None:
    _, camera = _mosaic_and_camera(
        Path("old.nef"), stand_in(camera_white_level_per_channel=[1000, 990, 1010, 991]), None
    )
    assert camera.white_level == 990 / 1023


def test_gains_of_last_resort() -> None:
    _, camera = _mosaic_and_camera(
        Path("old.nef"), stand_in(daylight_whitebalance=[0.0, 0.0, 0.0, 0.0]), None
    )
    assert camera.white_balance == (1.0, 1.0, 1.0)


def test_matrix_from_a_vendors_table() -> None:
    mixing = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.05, 0.25, 0.7]])
    table = np.vstack([2 * mixing @ np.linalg.inv(SRGB_TO_XYZ), np.zeros(3)])
    _, camera = _mosaic_and_camera(
        Path("old.nef"), stand_in(rgb_xyz_matrix=table, color_matrix=np.zeros((3, 4))), None
    )
    np.testing.assert_allclose(camera.colour_matrix, np.linalg.inv(mixing), atol=1e-6)
    np.testing.assert_allclose(np.sum(camera.colour_matrix, axis=1), 1, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"raw_pattern": None}, "linear"),
        ({"num_colors": 1, "raw_pattern": np.array([[6]])}, "monochrome"),
        ({"raw_pattern": np.zeros((6, 6), int)}, r"6 x 6 .*X-Trans"),
        ({"raw_pattern": np.zeros((16, 16), int)}, "16 x 16"),
        ({"color_desc": b"GMCY"}, "four-colour"),
        ({"color_desc": b"RGBE"}, "four-colour"),
        ({"raw_colors_visible": np.zeros((6, 8), int)}, "RRRR"),
    ],
)
def test_stand_ins_that_are_no_bayer_mosaic(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        _mosaic_and_camera(Path("old.nef"), stand_in(**changes), None)
    assert str(caught.value).startswith("old.nef: ")


def test_vendor_suffixes_are_lower_case_and_unique() -> None:
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert set(VENDOR_SUFFIXES) < set(SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
