"""What is there of a data set: figures against numpy, and every fault found and named."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from raw2logit import Camera, InputError, MissingDataError
from raw2logit.datasets.download import DataFile, Downloaded
from raw2logit.datasets.findings import DataInfo, DatasetInfo, Exposure
from raw2logit.datasets.info import inspect_data
from raw2logit.datasets.microscopy import CLASS_COUNTS
from raw2logit.datasets.synthetic.generate import generate_microscopy
from raw2logit.datasets.tiling import tile_drone, tile_folder
from raw2logit.files import sha256_of
from tests.mutations import mutant

from .layout import (
    COUNT,
    DRONE_COUNT,
    INTENSITIES,
    SIZE,
    stem,
    write_image,
    write_mask,
    write_microscopy,
)

IMAGES = "images/raw_scale100"
REDUCED = "images/raw_scale010"
LABELS = "labels/Ma190c_annotations.dat"
TILES = "images_tiles_256/raw_scale100"
MASKS = "masks_tiles_256"
CLASSES = "classification/images_tiles_256/raw_scale100_thr_0.01"
CLASS_TABLE = "classification/dataset_tiles_256_72_0.01.csv"
FRAMES = "images_full/raw_scale100"
Told = set[tuple[str, str]]


@pytest.fixture
def data(root: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(root, tmp_path / "data"))


def look(root: Path | None, *names: str, **options: object) -> DataInfo:
    return inspect_data(root, names, workers=1, **options)  # type: ignore[arg-type]


def one(root: Path | None, name: str, **options: object) -> DatasetInfo:
    info = look(root, name, **options)
    (dataset,) = info.datasets
    assert info.whole == (not dataset.problems)
    for finding in (*dataset.problems, *dataset.notes):
        assert finding.message
        assert "\n" not in finding.message
    return dataset


def problems(dataset: DatasetInfo) -> Told:
    return {(finding.kind, finding.file) for finding in dataset.problems}


def notes(dataset: DatasetInfo) -> Told:
    return {(finding.kind, finding.file) for finding in dataset.notes}


class TestWhole:
    def check_values(
        self, exposure: Exposure, files: list[Path], camera: Camera, top: int = 65535
    ) -> None:
        values = np.stack([tifffile.imread(file) for file in files]).astype(np.int64)
        assert exposure.files == len(files) > 0
        assert exposure.sizes == {f"{values.shape[1]}x{values.shape[2]}": len(files)}
        levels = exposure.levels
        assert levels is not None
        assert levels.minimum == pytest.approx(values.min() / 65535)
        assert levels.maximum == pytest.approx(values.max() / 65535)
        assert levels.at_zero == np.mean(values == 0)
        assert levels.saturated == np.mean(values >= top)
        places = {"R": (0, 0), "G1": (0, 1), "G2": (1, 0), "B": (1, 1)}  # RGGB
        assert levels.sites.keys() == places.keys()
        for index, (name, (row, column)) in enumerate(places.items()):
            plane = values[:, row::2, column::2] / 65535
            site = levels.sites[name]
            assert site.mean == pytest.approx(plane.mean(), rel=1e-6)
            assert site.std == pytest.approx(plane.std(), rel=1e-6)
            assert site.black_level == pytest.approx(camera.black_level[index])
            # A digital number that equals the level to single precision is not below it.
            below = plane.astype(np.float32) < np.float32(camera.black_level[index])
            assert site.below_black == np.mean(below)

    def test_microscopy(self, root: Path) -> None:
        dataset = one(root, "microscopy")
        assert (dataset.problems, dataset.notes) == ([], [])
        assert dataset.origin == "generated"
        assert dataset.options == {"count": COUNT, "size": SIZE, "seed": 0}
        (section,) = dataset.sections
        assert (section.name, section.expected, section.masks) == ("images", COUNT, 0)
        words = [line.split() for line in (root / "microscopy" / LABELS).read_text().splitlines()]
        counts = Counter(code for _, code in words)
        assert [exposure.intensity for exposure in section.exposures] == list(INTENSITIES)
        for exposure, folder in zip(section.exposures, (IMAGES, REDUCED), strict=True):
            files = [root / "microscopy" / folder / f"{name}.tiff" for name, _ in words]
            self.check_values(exposure, files, Camera.preset("microscopy"))
            assert exposure.classes == {code: counts[code] for code in CLASS_COUNTS}
        assert section.differences is not None
        assert f"{COUNT} files, published 940" in section.differences
        assert "32x32 pixels, published 256x256" in section.differences

    def test_drone(self, root: Path) -> None:
        dataset = one(root, "drone")
        assert (dataset.problems, dataset.notes) == ([], [])
        tiles, classification, frames = dataset.sections
        folder = root / "drone"
        camera = Camera.preset("drone")
        assert (tiles.name, tiles.expected, tiles.masks) == ("tiles", DRONE_COUNT, DRONE_COUNT)
        for exposure, name in zip(tiles.exposures, ("100", "010"), strict=True):
            files = sorted((folder / f"images_tiles_256/raw_scale{name}").glob("*.tif"))
            # 12 bits, left-justified in 16.
            self.check_values(exposure, files, camera, top=4095 * 16)
        with (folder / CLASS_TABLE).open(newline="") as table:
            rows = list(csv.DictReader(table))
        counts = Counter(row["label"] for row in rows)
        for exposure in classification.exposures:
            assert exposure.files == len(rows) == classification.expected
            assert exposure.classes == {"car": counts["0"], "no car": counts["1"]}
        self.check_values(
            classification.exposures[0],
            [folder / CLASSES / f"{row['file name']}.tif" for row in rows],
            camera,
            top=4095 * 16,
        )
        count = len(list((folder / FRAMES).iterdir()))
        assert (frames.name, frames.expected, frames.masks) == ("frames", count, count)
        assert frames.exposures[0].sizes == {f"{4 * SIZE}x{6 * SIZE}": count}

    def test_all_that_is_there_is_looked_at(self, root: Path, tmp_path: Path) -> None:
        info = look(root)
        assert [dataset.name for dataset in info.datasets] == ["microscopy", "drone"]
        assert info.whole
        link = tmp_path / "one" / "drone"
        link.parent.mkdir()
        link.symlink_to(root / "drone")
        assert [dataset.name for dataset in look(link.parent).datasets] == ["drone"]
        (both,) = look(root, "drone", "drone-classification").datasets
        assert both.name == "drone"

    def test_the_number_of_workers_changes_nothing(self, root: Path) -> None:
        assert inspect_data(root, workers=2) == look(root)

    def test_every_file_is_told(self, root: Path) -> None:
        told: list[tuple[str, int, int]] = []
        look(root, "microscopy", progress=lambda *event: told.append(event))
        assert told == [("reading data", done, 2 * COUNT) for done in range(1, 2 * COUNT + 1)]

    @pytest.mark.slow
    def test_numbers_are_the_published_ones(self, tmp_path: Path) -> None:
        generate_microscopy(tmp_path, count=940, size=32)
        info = inspect_data(tmp_path)
        (section,) = info.datasets[0].sections
        assert info.whole
        assert section.expected == 940
        assert section.exposures[0].classes == {
            **{"BAS": 18, "EOS": 54, "KSC": 163, "LYA": 30, "LYT": 230},
            **{"MON": 191, "NGB": 8, "NGS": 216, "UNC": 30},
        }
        assert section.differences == ["32x32 pixels, published 256x256"]


# ---- each damage returns the problems and the notes that it makes


def remove_image(data: Path) -> tuple[Told, Told]:
    (data / "microscopy" / IMAGES / f"{stem(3)}.tiff").unlink()
    return {("missing", f"{IMAGES}/{stem(3)}.tiff")}, set()


def remove_image_of_one_intensity(data: Path) -> tuple[Told, Told]:
    (data / "microscopy" / REDUCED / f"{stem(5)}.tiff").unlink()
    return {("missing", f"{REDUCED}/{stem(5)}.tiff")}, set()


def remove_label_file(data: Path) -> tuple[Told, Told]:
    (data / "microscopy" / LABELS).unlink()
    return {("refused", LABELS)}, set()


def truncate_image(data: Path) -> tuple[Told, Told]:
    path = data / "microscopy" / IMAGES / f"{stem(0)}.tiff"
    path.write_bytes(path.read_bytes()[:-100])
    return {("unreadable", f"{IMAGES}/{stem(0)}.tiff")}, set()


def replace_image_by_garbage(data: Path) -> tuple[Told, Told]:
    (data / "microscopy" / IMAGES / f"{stem(27)}.tiff").write_bytes(bytes(range(250)))
    return {("unreadable", f"{IMAGES}/{stem(27)}.tiff")}, set()


def empty_image(data: Path) -> tuple[Told, Told]:
    (data / "microscopy" / IMAGES / f"{stem(27)}.tiff").write_bytes(b"")
    return {("unreadable", f"{IMAGES}/{stem(27)}.tiff")}, set()


def resize_image(data: Path) -> tuple[Told, Told]:
    write_image(data / "microscopy" / IMAGES / f"{stem(8)}.tiff", 34)
    return {("size", f"{IMAGES}/{stem(8)}.tiff")}, set()


def resize_all_images(data: Path) -> tuple[Told, Told]:
    (data / "microscopy/generated.json").write_text('{"count": 28, "size": 64, "seed": 0}')
    names = [f"{folder}/{stem(n)}.tiff" for folder in (IMAGES, REDUCED) for n in range(COUNT)]
    return {("size", name) for name in names}, set()


def labels_of(data: Path) -> dict[str, str]:
    return dict(line.split() for line in (data / "microscopy" / LABELS).read_text().splitlines())


def copy_image(data: Path, *, same: bool) -> str:
    """Copy an image over another of the same or another class; return the later one's name."""
    labels = labels_of(data)
    names = list(labels)
    pair = next(
        (a, b)
        for a in names
        for b in names[names.index(a) + 1 :]
        if (labels[a] == labels[b]) == same
    )
    first, second = (data / "microscopy" / IMAGES / f"{name}.tiff" for name in pair)
    tifffile.imwrite(second, tifffile.imread(first), compression="zlib")
    return f"{IMAGES}/{second.name}"


