import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from raw2logit import Camera, InputError, RawDrone, RawMicroscopy, read_raw
from raw2logit.datasets.base import is_generated
from raw2logit.datasets.microscopy import CLASS_COUNTS
from raw2logit.datasets.synthetic import generate
from raw2logit.datasets.synthetic.generate import (
    generate_drone,
    generate_microscopy,
)

from .layout import COUNT, DRONE_COUNT, FOLDERS, INTENSITIES, SIZE, files, stem, write_microscopy

Options = dict[str, Any]
MICROSCOPY: Options = {"count": COUNT, "size": SIZE, "intensities": INTENSITIES}
DRONE: Options = {**MICROSCOPY, "count": DRONE_COUNT, "frames": True}


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A copy of the generated data that a test may change."""
    return Path(shutil.copytree(root, tmp_path / "copy"))


# ---- layout


def test_the_layout_of_microscopy(root: Path) -> None:
    names = {f"images/{folder}/{stem(n)}.tiff" for folder in FOLDERS for n in range(COUNT)}
    found = set(files(root / "microscopy"))
    assert found == names | {"labels/Ma190c_annotations.dat", "generated.json"}


def test_the_layout_of_drone(root: Path) -> None:
    found = Counter(name.rsplit("/", 1)[0] for name in files(root / "drone"))
    rows = len(table(root))
    frames = len({name for name in files(root / "drone") if name.startswith("masks_full/")})
    assert found == {
        "generated.json": 1,
        "tiles.csv": 1,
        "classification": 1,
        "classification/masks_tiles_256_thr_0.01": rows,
        **{f"classification/images_tiles_256/{name}_thr_0.01": rows for name in FOLDERS},
        "masks_tiles_256": DRONE_COUNT,
        **{f"images_tiles_256/{name}": DRONE_COUNT for name in FOLDERS},
        "masks_full": frames,
        **{f"images_full/{name}": frames for name in FOLDERS},
    }
    assert frames > 1
    drone = root / "drone"
    expected = [f"DJI_{number + 1:04d}" for number in range(frames)]
    assert sorted(path.name for path in (drone / "masks_full").iterdir()) == [
        f"{name}.png" for name in expected
    ]
    assert sorted(path.name for path in (drone / "images_full/raw_scale100").iterdir()) == [
        f"{name}.DNG" for name in expected
    ]
    for number in range(frames):
        tiles = sorted((drone / "images_tiles_256/raw_scale100").glob(f"{number:02d}_*"))
        assert [path.name for path in tiles] == [
            f"{number:02d}_{tile:05d}.tif" for tile in range(len(tiles))
        ]


def table(root: Path) -> list[dict[str, str]]:
    path = root / "drone/classification/dataset_tiles_256_72_0.01.csv"
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rows(root: Path) -> list[str]:
    return (root / "drone/tiles.csv").read_text().splitlines()[1:]


def test_everything_opens_elsewhere(root: Path) -> None:
    for name in files(root):
        path = root / name
        if path.suffix in (".tif", ".tiff"):
            values = tifffile.imread(path)
            assert values.dtype == np.uint16
            assert values.shape == (SIZE, SIZE)
            with Image.open(path) as image:
                assert image.mode == "I;16"
                np.testing.assert_array_equal(np.asarray(image), values)
        elif path.suffix == ".png":
            with Image.open(path) as image:
                assert image.mode == "1"
                large = path.parent.name == "masks_full"
                assert image.size == ((6 * SIZE, 4 * SIZE) if large else (SIZE, SIZE))
        elif path.suffix == ".DNG":
            assert tifffile.imread(path).dtype == np.uint16


def test_drone_tiles_hold_12_bits(root: Path) -> None:
    numbers = np.stack([tifffile.imread(path) for path in RawDrone(root).files])
    assert not (numbers % 16).any()
    assert numbers.max() <= 65520
    assert len(np.unique(numbers)) > 300


# ---- the same bytes


def test_two_workers_write_the_same_microscopy(root: Path, tmp_path: Path) -> None:
    generate_microscopy(tmp_path, **MICROSCOPY, workers=2)
    assert files(tmp_path / "microscopy") == files(root / "microscopy")


def test_two_workers_write_the_same_drone(root: Path, tmp_path: Path) -> None:
    generate_drone(tmp_path, **DRONE, workers=2)
    assert files(tmp_path / "drone") == files(root / "drone")


def test_resuming_microscopy(root: Path, copy: Path) -> None:
    folder = copy / "microscopy"
    kept, *lost = sorted(folder.rglob("*.tiff"))[::5]
    (folder / "labels/Ma190c_annotations.dat").unlink()
    for path in lost:
        path.unlink()
    before = kept.stat().st_mtime_ns
    told: list[tuple[str, int, int]] = []
    generate_microscopy(copy, **MICROSCOPY, workers=1, progress=lambda *event: told.append(event))
    assert files(folder) == files(root / "microscopy")
    # What is there is not made again.
    assert kept.stat().st_mtime_ns == before
    assert len(told) == len(lost)
    assert [told[-1][1:], {total for _, _, total in told}] == [(COUNT, COUNT), {COUNT}]


def test_resuming_drone(root: Path, copy: Path) -> None:
    for path in [path for path in sorted((copy / "drone").rglob("*.*")) if path.is_file()][::7]:
        if path.name != "generated.json":
            path.unlink()
    generate_drone(copy, **DRONE, workers=1)
    assert files(copy / "drone") == files(root / "drone")


def test_whole_frames_are_not_shot_again(
    root: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shot: list[int] = []
    shoot = generate._shoot_frame

    def count(number: int, **options: Any) -> Any:  # noqa: ANN401
        shot.append(number)
        return shoot(number, **options)

    monkeypatch.setattr(generate, "_shoot_frame", count)
    generate_drone(copy, **DRONE, workers=1)
    assert shot == []
    folder = copy / "drone"
    for name in (
        *("images_full/raw_scale010/DJI_0002.DNG", "masks_full/DJI_0003.png"),
        "classification/images_tiles_256/raw_scale010_thr_0.01/00_00001.tif",
    ):
        (folder / name).unlink()
    generate_drone(copy, **{**DRONE, "frames": False}, workers=1)
    assert shot == [0]
    generate_drone(copy, **DRONE, workers=1)
    assert shot == [0, 1, 2]
    assert files(folder) == files(root / "drone")


def test_tiles_of_another_hand_are_never_touched(copy: Path) -> None:
    (copy / "drone/tiles.json").write_text("{}")
    before = files(copy)
    with pytest.raises(InputError, match="were cut by `raw2logit data tile`"):
        generate_drone(copy, **DRONE, workers=1)
    assert files(copy) == before


@pytest.mark.parametrize("make", [generate_microscopy, generate_drone])
def test_a_killed_call_is_told_from_a_whole_one(
    tmp_path: Path, root: Path, make: Callable[..., Path]
) -> None:
    options = {**(MICROSCOPY if make is generate_microscopy else DRONE), "workers": 1}

    def stop(task: str, done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, **options, progress=stop)
    half = files(tmp_path)
    # What comes last is not there; the table of tiles grows with the frames.
    assert not any(name.endswith((".dat", "0.01.csv")) for name in half)
    begun = half.pop("drone/tiles.csv", b"")
    folder = make(tmp_path, **options)
    whole = files(root / folder.name)
    assert files(folder) == whole
    assert len(half) < len(whole)
    assert whole.get("tiles.csv", b"").startswith(begun)
    # No file is ever half there.
    assert all(whole[name.split("/", 1)[1]] == content for name, content in half.items())


def test_seeds_differ(root: Path, tmp_path: Path) -> None:
    options: Options = {"size": SIZE, "seed": 1, "workers": 1}
    generate_microscopy(tmp_path, count=8, **options)
    generate_drone(tmp_path, count=4, **options)
    for one, two in ((RawMicroscopy, 8), (RawDrone, 4)):
        mine, other = one(tmp_path).load()[0], one(root).load()[0][:two]
        assert mine.shape == other.shape
        assert ((mine - other).abs().mean((1, 2)) > 0.01).all()


def test_images_of_one_set_differ(root: Path) -> None:
    for dataset in (RawMicroscopy(root), RawDrone(root)):
        contents = [file.read_bytes() for file in dataset.files]
        assert len(set(contents)) == len(contents)


def test_the_global_random_numbers_stay(tmp_path: Path) -> None:
    import random

    import torch

    torch_state, python_state = torch.get_rng_state(), random.getstate()
    generate_drone(tmp_path, count=1, size=SIZE, workers=1)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert python_state == random.getstate()


# ---- intensities


@pytest.mark.parametrize("dataset", [RawMicroscopy, RawDrone])
def test_intensities_show_the_same_scene(
    root: Path, dataset: type[RawMicroscopy | RawDrone]
) -> None:
    full, dim = dataset(root), dataset(root, intensity=0.1)
    black = np.mean(full.camera.black_level)
    bright, dark = full.load()[0].numpy() - black, dim.load()[0].numpy() - black
    assert dark.mean() == pytest.approx(0.1 * bright.mean(), rel=0.02)
    # Among the green sites of one colour, every dim image is most like its own bright one.
    greens = [part[:, ::2, 1::2].reshape(len(part), -1) for part in (bright, dark)]
    likeness = np.corrcoef(*greens)[len(bright) :, : len(bright)]
    assert likeness.argmax(1).tolist() == list(range(len(bright)))


def test_another_intensity_joins_later(root: Path, tmp_path: Path) -> None:
    options: Options = {"size": SIZE, "workers": 1}

    def stop(task: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    for intensity in (0.1, 1.0):
        generate_microscopy(tmp_path, count=COUNT, intensities=(intensity,), **options)
        generate_drone(
            tmp_path, count=DRONE_COUNT, intensities=(intensity,), frames=True, **options
        )
        with pytest.raises(KeyboardInterrupt):
            generate_drone(
                tmp_path, count=DRONE_COUNT, intensities=(0.5,), progress=stop, **options
            )
        # The intensities that are there are whole.
        assert len(RawDrone(tmp_path, intensity=intensity)) == DRONE_COUNT
    for path in sorted(tmp_path.rglob("raw_scale050*")):
        shutil.rmtree(path)
    assert files(tmp_path) == files(root)


# ---- the plan of classes


@pytest.mark.parametrize("seed", [0, 1, 72])
def test_940_cells_have_exactly_the_published_classes(seed: int) -> None:
    cells = generate._plan_cells(940, seed)
    assert Counter(cell.code for cell in cells) == CLASS_COUNTS
    assert len({cell.stem for cell in cells}) == 940
    assert [cell.number for cell in cells] == list(range(940))
    assert [cell.stem for cell in cells] == [stem(number) for number in range(940)]


@given(count=st.integers(1, 3000), seed=st.integers(0, 100))
def test_any_count_keeps_the_published_shares(count: int, seed: int) -> None:
    counts = Counter(cell.code for cell in generate._plan_cells(count, seed))
    assert counts.total() == count
    excess = [counts[code] - count * share / 940 for code, share in CLASS_COUNTS.items()]
    assert max(map(abs, excess)) < 1
    # The largest remainders are rounded up: no exchange of one image would be nearer.
    assert max(excess) - min(excess) <= 1 + 1e-9


def test_zones_hold_mixed_classes() -> None:
    cells = generate._plan_cells(940, 0)
    zones = Counter(cell.zone for cell in cells)
    assert set(zones.values()) == {8, 4}
    classes = [len({cell.code for cell in cells if cell.zone == zone}) for zone in zones]
    assert np.mean(classes) > 3
    assert [cell.code for cell in cells] != [cell.code for cell in generate._plan_cells(940, 1)]


def test_the_label_file_follows_the_plan(root: Path) -> None:
    lines = (root / "microscopy/labels/Ma190c_annotations.dat").read_text()
    plan = generate._plan_cells(COUNT, 0)
    assert lines == "".join(f"{cell.stem} {cell.code}\n" for cell in plan)


# ---- drone: masks, frames, table


def frames_of(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return mosaic and mask of each full frame by its two digits."""
    drone = root / "drone"
    found = {}
    for number, path in enumerate(sorted((drone / "images_full/raw_scale100").iterdir())):
        with Image.open(drone / f"masks_full/{path.stem}.png") as image:
            found[f"{number:02d}"] = (tifffile.imread(path), np.asarray(image))
    return found


