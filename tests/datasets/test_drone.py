import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from raw2logit import Camera, InputError, MissingDataError, RawDrone
from raw2logit.datasets import DATASETS, open_dataset
from raw2logit.datasets.drone import read_mask

from .layout import DRONE_COUNT, SIZE, write_image, write_mask

TABLE = "drone/classification/dataset_tiles_256_72_0.01.csv"


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Hand-made segmentation tiles of two frames."""
    rng = np.random.default_rng(0)
    for name in ("03_00000", "03_00001", "11_00000"):
        write_image(tmp_path / f"drone/images_tiles_256/raw_scale100/{name}.tif")
        write_mask(tmp_path / f"drone/masks_tiles_256/{name}.png", rng.random((4, 4)) > 0.5)
    return tmp_path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A hand-made classification table of two frames with its tiles."""
    path = tmp_path / TABLE
    names = ("00_00000", "00_00001", "07_00000")
    folder = tmp_path / "drone/classification/images_tiles_256/raw_scale100_thr_0.01"
    for name in names:
        write_image(folder / f"{name}.tif")
    path.write_text(",file name,label\n0,00_00000,0\n1,00_00001,1\n2,07_00000,0\n")
    return path


def frame_of(tile: str) -> str:
    """Return the frame of a generated tile."""
    return f"DJI_{int(tile[:2]) + 1:04d}"


def test_generated_segmentation(root: Path) -> None:
    dataset = RawDrone(root)
    assert len(dataset) == len(dataset.files) == len(dataset.groups) == DRONE_COUNT
    assert dataset.name == "drone"
    assert dataset.task == "segmentation"
    assert dataset.classes == ("car",)
    assert dataset.labels == [0] * DRONE_COUNT
    assert dataset.camera == Camera.preset("drone")
    assert dataset.files == sorted((root / "drone/images_tiles_256/raw_scale100").glob("*.tif"))
    assert dataset.groups == [frame_of(file.stem) for file in dataset.files]
    assert len(set(dataset.groups)) > 1
    for index, file in enumerate(dataset.files):
        mosaic, mask = dataset[index]
        assert mosaic.shape == mask.shape == (SIZE, SIZE)
        assert mosaic.dtype == mask.dtype == torch.float32
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        # Every tile shows part of a car.
        assert mask.any()
        assert dataset.target_files()[index] == root / f"drone/masks_tiles_256/{file.stem}.png"


def test_generated_classification(root: Path) -> None:
    dataset = RawDrone(root, task="classification")
    with (root / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(dataset) == len(rows) > 0
    assert dataset.name == "drone-classification"
    assert dataset.task == "classification"
    assert dataset.classes == ("car", "no car")
    assert dataset.camera == Camera.preset("drone")
    folder = root / "drone/classification/images_tiles_256/raw_scale100_thr_0.01"
    for index, row in enumerate(rows):
        assert dataset.files[index] == folder / f"{row['file name']}.tif"
        assert dataset.groups[index] == frame_of(row["file name"])
        mosaic, target = dataset[index]
        assert mosaic.shape == (SIZE, SIZE)
        assert target.dtype == torch.int64
        assert target == int(row["label"])
    assert dataset.target_files() == []
    mosaics, targets = dataset.load()
    assert mosaics.shape == (len(rows), SIZE, SIZE)
    assert targets.tolist() == dataset.labels


def test_load_stacks_masks(root: Path) -> None:
    mosaics, masks = RawDrone(root, intensity=0.1).load()
    assert mosaics.shape == masks.shape == (DRONE_COUNT, SIZE, SIZE)
    assert torch.equal(masks, RawDrone(root).load()[1])


@pytest.mark.parametrize("name", DATASETS)
def test_opening_by_name(root: Path, name: str) -> None:
    dataset = open_dataset(name, root)
    assert dataset.name == name
    dim = open_dataset(name, str(root), intensity=0.1)
    assert dim.labels == dataset.labels
    assert dim.load()[0].mean() < dataset.load()[0].mean()


def test_unknown_names(root: Path) -> None:
    with pytest.raises(InputError, match="'cars': known are microscopy drone drone-classif"):
        open_dataset("cars", root)
    with pytest.raises(InputError, match="'detection' for drone"):
        RawDrone(root, task="detection")  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["segmentation", "classification"])