def copy_image_of_the_same_class(data: Path) -> tuple[Told, Told]:
    return set(), {("duplicate", copy_image(data, same=True))}


def copy_image_of_another_class(data: Path) -> tuple[Told, Told]:
    return {("contradiction", copy_image(data, same=False))}, set()


def copy_image_of_another_intensity(data: Path) -> tuple[Told, Told]:
    name = f"{stem(1)}.tiff"
    shutil.copy(data / "microscopy" / IMAGES / name, data / "microscopy" / REDUCED / name)
    return set(), {("duplicate", f"{REDUCED}/{name}")}


def name_an_unknown_class(data: Path) -> tuple[Told, Told]:
    path = data / "microscopy" / LABELS
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:-3] + "XYZ"
    path.write_text("\n".join(lines))
    return {("refused", f"{LABELS}:5")}, set()


def drop_a_label(data: Path) -> tuple[Told, Told]:
    path = data / "microscopy" / LABELS
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    extra = {("unnamed", f"{folder}/{stem(0)}.tiff") for folder in (IMAGES, REDUCED)}
    return {("count", "images")}, extra


def leave_temporary_files(data: Path) -> tuple[Told, Told]:
    (data / "microscopy" / IMAGES / ".half.raw2logit-0123abcd.tiff").write_bytes(b"II")
    (data / "microscopy" / ".downloading.raw2logit-0123abcd").mkdir()
    names = (f"{IMAGES}/.half.raw2logit-0123abcd.tiff", ".downloading.raw2logit-0123abcd")
    return set(), {("leftover", name) for name in names}