def crops(array: np.ndarray) -> list[np.ndarray]:
    """Cut a frame into tiles, row by row."""
    rows, columns = array.shape[0] // SIZE, array.shape[1] // SIZE
    return [
        array[row * SIZE : (row + 1) * SIZE, column * SIZE : (column + 1) * SIZE]
        for row in range(rows)
        for column in range(columns)
    ]


def test_frames_are_dng(root: Path) -> None:
    for path in sorted((root / "drone/images_full").rglob("*.DNG")):
        image = read_raw(path)
        assert image.mosaic.shape == (4 * SIZE, 6 * SIZE)
        assert image.camera is not None
        assert image.camera.cfa == "RGGB"
        np.testing.assert_allclose(
            image.camera.black_level, Camera.preset("drone").black_level, atol=1e-5
        )
        np.testing.assert_allclose(
            image.camera.colour_matrix, Camera.preset("drone").colour_matrix, atol=1e-5
        )


def test_tiles_are_the_crops_that_show_a_car(root: Path) -> None:
    dataset = RawDrone(root)
    frames = frames_of(root)
    for name, (mosaic, mask) in frames.items():
        expected = [
            (tile, shown)
            for tile, shown in zip(crops(mosaic), crops(mask), strict=True)
            if shown.any()
        ]
        indices = [
            index for index, file in enumerate(dataset.files) if file.name.startswith(f"{name}_")
        ]
        if name != max(frames):  # the last frame gives what is still missing
            assert len(indices) == len(expected)
        for index, (tile, shown) in zip(indices, expected, strict=False):
            np.testing.assert_array_equal(tifffile.imread(dataset.files[index]), tile)
            np.testing.assert_array_equal(dataset.target(index).numpy().astype(bool), shown)