def test_missing_sets_and_intensities(root: Path, tmp_path: Path, task: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        RawDrone(tmp_path, task=task)
    assert f"`raw2logit data generate drone --root {tmp_path}`" in str(caught.value)
    assert "10.5281/zenodo.5235536" in str(caught.value)
    with pytest.raises(MissingDataError, match="raw_scale075"):
        RawDrone(root, task=task, intensity=0.75)
    with pytest.raises(InputError, match=r"intensity 0\.3 is none of"):
        RawDrone(root, task=task, intensity=0.3)


def test_a_folder_without_tiles(tmp_path: Path) -> None:
    folder = tmp_path / "drone/images_tiles_256/raw_scale100"
    folder.mkdir(parents=True)
    with pytest.raises(MissingDataError, match="names no image"):
        RawDrone(tmp_path)


def test_a_missing_mask(tiles: Path) -> None:
    mask = tiles / "drone/masks_tiles_256/03_00001.png"
    mask.unlink()
    with pytest.raises(MissingDataError) as caught:
        RawDrone(tiles)
    assert str(caught.value).startswith(f"{mask}: no such file")


def test_a_mask_that_goes_missing_later(tiles: Path) -> None:
    dataset = RawDrone(tiles)
    dataset.target_files()[1].unlink()
    with pytest.raises(MissingDataError, match="03_00001"):
        dataset[1]


@pytest.mark.parametrize("keep", [0, 8, 30, 45])
def test_a_broken_mask(tiles: Path, keep: int) -> None:
    mask = tiles / "drone/masks_tiles_256/03_00001.png"
    mask.write_bytes(mask.read_bytes()[:keep])
    with pytest.raises(InputError) as caught:
        RawDrone(tiles).load()
    assert str(caught.value).startswith(f"{mask}: broken mask")
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size(tiles: Path) -> None:
    mask = write_mask(tiles / "drone/masks_tiles_256/03_00001.png", np.ones((6, 4), bool))
    with pytest.raises(InputError) as caught:
        RawDrone(tiles).load()
    assert str(caught.value).startswith(f"{mask}: (6, 4) pixels, but its image has (4, 4)")


def test_masks_are_zero_or_not(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 128, 255]], np.uint8)
    assert read_mask(write_mask(tmp_path / "a.png", mask)).tolist() == [[0, 1, 1, 1]]
    assert read_mask(write_mask(tmp_path / "b.png", mask > 1)).tolist() == [[0, 0, 1, 1]]


def test_what_a_killed_writer_left_is_no_tile(tiles: Path) -> None:
    folder = tiles / "drone/images_tiles_256/raw_scale100"
    (folder / ".03_00002.raw2logit-0a1b2c3d.tif").write_bytes(b"half")
    assert len(RawDrone(tiles)) == 3


def test_groups_are_frames(tiles: Path, table: Path) -> None:
    assert RawDrone(tiles).groups == ["03", "03", "11"]
    assert RawDrone(tiles, task="classification").groups == ["00", "00", "07"]
    assert RawDrone(tiles, task="classification").labels == [0, 1, 0]
    assert RawDrone(tiles, task="classification").class_counts() == {"car": 2, "no car": 1}
    assert table.is_file()


ROWS = (
    "set,tile,frame,row,column,mask_share,label\n"
    "segmentation,03_00000,left,0,0,0.5,\nsegmentation,03_00001,right,0,4,0.5,\n"
    "classification,03_00000,no,0,0,0.5,car\nsegmentation,11_00000,left,4,0,0.5,\n"
)


def test_groups_from_the_table_of_tiles(tiles: Path, table: Path) -> None:
    places = tiles / "drone/tiles.csv"
    places.write_text(ROWS)
    assert RawDrone(tiles).groups == ["left", "right", "left"]
    with pytest.raises(InputError) as caught:
        RawDrone(tiles, task="classification")
    first = "classification/images_tiles_256/raw_scale100_thr_0.01/00_00000.tif"
    assert str(caught.value).startswith(f"{tiles / 'drone' / first}: {places} does not name it")
    assert table.is_file()