def add_files(data: Path) -> tuple[Told, Told]:
    write_image(data / "microscopy" / IMAGES / "another.tiff", SIZE)
    (data / "microscopy" / IMAGES / "Thumbs.db").write_bytes(b"x")
    (data / "microscopy/images/raw_scale033").mkdir()
    names = (f"{IMAGES}/another.tiff", f"{IMAGES}/Thumbs.db", "images/raw_scale033")
    return set(), {("unnamed", name) for name in names}


def break_generated_record(data: Path) -> tuple[Told, Told]:
    (data / "microscopy/generated.json").write_text("[1")
    (data / "microscopy" / LABELS).unlink()
    return {("unreadable", "generated.json")}, set()


def type_in_generated_record(data: Path) -> tuple[Told, Told]:
    (data / "microscopy/generated.json").write_text('{"count": "28", "size": 32, "seed": 0}')
    return {("unreadable", "generated.json")}, set()


def darken_images(data: Path) -> tuple[Told, Told]:
    for number, path in enumerate(sorted((data / "microscopy" / REDUCED).iterdir())):
        values = np.zeros((SIZE, SIZE), np.uint16)
        values[0, 0] = number  # else all are equal
        tifffile.imwrite(path, values)
    return set(), {("black-level", "images")}


MICROSCOPY_FAULTS = (
    *(remove_image, remove_image_of_one_intensity, remove_label_file, truncate_image),
    *(replace_image_by_garbage, empty_image, resize_image, resize_all_images),
    *(copy_image_of_the_same_class, copy_image_of_another_class, copy_image_of_another_intensity),
    *(name_an_unknown_class, drop_a_label, leave_temporary_files, add_files),
    *(break_generated_record, type_in_generated_record, darken_images),
)