def test_the_dim_frame_has_the_same_crops(root: Path) -> None:
    dim = tifffile.imread(root / "drone/images_full/raw_scale010/DJI_0001.DNG")
    tiles = [file for file in RawDrone(root, intensity=0.1).files if file.name.startswith("00_")]
    cut = [tile.tobytes() for tile in crops(dim)]
    places = [cut.index(tifffile.imread(file).tobytes()) for file in tiles]
    assert places == sorted(set(places))


def test_the_table_is_balanced_and_true(root: Path) -> None:
    rows = table(root)
    assert [row[""] for row in rows] == [str(number) for number in range(len(rows))]
    assert len({row["file name"] for row in rows}) == len(rows)
    folder = root / "drone/classification"
    frames = frames_of(root)
    for name, (mosaic, mask) in frames.items():
        mine = [row for row in rows if row["file name"].startswith(f"{name}_")]
        shares = [float(shown.mean()) for shown in crops(mask)]
        cars, empty = sum(share > 0.01 for share in shares), shares.count(0.0)
        assert Counter(row["label"] for row in mine) == Counter(
            {label: min(cars, empty) for label in "01" if min(cars, empty)}
        )
        cut = {
            tile.tobytes(): shown for tile, shown in zip(crops(mosaic), crops(mask), strict=True)
        }
        for row in mine:
            tile = folder / f"images_tiles_256/raw_scale100_thr_0.01/{row['file name']}.tif"
            shown = cut[tifffile.imread(tile).tobytes()]
            with Image.open(folder / f"masks_tiles_256_thr_0.01/{row['file name']}.png") as image:
                np.testing.assert_array_equal(np.asarray(image), shown)
            assert shown.mean() > 0.01 if row["label"] == "0" else not shown.any()
    assert len(rows) >= 8