def test_a_tile_that_only_the_table_names(tiles: Path) -> None:
    (tiles / "drone/tiles.csv").write_text(ROWS)
    (tiles / "drone/masks_tiles_256/03_00001.png").unlink()
    (tiles / "drone/images_tiles_256/raw_scale100/03_00001.tif").unlink()
    with pytest.raises(MissingDataError, match=r"03_00001\.tif: no such file, but .*tiles\.csv"):
        RawDrone(tiles)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ": no table"),
        ("a,b\n", ": needs the columns set,tile,frame,row,column,mask_share,label"),
        (ROWS.replace(",0,4,", ",0,four,"), ":3: broken line"),
        (ROWS.replace(",0,4,", ",0,"), ":3: broken line"),
        (ROWS.replace("segmentation,11", "detection,11"), ":5: broken line"),
        (ROWS + '"x', ": no table"),
    ],
)
def test_a_broken_table_of_tiles(tiles: Path, content: str, words: str) -> None:
    table = tiles / "drone/tiles.csv"
    table.write_text(content)
    with pytest.raises(InputError) as caught:
        RawDrone(tiles)
    assert str(caught.value).startswith(f"{table}{words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label", ["2", "-1", "car", "", "0.0"])
def test_unknown_labels_in_the_table(table: Path, label: str) -> None:
    table.write_text(f",file name,label\n0,00_00000,0\n1,00_00001,{label}\n")
    with pytest.raises(InputError) as caught:
        RawDrone(table.parents[2], task="classification")
    assert str(caught.value).startswith(f"{table}:3: unknown class {label!r}")


def test_a_short_row_in_the_table(table: Path) -> None:
    table.write_text(",file name,label\n0,00_00000\n")
    with pytest.raises(InputError, match=r"\.csv:2: unknown class None"):
        RawDrone(table.parents[2], task="classification")


@pytest.mark.parametrize("content", [b"", b",name,label\n0,a,1\n", b"file name\na\n"])
def test_a_table_without_the_columns(table: Path, content: bytes) -> None:
    table.write_bytes(content)
    with pytest.raises(InputError, match="needs the columns 'file name' and 'label'"):
        RawDrone(table.parents[2], task="classification")


def test_a_table_that_is_no_text(table: Path) -> None:
    table.write_bytes(b",file name,label\n0,\xff\xfe,1\n")
    with pytest.raises(InputError) as caught:
        RawDrone(table.parents[2], task="classification")
    assert str(caught.value).startswith(f"{table}: no table")


def test_a_table_without_rows_or_tiles(table: Path) -> None:
    root = table.parents[2]
    table.write_text(",file name,label\n0,00_00000,0\n1,00_00009,1\n")
    with pytest.raises(MissingDataError, match=r"00_00009\.tif"):
        RawDrone(root, task="classification")
    table.write_text(",file name,label\n")
    with pytest.raises(MissingDataError, match="names no image"):
        RawDrone(root, task="classification")
    table.unlink()
    with pytest.raises(MissingDataError, match="dataset_tiles_256_72"):
        RawDrone(root, task="classification")


def test_the_fingerprint_follows_the_masks(tiles: Path, tmp_path: Path) -> None:
    first = RawDrone(tiles).fingerprint()
    copy = tmp_path / "copy"
    shutil.copytree(tiles / "drone", copy / "drone")
    assert RawDrone(copy).fingerprint() == first
    mask = RawDrone(copy).target_files()[2]
    write_mask(mask, 1 - read_mask(mask).numpy().astype(np.uint8))
    assert RawDrone(copy).fingerprint() != first


def test_an_interrupted_generation_is_no_data_set(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (copy / TABLE).unlink()
    with pytest.raises(MissingDataError, match=r"incomplete. Complete it with .*--count"):
        RawDrone(copy)
    # Data that was not generated may come without the classification part.
    (copy / "drone/generated.json").unlink()
    assert len(RawDrone(copy)) == DRONE_COUNT


def test_a_mask_without_its_tile(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    last = RawDrone(copy).files[-1]
    last.unlink()
    with pytest.raises(MissingDataError, match=f"{last.name}: no such file, but .*masks"):
        RawDrone(copy)