def first_tile(data: Path, number: int = 0) -> str:
    return sorted(path.stem for path in (data / "drone" / TILES).iterdir())[number]


def remove_mask(data: Path) -> tuple[Told, Told]:
    name = f"{MASKS}/{first_tile(data)}.png"
    (data / "drone" / name).unlink()
    return {("missing", name)}, set()


def break_mask(data: Path) -> tuple[Told, Told]:
    name = f"{MASKS}/{first_tile(data)}.png"
    (data / "drone" / name).write_bytes(b"\x89PNG and no more")
    return {("unreadable", name)}, set()


def resize_mask(data: Path) -> tuple[Told, Told]:
    name = f"{MASKS}/{first_tile(data)}.png"
    write_mask(data / "drone" / name, np.eye(30, 32) > 0)
    return {("size", name)}, set()


def remove_tile(data: Path) -> tuple[Told, Told]:
    name = f"{TILES}/{first_tile(data, 7)}.tif"
    (data / "drone" / name).unlink()
    return {("missing", name)}, set()


def copy_tile(data: Path) -> tuple[Told, Told]:
    first, second = (f"{TILES}/{first_tile(data, number)}.tif" for number in (0, 1))
    shutil.copy(data / "drone" / first, data / "drone" / second)
    return {("contradiction", second)}, set()


def copy_tile_and_mask(data: Path) -> tuple[Told, Told]:
    first, second = (first_tile(data, number) for number in (0, 1))
    for folder, suffix in ((TILES, "tif"), (MASKS, "png")):
        place = data / "drone" / folder
        shutil.copy(place / f"{first}.{suffix}", place / f"{second}.{suffix}")
    return set(), {("duplicate", f"{TILES}/{second}.tif")}


def remove_frame_mask(data: Path) -> tuple[Told, Told]:
    (data / "drone/masks_full/DJI_0001.png").unlink()
    return {("missing", "masks_full/DJI_0001.png"), ("refused", f"{FRAMES}/DJI_0001.DNG")}, set()


def remove_frame(data: Path) -> tuple[Told, Told]:
    (data / "drone" / FRAMES / "DJI_0002.DNG").unlink()
    return {("missing", f"{FRAMES}/DJI_0002.DNG"), ("refused", FRAMES)}, set()


def break_tile_table(data: Path) -> tuple[Told, Told]:
    path = data / "drone/tiles.csv"
    lines = path.read_text().splitlines()
    lines[9] = lines[9].replace(",", ";")
    path.write_text("\n".join(lines))
    return {("refused", "tiles.csv:10")}, set()


def break_tile_table_and_more(data: Path) -> tuple[Told, Told]:
    # No loader gets as far as the table.
    damages = (remove_mask, remove_class_tile, break_tile_table)
    wrong = set[tuple[str, str]]().union(*(damage(data)[0] for damage in damages))
    reduced = min((data / "drone" / CLASSES.replace("100", "010")).iterdir())
    reduced.unlink()
    return wrong | {("missing", reduced.relative_to(data / "drone").as_posix())}, set()


def remove_class_table(data: Path) -> tuple[Told, Told]:
    (data / "drone" / CLASS_TABLE).unlink()
    return {("refused", CLASS_TABLE)}, set()


def name_an_unknown_tile_class(data: Path) -> tuple[Told, Told]:
    path = data / "drone" / CLASS_TABLE
    path.write_text(path.read_text().replace(",1\n", ",2\n", 1))
    line = (
        path.read_text()
        .splitlines()
        .index(next(line for line in path.read_text().splitlines() if line.endswith(",2")))
    )
    return {("refused", f"{CLASS_TABLE}:{line + 1}")}, set()


def remove_class_tile(data: Path) -> tuple[Told, Told]:
    path = min((data / "drone" / CLASSES).iterdir())
    path.unlink()
    return {("missing", f"{CLASSES}/{path.name}")}, set()