def test_fewer_tiles_are_the_first_of_more(root: Path, tmp_path: Path) -> None:
    generate_drone(tmp_path, count=3, size=SIZE, workers=1)
    few, many = RawDrone(tmp_path), RawDrone(root)
    assert [file.name for file in few.files] == [file.name for file in many.files[:3]]
    assert [file.read_bytes() for file in few.files] == [
        file.read_bytes() for file in many.files[:3]
    ]
    assert not (tmp_path / "drone/images_full").exists()


# ---- what is refused


@pytest.mark.parametrize("make", [generate_microscopy, generate_drone])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": 0}, "--count must be at least 1, got 0"),
        ({"count": -3}, "--count"),
        ({"size": 33}, "--size must be even and from 32 to 512, got 33"),
        ({"size": 30}, "--size"),
        ({"size": 514}, "--size"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
        ({"workers": -1}, "--workers must be at least 1, got -1"),
        ({"workers": 0}, "--workers"),
        ({"intensities": ()}, "--intensity needs at least one"),
        ({"intensities": (1.0, 0.3)}, r"intensity 0\.3 is none of 1 0\.75"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, make: Callable[..., Path], wrong: Options, words: str
) -> None:
    options = {"count": 4, "size": SIZE, "workers": 1, **wrong}
    with pytest.raises(InputError, match=words):
        make(tmp_path, **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("make", [generate_microscopy, generate_drone])
@pytest.mark.parametrize("other", [{"count": 5}, {"size": 34}, {"seed": 1}])
def test_other_options_than_before(copy: Path, make: Callable[..., Path], other: Options) -> None:
    made = MICROSCOPY if make is generate_microscopy else DRONE
    before = files(copy)
    with pytest.raises(InputError) as caught:
        make(copy, **{**made, **other}, workers=1)
    message = str(caught.value)
    name = "microscopy" if make is generate_microscopy else "drone"
    assert message.startswith(f"{copy / name}: ")
    for options in (
        {"count": made["count"], "size": SIZE, "seed": 0},
        {"count": made["count"], "size": SIZE, "seed": 0, **other},
    ):
        assert " ".join(f"--{key} {value}" for key, value in options.items()) in message
    assert "--root" in message
    assert files(copy) == before


def test_foreign_data_is_never_touched(tmp_path: Path) -> None:
    write_microscopy(tmp_path, f"{stem(0)} NGS\n")
    (tmp_path / "drone").mkdir()
    (tmp_path / "drone/notes.txt").write_text("mine")
    before = files(tmp_path)
    for make, name in ((generate_microscopy, "microscopy"), (generate_drone, "drone")):
        with pytest.raises(InputError) as caught:
            make(tmp_path, count=4, size=SIZE, workers=1)
        assert str(caught.value).startswith(f"{tmp_path / name}: holds data that was not generated")
    assert files(tmp_path) == before


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3", '{"count": 1}'])
def test_a_broken_manifest(copy: Path, content: str) -> None:
    (copy / "microscopy/generated.json").write_text(content)
    with pytest.raises(InputError, match=r"choose another --root, or delete the folder"):
        generate_microscopy(copy, **MICROSCOPY, workers=1)


def test_more_tiles_than_the_names_can_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"--count 2401: 100 frames.* hold at most 2400 tiles"):
        generate_drone(tmp_path, count=2401, size=SIZE, workers=1)
    assert not any(tmp_path.iterdir())
    # No more frames are made than it takes to know.
    monkeypatch.setattr(generate, "MAX_FRAMES", 3)
    told: list[tuple[str, int, int]] = []
    with pytest.raises(InputError, match=r"--count 70: 3 frames.* hold at most \d\d tiles"):
        generate_drone(
            tmp_path,
            count=70,
            size=SIZE,
            workers=1,
            progress=lambda *event: told.append(event),
        )
    assert [done for _, done, _ in told] == [sum(row.startswith("seg") for row in rows(tmp_path))]


def test_an_empty_folder_is_fine(tmp_path: Path) -> None:
    (tmp_path / "microscopy").mkdir()
    folder = generate_microscopy(tmp_path, count=3, size=SIZE, workers=1)
    assert folder == tmp_path / "microscopy"
    assert json.loads((folder / "generated.json").read_text()) == {
        "count": 3,
        "size": SIZE,
        "seed": 0,
    }
    assert len(RawMicroscopy(tmp_path)) == 3


def test_generated_data_is_known_as_such(root: Path, tmp_path: Path) -> None:
    write_microscopy(tmp_path, f"{stem(0)} NGS\n")
    assert is_generated(RawMicroscopy(root))
    assert is_generated(RawDrone(root, task="classification"))
    assert not is_generated(RawMicroscopy(tmp_path))
