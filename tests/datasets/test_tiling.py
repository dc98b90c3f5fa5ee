"""Full frames to tiles: the published layout, and frames of one's own."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from raw2logit import Camera, InputError, MissingDataError, RawDrone, read_raw
from raw2logit.cli import main
from raw2logit.datasets import RawFolder, make_splits, open_dataset
from raw2logit.datasets.frames import holds_stem
from raw2logit.datasets.synthetic.generate import generate_drone
from raw2logit.datasets.tiling import tile_drone, tile_folder
from raw2logit.dng import write_dng

from .layout import DRONE_COUNT, FOLDERS, INTENSITIES, SIZE, files, write_mask

TILES = ("images_tiles_256", "masks_tiles_256", "classification")
OPTIONS: dict[str, Any] = {"size": SIZE, "workers": 1}
MODEL = Camera(
    "model",
    cfa="RGGB",
    black_level=(0.06,) * 4,
    white_level=0.95,
    white_balance=(2.0, 1.0, 1.5),
    colour_matrix=((1.5, -0.3, -0.2), (-0.2, 1.7, -0.5), (0.0, -0.4, 1.4)),
    bits=14,
)


@pytest.fixture
def frames(root: Path, tmp_path: Path) -> Path:
    """A copy of the generated frames, without tiles."""
    copy = Path(shutil.copytree(root / "drone", tmp_path / "copy/drone"))
    for name in TILES:
        shutil.rmtree(copy / name)
    (copy / "tiles.csv").unlink()
    return copy.parent


def told_by(root: Path, **options: Any) -> tuple[list[tuple[str, int, int]], Path]:  # noqa: ANN401
    told: list[tuple[str, int, int]] = []
    made = tile_drone(root, **{**OPTIONS, **options}, progress=lambda *event: told.append(event))
    return told, made


def message_of(call: Callable[[], Path], kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def small(root: Path, masks: list[NDArray[Any]], folder: str = "raw_scale100") -> Path:
    """Write hand-made frames of the published layout; return the folder of the frames."""
    rng = np.random.default_rng(len(folder))
    place = root / "drone/images_full" / folder
    place.mkdir(parents=True)
    for number, mask in enumerate(masks):
        values = rng.integers(0, 65536, mask.shape, np.uint16)
        tifffile.imwrite(place / f"DJI_{number:04d}.tif", values)
        write_mask(root / f"drone/masks_full/mask_DJI_{number:04d}_v2.png", mask)
    return place


def car(shape: tuple[int, int], *pixels: tuple[int, int]) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    for pixel in pixels:
        mask[pixel] = 255
    return mask


# ---- the published layout


def test_frames_give_the_tiles_that_the_generator_wrote(
    root: Path, frames: Path, tmp_path: Path
) -> None:
    assert told_by(frames)[1] == frames / "drone"
    tiled = files(frames / "drone")
    record = json.loads(tiled.pop("tiles.json"))
    count = len(RawDrone(frames))
    assert count > DRONE_COUNT  # the generator stops within its last frame
    for name, content in files(root / "drone").items():
        if name != "tiles.csv":
            assert tiled[name] == content
    again = tmp_path / "again"
    generate_drone(again, count=count, size=SIZE, intensities=INTENSITIES, frames=True, workers=1)
    generated = files(again / "drone")
    assert json.loads(generated.pop("generated.json"))["count"] == count
    tiled.pop("generated.json")
    assert tiled == generated
    assert record["options"] == {"size": SIZE, "overlap": 0}
    assert len(record["masks"]) * len(INTENSITIES) == len(record["frames"])


def test_hand_made_frames(tmp_path: Path) -> None:
    shape = (25, 43)  # two rows of four windows, and a rest
    small(
        tmp_path,
        [
            car(shape, (0, 0), (11, 11), (12, 25), (13, 26), (24, 0), (0, 42)),
            car(shape),
            car(shape, *((row, column) for row in (1, 13) for column in range(42))),
        ],
    )
    tile_drone(tmp_path, size=10, workers=1)
    rows = list(csv.reader((tmp_path / "drone/tiles.csv").read_text().splitlines()))
    assert rows[0] == ["set", "tile", "frame", "row", "column", "mask_share", "label"]
    some = [row[1:-1] for row in rows[1:] if row[0] == "segmentation"]
    assert some == [
        ["00_00000", "DJI_0000", "0", "0", "0.01"],
        ["00_00001", "DJI_0000", "10", "10", "0.01"],
        ["00_00002", "DJI_0000", "10", "20", "0.02"],
        *(
            [f"02_{index:05d}", "DJI_0002", str(index // 4 * 10), str(index % 4 * 10), "0.1"]
            for index in range(8)
        ),
    ]
    labelled = [row for row in rows[1:] if row[0] == "classification"]
    assert [(row[1], row[3:5], row[6]) for row in labelled[:1]] == [
        ("00_00000", ["10", "20"], "car")
    ]
    # One car, so one of the five windows without any; the third frame has none without.
    assert [(row[1], row[6]) for row in labelled[1:]] == [("00_00001", "no car")]
    assert (tmp_path / "drone/classification/dataset_tiles_256_72_0.01.csv").read_text() == (
        ",file name,label\n0,00_00000,0\n1,00_00001,1\n"
    )
    assert len(files(tmp_path / "drone")) == 6 + 2 * (11 + 2) + 3


def test_what_is_read_is_what_the_frame_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = [(rng.random((48, 64)) < 0.003).astype(np.uint8) for _ in range(4)]
    place = small(tmp_path, masks)
    tile_drone(tmp_path, size=8, workers=1)
    table = (tmp_path / "drone/tiles.csv").read_text().splitlines()
    for task in ("segmentation", "classification"):
        dataset = RawDrone(tmp_path, task=task)
        rows = {row[1]: row for row in csv.reader(table) if row[0] == task}
        assert len(rows) == len(dataset) > 8
        for index, file in enumerate(dataset.files):
            _, _, frame, row, column, share, label = rows[file.stem]
            cut = np.s_[int(row) : int(row) + 8, int(column) : int(column) + 8]
            number = int(frame.removeprefix("DJI_"))
            whole = tifffile.imread(place / f"{frame}.tif")
            np.testing.assert_array_equal(tifffile.imread(file), whole[cut])
            assert dataset.groups[index] == frame
            assert float(share) == masks[number][cut].mean()
            if task == "segmentation":
                np.testing.assert_array_equal(dataset.target(index).numpy(), masks[number][cut])
            else:
                assert dataset.classes[dataset.labels[index]] == label
        for split in make_splits(dataset, 2, seed=0):
            parts = [{dataset.groups[i] for i in part} for part in dataclasses.astuple(split)]
            assert sum(map(len, parts)) == len(set.union(*parts)) == len(set(dataset.groups))


def test_overlapping_tiles_of_a_frame_stay_together(frames: Path) -> None:
    told_by(frames, overlap=SIZE // 2)
    dataset = RawDrone(frames)
    table = csv.DictReader((frames / "drone/tiles.csv").read_text().splitlines())
    places = [row for row in table if row["set"] == "segmentation"]
    assert {int(row[key]) % SIZE for row in places for key in ("row", "column")} == {0, SIZE // 2}
    assert sorted(set(dataset.groups)) == sorted({row["frame"] for row in places})
    for row, file in zip(places, dataset.files, strict=True):
        whole = read_raw(frames / f"drone/images_full/raw_scale100/{row['frame']}.DNG").mosaic
        top, left = int(row["row"]), int(row["column"])
        cut = whole[top : top + SIZE, left : left + SIZE]
        assert torch.equal(read_raw(file).mosaic, cut)


def test_two_workers_write_the_same_tiles(frames: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(frames, tmp_path / "other"))
    told_by(frames)
    told_by(other, workers=2)
    assert files(other) == files(frames)


# ---- again


@pytest.mark.parametrize("stop_at", [("looking at frames", 2), ("tiling frames", 1)])
def test_an_interrupted_call_is_repeated(
    frames: Path, tmp_path: Path, stop_at: tuple[str, int]
) -> None:
    other = Path(shutil.copytree(frames, tmp_path / "other"))
    told_by(other)

    def stop(task: str, done: int, total: int) -> None:
        if (task, done) == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tile_drone(frames, **OPTIONS, progress=stop)
    if stop_at[0] == "tiling frames":
        for task in ("segmentation", "classification"):
            message = message_of(lambda task=task: RawDrone(frames, task=task), MissingDataError)
            assert f"Complete them with `raw2logit data tile {frames}`" in message
        # What a writer leaves that is killed outright.
        (frames / "drone/masks_tiles_256/.00_00000.raw2logit-0123abcd.png").write_text("half")
    told_by(frames)
    assert files(frames) == files(other)


def test_what_is_missing_is_made_again(frames: Path) -> None:
    told_by(frames)
    before = files(frames)
    kept, *lost = sorted((frames / "drone/classification").rglob("00_*.tif"))[::3]
    untouched = frames / "drone/images_tiles_256/raw_scale100/02_00000.tif"
    changed = untouched.stat().st_mtime_ns
    for path in (*lost, frames / "drone/masks_tiles_256/01_00000.png", frames / "drone/tiles.csv"):
        path.unlink()
    told, _ = told_by(frames)
    assert files(frames) == before
    assert untouched.stat().st_mtime_ns == changed
    assert kept.is_file()
    total = told[0][2]
    assert [event for event in told if event[0] == "tiling frames"] == [
        ("tiling frames", total - 1, total),
        ("tiling frames", total, total),
    ]
    assert {task for task, _, _ in told_by(frames)[0]} == {"looking at frames"}


def test_an_intensity_that_joins_later(frames: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(frames, tmp_path / "other"))
    told_by(other)
    dim = frames / "drone/images_full" / FOLDERS[1]
    aside = dim.rename(tmp_path / "aside")
    told_by(frames)
    assert not (frames / "drone/images_tiles_256" / FOLDERS[1]).exists()
    aside.rename(dim)
    told_by(frames)
    assert files(frames) == files(other)


@pytest.mark.parametrize("name", [*TILES, "tiles.csv"])
def test_tiles_of_another_hand_are_never_touched(frames: Path, name: str) -> None:
    (frames / "drone" / name).mkdir()
    before = files(frames)
    message = message_of(lambda: tile_drone(frames, **OPTIONS))
    assert message.startswith(f"{frames / 'drone' / name}: not made by `raw2logit data tile`")
    assert files(frames) == before


@pytest.mark.parametrize(
    ("options", "words"), [({"size": 16}, "size 32"), ({"overlap": 2}, "overlap 0")]
)
def test_other_options_than_before(frames: Path, options: dict[str, int], words: str) -> None:
    told_by(frames)
    before = files(frames)
    message = message_of(lambda: tile_drone(frames, **{**OPTIONS, **options}))
    assert message.startswith(f"{frames / 'drone'}: its tiles were cut with another {words}:")
    assert files(frames) == before


@pytest.mark.parametrize("part", ["masks_full", "images_full/raw_scale010"])
def test_other_files_than_before(frames: Path, part: str) -> None:
    told_by(frames)
    first, second = sorted((frames / "drone" / part).iterdir())[:2]
    first.write_bytes(second.read_bytes())
    before = files(frames)
    message = message_of(lambda: tile_drone(frames, **OPTIONS))
    assert f"cut from other files ({'raw_scale010/' * ('images' in part)}{first.name}" in message
    assert files(frames) == before


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"options": 1, "masks": {}, "frames": {}}',
        '{"options": {},"masks": {"a": {}}, "frames": {}}',
    ],
)
def test_a_broken_record(frames: Path, content: str) -> None:
    record = frames / "drone/tiles.json"
    record.write_text(content)
    message = message_of(lambda: tile_drone(frames, **OPTIONS))
    assert message.startswith(f"{record}: broken (")


# ---- what is refused


def test_no_frames(tmp_path: Path) -> None:
    message = message_of(lambda: tile_drone(tmp_path), MissingDataError)
    assert message.startswith(f"{tmp_path / 'drone/images_full'}: no full frames")
    assert f"generate drone --frames --root {tmp_path}`" in message


def refused(root: Path, words: str, kind: type[Exception] = InputError, size: int = 4) -> None:
    """Tiling must end with these words and leave nothing behind."""
    before = files(root)
    assert words in message_of(lambda: tile_drone(root, size=size, workers=1), kind)
    assert files(root) == before


def test_a_frame_without_mask(tmp_path: Path) -> None:
    place = small(tmp_path, [car((8, 8), (0, 0))] * 2)
    (tmp_path / "drone/masks_full/mask_DJI_0001_v2.png").unlink()
    refused(tmp_path, f"{place / 'DJI_0001.tif'}: no mask with its name in", MissingDataError)


def test_a_mask_without_frame(tmp_path: Path) -> None:
    place = small(tmp_path, [car((8, 8), (0, 0))] * 2)
    (place / "DJI_0001.tif").unlink()
    mask = tmp_path / "drone/masks_full/mask_DJI_0001_v2.png"
    refused(tmp_path, f"{mask}: its name contains that of no frame in {place}", MissingDataError)


def test_two_masks_of_a_frame(tmp_path: Path) -> None:
    small(tmp_path, [car((8, 8), (0, 0))])
    write_mask(tmp_path / "drone/masks_full/mask_DJI_0000_v3.png", car((8, 8)))
    refused(tmp_path, "mask_DJI_0000_v2.png is a mask of frame DJI_0000 too: keep one")


def test_a_mask_of_two_frames(tmp_path: Path) -> None:
    small(tmp_path, [car((8, 8), (0, 0))] * 2)
    masks = tmp_path / "drone/masks_full"
    (masks / "mask_DJI_0001_v2.png").rename(masks / "DJI_0000_DJI_0001.png")
    refused(tmp_path, "contains those of the frames DJI_0000 and DJI_0001")


def test_an_intensity_without_a_frame(tmp_path: Path) -> None:
    small(tmp_path, [car((8, 8), (0, 0))] * 2)
    dim = small(tmp_path, [car((8, 8), (0, 0))] * 2, "raw_scale010")
    (dim / "DJI_0001.tif").unlink()
    refused(tmp_path, f"{dim}: no frame DJI_0001, but another intensity", MissingDataError)


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    place = small(tmp_path, [car((8, 8), (0, 0))] * 2)
    mask = write_mask(tmp_path / "drone/masks_full/mask_DJI_0001_v2.png", car((8, 10), (0, 0)))
    words = f"{mask}: 8 x 10 pixels, but {place / 'DJI_0001.tif'} has 8 x 8 pixels"
    refused(tmp_path, words)


def test_tiles_larger_than_the_frame(tmp_path: Path) -> None:
    small(tmp_path, [car((8, 12), (0, 0))])
    refused(tmp_path, "_v2.png: 8 x 12 pixels hold no tile of 10: choose a smaller", size=10)


def test_masks_that_show_nothing(tmp_path: Path) -> None:
    small(tmp_path, [car((8, 8))] * 2)
    refused(tmp_path, f"{tmp_path / 'drone/masks_full'}: no tile to keep: all masks are zero")


@pytest.mark.parametrize(
    "name", ["images_full/raw_scale100/DJI_0001.tif", "masks_full/mask_DJI_0001_v2.png"]
)
def test_broken_files(tmp_path: Path, name: str) -> None:
    small(tmp_path, [car((8, 8), (0, 0))] * 2)
    path = tmp_path / "drone" / name
    path.write_bytes(path.read_bytes()[:40])
    refused(tmp_path, f"{path}: broken ")


def test_frames_of_another_camera(tmp_path: Path) -> None:
    (tmp_path / "drone/images_full/raw_scale100").mkdir(parents=True)
    camera = dataclasses.replace(MODEL, cfa="GBRG")
    path = tmp_path / "drone/images_full/raw_scale100/DJI_0001.DNG"
    write_dng(path, torch.full((24, 24), 0.5), camera)
    write_mask(tmp_path / "drone/masks_full/DJI_0001.png", car((24, 24), (0, 0)))
    refused(tmp_path, f"{path}: its metadata says GBRG, camera 'drone' says RGGB", size=8)


def test_more_frames_than_the_names_can_number(tmp_path: Path) -> None:
    small(tmp_path, [car((4, 4), (0, 0))] * 101)
    refused(tmp_path, "101 frames, but the published names number 100: tile them as frames of your")


# ---- frames of one's own


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Three DNGs of one camera that differ in white balance and black level, and masks."""
    generator = torch.Generator().manual_seed(0)
    for number, name in enumerate(("1", "10", "b")):
        camera = dataclasses.replace(
            MODEL,
            white_balance=(2.0 - 0.3 * number, 1.0, 1.5 + 0.2 * number),
            black_level=(0.06 + 0.01 * number,) * 4,
        )
        mosaic = camera.black_level[0] + 0.8 * torch.rand(32, 48, generator=generator)
        numbers = (mosaic * 16383).round()  # 14 bits
        write_dng(tmp_path / f"own/raws/{name}.dng", numbers / 16383, camera)
        mask = car((32, 48), (number, 0), (0, 8), (31, 47), (number, 1))
        write_mask(tmp_path / f"own/masks/{'x' * (number < 2)}{name}.png", mask)
    return tmp_path / "own"