def add_a_tile(data: Path) -> tuple[Told, Told]:
    write_image(data / "drone" / TILES / "99_00000.tif", SIZE)
    write_mask(data / "drone" / MASKS / "99_00000.png", np.eye(SIZE) > 0)
    names = (f"{TILES}/99_00000.tif", f"{MASKS}/99_00000.png")
    # The mask asks for a tile under the other intensity too.
    refused = {("refused", name) for name in (names[0], names[0].replace("100", "010"))}
    return refused, {("unnamed", name) for name in names}


def remove_all_tiles(data: Path) -> tuple[Told, Told]:
    names = sorted(path.name for path in (data / "drone" / CLASSES).iterdir())
    shutil.rmtree(data / "drone" / CLASSES)
    shutil.rmtree(data / "drone" / CLASSES.replace("100", "010"))
    return {("missing", f"{CLASSES}/{name}") for name in names} | {("refused", CLASSES)}, set()


DRONE_FAULTS = (
    *(remove_mask, break_mask, resize_mask, remove_tile, copy_tile, copy_tile_and_mask),
    *(remove_frame_mask, remove_frame, break_tile_table, break_tile_table_and_more),
    *(remove_class_table, name_an_unknown_tile_class, remove_class_tile, add_a_tile),
    remove_all_tiles,
)

Damage = Callable[[Path], tuple[Told, Told]]


class TestFaults:
    @pytest.mark.parametrize("damage", MICROSCOPY_FAULTS, ids=lambda damage: damage.__name__)
    def test_of_microscopy(self, damage: Damage, data: Path) -> None:
        wrong, odd = damage(data)
        dataset = one(data, "microscopy")
        assert problems(dataset) == wrong
        assert notes(dataset) == odd

    @pytest.mark.parametrize("damage", DRONE_FAULTS, ids=lambda damage: damage.__name__)
    def test_of_drone(self, damage: Damage, data: Path) -> None:
        wrong, odd = damage(data)
        dataset = one(data, "drone")
        assert problems(dataset) == wrong
        assert notes(dataset) == odd

    def test_what_is_broken_is_not_counted(self, data: Path) -> None:
        before = one(data, "microscopy").sections[0].exposures
        truncate_image(data)
        remove_image_of_one_intensity(data)
        labels = labels_of(data)
        after = one(data, "microscopy").sections[0]
        assert after.expected == COUNT
        for number, old, new in zip((0, 5), before, after.exposures, strict=True):
            code = labels[stem(number)]
            assert new.files == COUNT - 1
            assert new.classes == {**old.classes, code: old.classes[code] - 1}

    def test_several_are_all_told(self, data: Path) -> None:
        wrong: Told = set()
        for damage in (remove_image, truncate_image, resize_image):
            wrong |= damage(data)[0]
        assert problems(one(data, "microscopy")) == wrong

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        for kind, file in (("microscopy", IMAGES), ("drone", TILES)):
            (tmp_path / kind).mkdir()
            dataset = one(tmp_path, kind)
            assert problems(dataset) >= {("refused", file)}
            assert "raw2logit data generate" in dataset.problems[0].message
            assert dataset.sections[0].exposures[0].levels is None

    def test_the_mend_is_the_call_that_made_it(self, data: Path) -> None:
        assert one(data, "drone").mend == (
            f"take broken files away, then repeat `raw2logit data generate drone --root {data} "
            f"--count {DRONE_COUNT} --size {SIZE} --seed 0 --intensity 1 0.1 --frames`"
        )
        path = data / "microscopy" / IMAGES / f"{stem(0)}.tiff"
        content = path.read_bytes()
        truncate_image(data)
        dataset = one(data, "microscopy")
        assert f"--count {COUNT} --size {SIZE} --seed 0 --intensity 1 0.1`" in dataset.mend
        path.unlink()
        generate_microscopy(data, count=COUNT, size=SIZE, intensities=INTENSITIES, workers=1)
        assert path.read_bytes() == content
        assert look(data).whole


NO_PATH = json.dumps(
    {
        "source": "doi:10.1/x",
        "doi": "10.1/x",
        "archives": [],
        "files": [{"path": 5, "size": 1, "sha256": "", "archive": ""}],
        "left_out": [],
    }
)


class TestOrigin:
    def downloaded(self, data: Path, kind: str, doi: str | None = "10.1/x") -> Path:
        """Make a downloaded set of a generated one."""
        folder = data / kind
        (folder / "generated.json").unlink()
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        entries = [
            DataFile(f.relative_to(folder).as_posix(), f.stat().st_size, sha256_of(f), "a.zip")
            for f in files
        ]
        source = f"doi:{doi}" if doi else "https://mirror.example/x"
        manifest = Downloaded(source, doi, (), tuple(entries), ())
        path = folder / "downloaded.json"
        path.write_text(manifest.to_json())
        return path

    def test_a_file_that_was_changed_after_the_download(self, data: Path) -> None:
        self.downloaded(data, "microscopy")
        before = problems(one(data, "microscopy"))
        assert {kind for kind, _ in before} == {"published"}
        path = data / "microscopy" / IMAGES / f"{stem(2)}.tiff"
        values = tifffile.imread(path)
        values[0, 0] += 1
        tifffile.imwrite(path, values, photometric="minisblack", metadata=None)
        labels = data / "microscopy" / LABELS
        labels.write_text(labels.read_text() + "\n")
        dataset = one(data, "microscopy")
        assert problems(dataset) - before == {
            ("changed", f"{IMAGES}/{stem(2)}.tiff"),
            ("changed", LABELS),
        }
        assert dataset.origin == "downloaded"
        assert dataset.options == {"source": "doi:10.1/x", "doi": "10.1/x"}
        assert f"`raw2logit data download microscopy --root {data}`" in dataset.mend

    def test_a_downloaded_file_that_is_gone(self, data: Path) -> None:
        self.downloaded(data, "drone", doi=None)
        before = problems(one(data, "drone"))
        gone = ("masks_full/DJI_0001.png", "tiles.csv")
        for name in gone:
            (data / "drone" / name).unlink()
        dataset = one(data, "drone")
        assert problems(dataset) - before >= {("missing", name) for name in gone}
        assert len(dataset.problems) == len(set(dataset.problems))
        assert f"--root {data} --from https://mirror.example/x`" in dataset.mend

    @pytest.mark.parametrize("text", ["{", "[]", '{"source": 1}', "", NO_PATH])
    def test_a_broken_record_of_the_download(self, text: str, data: Path) -> None:
        self.downloaded(data, "microscopy").write_text(text)
        assert ("unreadable", "downloaded.json") in problems(one(data, "microscopy"))

    def test_other_numbers_than_published_of_a_set_that_was_not_generated(self, data: Path) -> None:
        for kind, places in (
            ("microscopy", {"images"}),
            ("drone", {"images_tiles_256", "classification/images_tiles_256", "images_full"}),
        ):
            (data / kind / "generated.json").unlink()
            dataset = one(data, kind)
            assert dataset.origin == "unknown"
            assert problems(dataset) == {("published", place) for place in places}
            told = [problem.message for problem in dataset.problems]
            listed = [line for section in dataset.sections for line in section.differences or ()]
            assert told == listed
        assert "40 files, published 548" in told
        assert "128x192 pixels, published 3648x5472" in told

    def test_the_published_numbers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("raw2logit.datasets.inventory._TILE", (4, 4))
        codes = [code for code, count in CLASS_COUNTS.items() for _ in range(count)]
        lines = [f"{stem(number)} {code}\n" for number, code in enumerate(codes)]
        rare = [f"{stem(1000)} PMB\n", "Ma190c_lame3_zone13_composite_Mcropped_2 LYT\n"]
        write_microscopy(tmp_path, "".join([*lines, *rare]))
        dataset = one(tmp_path, "microscopy")
        assert (dataset.problems, dataset.notes) == ([], [])
        assert dataset.sections[0].differences == []
        (tmp_path / "microscopy" / LABELS).write_text("".join(lines[1:]))
        assert {problem.message for problem in one(tmp_path, "microscopy").problems} == {
            "939 files, published 940",
            "17 of class BAS, published 18",
        }

    def test_tiles_that_were_cut_here_need_not_be_as_published(self, data: Path) -> None:
        drone = data / "drone"
        for name in ("images_tiles_256", MASKS, "classification"):
            shutil.rmtree(drone / name)
        for name in ("tiles.csv", "generated.json"):
            (drone / name).unlink()
        tile_drone(data, size=16, workers=1)
        dataset = one(data, "drone")
        assert dataset.problems == []
        assert dataset.mend.endswith(f"`raw2logit data tile {data} --size 16 --overlap 0`")
        (drone / CLASS_TABLE).unlink()
        assert problems(one(data, "drone")) == {("refused", CLASS_TABLE)}
        (drone / "tiles.json").write_text("{}")
        assert ("unreadable", "tiles.json") in problems(one(data, "drone"))