def test_own_frames_for_segmentation(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert tile_folder(own / "raws", own / "masks", out, size=8, workers=1) == out
    dataset = open_dataset(f"folder:{out}")
    assert isinstance(dataset, RawFolder)
    assert dataset.task == "segmentation"
    assert [file.name for file in dataset.files] == [
        f"{stem}_{place}.tif"
        for stem in ("1", "10", "b")
        for place in ("00000_00000", "00000_00008", "00024_00040")
    ]
    assert dataset.groups == ["1"] * 3 + ["10"] * 3 + ["b"] * 3
    # The same as if the whole frames had been read as a data set.
    (own / "raws").rename(own / "images")
    for path in (own / "masks").glob("x*"):
        path.rename(path.with_name(path.name[1:]))
    whole = RawFolder(own)
    assert dataclasses.replace(dataset.camera, name=whole.camera.name) == whole.camera
    assert dataset.camera.white_balance == pytest.approx((2.0, 1.0, 1.9), abs=1e-4)
    for index, file in enumerate(dataset.files):
        row, column = map(int, file.stem.split("_")[1:])
        mosaic, mask = whole[index // 3]
        cut = np.s_[row : row + 8, column : column + 8]
        torch.testing.assert_close(dataset.mosaic(index), mosaic[cut], atol=0.51 / 65535, rtol=0)
        assert torch.equal(dataset.target(index), mask[cut])


def test_own_frames_for_classification(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tile_folder(own / "raws", own / "masks", out, task="classification", size=8, workers=1)
    dataset = open_dataset(f"folder:{out}")
    assert dataset.task == "classification"
    # Each of the three windows with a mark covers more than .01 of 64 pixels.
    assert dataset.class_counts() == {"background": 9, "foreground": 9}
    assert dataset.groups == ["1"] * 6 + ["10"] * 6 + ["b"] * 6
    assert {path.name for path in out.iterdir()} == {
        *("camera.yaml", "images", "tiles.csv", "tiles.json")
    }


def test_values_stay_fractions_of_full_scale(own: Path, tmp_path: Path) -> None:
    for name in ("10", "b"):
        (own / f"raws/{name}.dng").unlink()
    for name in ("x10", "b"):
        (own / f"masks/{name}.png").unlink()
    tile_folder(own / "raws", own / "masks", tmp_path / "out", size=16, workers=1)
    numbers = tifffile.imread(own / "raws/1.dng").astype(float)  # of 14 bits
    tile = tifffile.imread(tmp_path / "out/images/1_00000_00000.tif")
    np.testing.assert_array_equal(tile, np.round(numbers[:16, :16] / 16383 * 65535))


def test_one_camera_for_all(own: Path, tmp_path: Path) -> None:
    made = tile_folder(
        own / "raws", own / "masks", tmp_path / "out", camera="drone", size=8, workers=1
    )
    dataset = RawFolder(made)
    assert dataset.camera == Camera.preset("drone")
    whole = read_raw(own / "raws/1.dng").mosaic
    torch.testing.assert_close(dataset.mosaic(0), whole[:8, :8], atol=0.51 / 65535, rtol=0)
    MODEL.to_yaml(own / "raws/camera.yaml")
    beside = tile_folder(own / "raws", own / "masks", tmp_path / "beside", size=8, workers=1)
    assert RawFolder(beside).camera == MODEL
    wrong = dataclasses.replace(MODEL, cfa="GBRG")
    for path in (tmp_path / "new", tmp_path / "out"):
        message = message_of(
            lambda path=path: tile_folder(
                own / "raws", own / "masks", path, camera=wrong, size=8, workers=1
            )
        )
        words = "another camera" if path.exists() else "says RGGB, camera 'model' says GBRG"
        assert words in message


def test_frames_that_do_not_tell_their_camera(own: Path, tmp_path: Path) -> None:
    for path in sorted((own / "raws").glob("*.dng"))[1:]:
        tifffile.imwrite(path.with_suffix(".tif"), tifffile.imread(path))
        path.unlink()
    out = tmp_path / "out"

    def tile(out: Path) -> Path:
        return tile_folder(own / "raws", own / "masks", out, size=8, workers=1)

    message = message_of(lambda: tile(out))
    assert message.startswith(f"{own / 'raws/10.tif'}: does not tell its camera, but 1.dng does")
    assert not out.exists()
    (own / "raws/1.dng").unlink()
    (own / "masks/x1.png").unlink()
    dataset = RawFolder(tile(out), camera="drone")
    assert len(dataset) == 6
    assert not (out / "camera.yaml").exists()


def test_odd_frames_lose_their_last_row(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (17, 9), np.uint16)
    (tmp_path / "raws").mkdir()
    tifffile.imwrite(tmp_path / "raws/a.tif", values)
    write_mask(tmp_path / "masks/a.png", np.full((17, 9), 3, np.uint8))
    out = tile_folder(tmp_path / "raws", tmp_path / "masks", tmp_path / "out", size=8, workers=1)
    assert sorted(path.stem for path in (out / "images").iterdir()) == [
        *("a_00000_00000", "a_00008_00000")
    ]


def test_own_tiles_again(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def tile(**options: Any) -> Path:  # noqa: ANN401
        return tile_folder(own / "raws", own / "masks", out, **{"size": 8, "workers": 1, **options})

    tile()
    whole = files(out)
    for name in ("images/10_00000_00008.tif", "masks/b_00024_00040.png", "tiles.csv"):
        (out / name).unlink()
    tile()
    assert files(out) == whole
    (out / "camera.yaml").unlink()
    tile()
    assert files(out) == whole
    assert "cut with another task segmentation" in message_of(lambda: tile(task="classification"))
    # Other exposures of the same scene have the same masks and names.
    bright = own / "bright"
    shutil.copytree(own / "raws", bright)
    write_dng(bright / "b.dng", torch.full((32, 48), 0.5), MODEL)
    message = message_of(lambda: tile_folder(bright, own / "masks", out, size=8, workers=1))
    assert "cut from other files (raw_scale100/b.dng" in message
    assert files(out) == whole
    message = message_of(lambda: tile_folder(own / "raws", own / "masks", own, workers=1))
    assert message.startswith(f"{own / 'bright'}: not made by")


def test_masks_of_several_classes(own: Path, tmp_path: Path) -> None:
    mask = write_mask(own / "masks/b.png", np.arange(32 * 48, dtype=np.uint8).reshape(32, 48) % 4)
    message = message_of(
        lambda: tile_folder(own / "raws", own / "masks", tmp_path / "out", size=8, workers=1)
    )
    assert message.startswith(f"{mask}: holds 3 values beside 0")


def test_nothing_to_balance(own: Path, tmp_path: Path) -> None:
    for path in (own / "masks").iterdir():
        write_mask(path, np.ones((32, 48), np.uint8))
    message = message_of(
        lambda: tile_folder(
            own / "raws", own / "masks", tmp_path / "out", task="classification", size=8, workers=1
        )
    )
    assert message.startswith(f"{own / 'masks'}: no tile to keep: no frame has both")
    assert not (tmp_path / "out").exists()


def test_folders_without_frames_or_with_more(own: Path, tmp_path: Path) -> None:
    def tile(frames: Path) -> Path:
        return tile_folder(frames, own / "masks", tmp_path / "out", size=8, workers=1)

    assert "no such folder" in message_of(lambda: tile(own / "nix"), MissingDataError)
    (own / "empty").mkdir()
    assert "nothing to tile" in message_of(lambda: tile(own / "empty"))
    (own / "raws/.b.tif").write_text("hidden")
    (own / "raws/b.jpg").write_text("a preview")
    with pytest.warns(UserWarning, match=r"raws: left out, of another kind: b\.jpg$"):
        tile(own / "raws")
    (own / "raws/b.tif").write_text("twice")
    assert "b.dng has the same stem" in message_of(lambda: tile(own / "raws"))


# ---- the command


def test_the_command(
    root: Path, frames: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--size", str(SIZE), "--workers", "1"]
    assert main(["data", "tile", str(frames), *size]) == 0
    assert capsys.readouterr().out == f"{frames / 'drone'}\n"
    assert len(RawDrone(frames)) > DRONE_COUNT
    places = ["--frames", str(own / "raws"), "--masks", str(own / "masks")]
    out = ["--out", str(own / "out")]
    assert main(["data", "tile", *places, *out, "--size", "8", "--workers", "1"]) == 0
    assert capsys.readouterr().out == f"{own / 'out'}\n"
    assert len(RawFolder(own / "out")) == 9
    for words, message in (
        ([str(root), *size], "not made by `raw2logit data tile`"),
        ([str(root), *places], "--frames is for frames of your own: give either a root"),
        (["--root", str(root), "--camera", "drone"], "--camera is for frames of your own"),
        (places, "--out missing: give either a root"),
        (["--size", "33"], "--size must be even"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
    ):
        assert main(["data", "tile", *words]) == 2
        error = capsys.readouterr().err.strip()
        assert message in error
        assert "\n" not in error


@pytest.mark.parametrize(
    ("text", "stem", "held"),
    [
        ("img1", "img1", True),
        ("img10", "img1", False),
        ("aimg1", "img1", False),
        ("mask_img1_car", "img1", True),
        ("img1-mask", "img1", True),
        ("DJI_0001", "1", False),
        ("frame_1", "1", True),
        ("x1", "1", True),
        ("img1car", "img1", True),
        ("carimg1", "img1", False),
        ("a-b", "a-", True),
        ("img1.v2", "img1", True),
    ],
)
def test_a_name_holds_a_stem_as_a_whole(text: str, stem: str, held: bool) -> None:
    assert holds_stem(text, stem) is held