class TestFolder:
    @pytest.fixture
    def classes(self, tmp_path: Path) -> Path:
        folder = tmp_path / "own"
        for index in range(6):
            write_image(folder / "ab"[index % 2] / f"{index}.tif")
        Camera("mine", black_level=(0.1,) * 4).to_yaml(folder / "camera.yaml")
        return folder

    @pytest.fixture
    def masks(self, tmp_path: Path) -> Path:
        folder = tmp_path / "own"
        for index in range(3):
            write_image(folder / "images" / f"{index}.tif")
            write_mask(folder / "masks" / f"{index}.png", np.eye(4, dtype=np.uint8) * 9)
        return folder

    def test_whole(self, classes: Path) -> None:
        dataset = one(None, f"folder:{classes}")
        assert (dataset.problems, dataset.origin) == ([], "own")
        (section,) = dataset.sections
        assert (section.name, section.expected, section.differences) == ("files", 6, None)
        assert section.exposures[0].classes == {"a": 3, "b": 3}
        levels = section.exposures[0].levels
        assert levels is not None
        planes = [tifffile.imread(file)[::2, ::2] / 65535 for file in classes.rglob("*.tif")]
        assert levels.sites["R"].mean == pytest.approx(np.mean(planes))
        assert levels.sites["R"].black_level == pytest.approx(0.1)

    def test_tiles_of_frames_of_ones_own(self, data: Path, tmp_path: Path) -> None:
        drone = data / "drone"
        out = tile_folder(
            drone / FRAMES, drone / "masks_full", tmp_path / "out", size=SIZE, workers=1
        )
        dataset = one(None, f"folder:{out}")
        assert (dataset.problems, dataset.notes) == ([], [])
        assert dataset.sections[0].masks == dataset.sections[0].expected > 0

    def test_broken_and_equal_files(self, classes: Path) -> None:
        (classes / "a/0.tif").write_bytes(b"II*\0")
        shutil.copy(classes / "a/2.tif", classes / "a/4.tif")
        shutil.copy(classes / "a/2.tif", classes / "b/3.tif")
        dataset = one(None, f"folder:{classes}")
        assert problems(dataset) == {("unreadable", "a/0.tif"), ("contradiction", "b/3.tif")}
        assert notes(dataset) == {("duplicate", "a/4.tif")}

    def test_no_camera(self, classes: Path) -> None:
        (classes / "camera.yaml").unlink()
        assert problems(one(None, f"folder:{classes}")) == {("refused", "a/0.tif")}
        assert not one(None, f"folder:{classes}", camera="drone").problems

    def test_a_broken_camera(self, classes: Path) -> None:
        (classes / "camera.yaml").write_text("name: [")
        assert problems(one(None, f"folder:{classes}")) == {("refused", "camera.yaml")}

    def test_other_files(self, classes: Path) -> None:
        (classes / "a/notes.txt").write_text("x")
        (classes / "a/.x.raw2logit-0123abcd.tif").write_text("x")
        dataset = one(None, f"folder:{classes}")
        assert not dataset.problems
        assert notes(dataset) == {("warning", "."), ("leftover", "a/.x.raw2logit-0123abcd.tif")}
        assert "1 .txt" in dataset.notes[0].message

    def test_sizes_are_a_note(self, classes: Path) -> None:
        write_image(classes / "a/0.tif", 8)
        dataset = one(None, f"folder:{classes}")
        assert (problems(dataset), notes(dataset)) == (set(), {("size", ".")})
        assert dataset.sections[0].exposures[0].sizes == {"4x4": 5, "8x8": 1}

    def test_odd_sizes(self, classes: Path) -> None:
        for file in classes.rglob("*.tif"):
            write_image(file, 5)
        assert {kind for kind, _ in problems(one(None, f"folder:{classes}"))} == {"unreadable"}
        assert not one(None, f"folder:{classes}", crop_odd=True).problems

    def test_a_table(self, classes: Path) -> None:
        table = classes / "labels.csv"
        table.write_text("file,label\na/0.tif,1\na/2.tif,1.5\nb/1.tif,3\n")
        dataset = one(None, f"folder:{table}")
        assert not dataset.problems
        assert dataset.sections[0].exposures[0].classes == {}
        assert dataset.sections[0].expected == 3
        shutil.copy(classes / "a/0.tif", classes / "b/1.tif")
        dataset = one(None, f"folder:{classes}")
        assert problems(dataset) == {("contradiction", "b/1.tif")}
        assert "same pixels as a/0.tif, but 3, not 1" in dataset.problems[0].message
        assert notes(dataset) == {("unnamed", f"{name}.tif") for name in ("a/4", "b/3", "b/5")}
        (classes / "a/2.tif").unlink()
        (told,) = one(None, f"folder:{table}").problems
        assert told.kind == "refused"
        assert "2.tif" in told.message

    def test_masks(self, masks: Path) -> None:
        name = f"folder:{masks}"
        assert not one(None, name, camera="drone").problems
        write_mask(masks / "masks/0.png", np.arange(16, dtype=np.uint8).reshape(4, 4))
        write_mask(masks / "masks/1.png", np.eye(6) > 0)
        dataset = one(None, name, camera="drone")
        assert problems(dataset) == {("unreadable", "masks/0.png"), ("size", "masks/1.png")}
        (masks / "masks/2.png").unlink()
        assert problems(one(None, name, camera="drone")) == {("refused", "images/2.tif")}


class TestBadInput:
    def test_is_refused(self, root: Path, tmp_path: Path) -> None:
        for names, options, message in (
            (("cells",), {}, "unknown data set 'cells': known are microscopy drone"),
            (("folder:",), {}, "name the folder or the CSV"),
            (("folder:x",), {"camera": "webcam"}, "unknown camera 'webcam'"),
            (("drone",), {"crop_odd": True}, "are for --data folder:PATH"),
            (("drone",), {"workers": 0}, "--workers must be at least 1"),
        ):
            with pytest.raises(InputError, match=message):
                inspect_data(None if ":" in names[0] else root, names, **options)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="leave ROOT out"):
            look(root, f"folder:{tmp_path}")
        for place, names, message in (
            (tmp_path, (), "no data set in it: make one with"),
            (tmp_path, ("drone",), "Generate the data set with"),
            (root / "drone", (), f"name the folder above it, {root}"),
            (None, ("folder:nowhere",), "nowhere: no such folder or CSV"),
        ):
            with pytest.raises(MissingDataError, match=message):
                look(place, *names)


def flip(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 3, 30))):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def test_no_damage_makes_it_crash(tmp_path: Path) -> None:
    root = tmp_path / "data"
    generate_microscopy(root, count=6, size=32, workers=1)
    tiny_drone(root)
    TestOrigin().downloaded(shutil.copytree(root, tmp_path / "fetched"), "drone")
    rng = random.Random(0)
    seen = Counter[str]()
    for round_ in range(150):
        place = rng.choice((root, tmp_path / "fetched"))
        files = sorted(path for path in place.rglob("*") if path.is_file())
        kept = {}
        for file in rng.sample(files, 3):
            kept[file] = file.read_bytes()
            if file.suffix in (".tif", ".tiff", ".png") and rng.random() < 0.5:
                suffix = ".png" if file.suffix == ".png" else ".tif"
                file.write_bytes(mutant(kept[file], suffix, round_))
            else:
                file.write_bytes(flip(kept[file], rng))
        info = look(place)
        seen.update(finding.kind for each in info.datasets for finding in each.problems)
        json.dumps(info.to_dict(), allow_nan=False)
        for file, content in kept.items():
            file.write_bytes(content)
    assert seen.keys() >= {"unreadable", "refused", "changed"}


def tiny_drone(root: Path) -> None:
    """Write two small frames, and cut them."""
    for number in (1, 2):
        values: NDArray[np.uint16] = write_frame(root, number)
        mask = np.zeros(values.shape, bool)
        mask[:20, :20] = True
        write_mask(root / f"drone/masks_full/DJI_000{number}.png", mask)
    tile_drone(root, size=16, workers=1)
    (root / "drone/generated.json").write_text('{"count": 4, "size": 16, "seed": 0}')


def write_frame(root: Path, number: int) -> NDArray[np.uint16]:
    values = np.random.default_rng(number).integers(0, 65536, (48, 48), np.uint16)
    path = root / f"drone/images_full/raw_scale100/DJI_000{number}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values)
    return values
