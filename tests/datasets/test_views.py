"""Every view of every raw image as PNG."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
import torch
from PIL import Image

import raw2logit
from raw2logit.camera import Camera
from raw2logit.datasets import RawDataset, RawDrone, RawFolder, RawMicroscopy
from raw2logit.datasets.views import views_folder, write_views
from raw2logit.dng import write_dng
from raw2logit.errors import InputError
from raw2logit.images import Bits
from raw2logit.isp import VIEWS, Step, register_step, static_pipeline
from raw2logit.raw import read_raw, write_mosaic_tiff

from .layout import COUNT, files, write_image
from .test_folder import MODEL

COLUMNS = "file,sha256,view,bits,source,source_sha256,camera,raw2logit"
ONE = ["bi,s,ga"]


@pytest.fixture(scope="module")
def cells(root: Path) -> RawMicroscopy:
    return RawMicroscopy(root)


@pytest.fixture(scope="module")
def written(cells: RawMicroscopy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All twelve views of the generated cells. Read only."""
    return write_views(cells, tmp_path_factory.mktemp("written") / "views", workers=1)


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """The same to spoil; the sources are those of `written`."""
    return shutil.copytree(written, tmp_path / "copy")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name in ("cat/1.tif", "cat/2.tif", "dog/1.tif"):
        write_image(tmp_path / "pets" / name)
    return tmp_path / "pets"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "views.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path, bits: Bits) -> np.ndarray:
    if bits == 8:
        with Image.open(path) as image:
            assert image.mode == "RGB"
            return np.asarray(image)
    width, height, rows, about = png.Reader(bytes=path.read_bytes()).read()
    assert about["bitdepth"] == 16
    return np.array([list(row) for row in rows], np.uint16).reshape(height, width, 3)


def assert_is_whole(
    folder: Path, dataset: RawDataset, views: tuple[str, ...] | list[str], bits: Bits = 8
) -> None:
    """Compare every file of a folder with what one raw image at a time gives."""
    rows = table(folder)
    # View by view, and the images of each in the order of the data set.
    assert [row["view"] for row in rows] == [v for v in views for _ in dataset.files]
    for row, index in zip(rows, [*range(len(dataset))] * len(views), strict=True):
        source = folder / row["source"]
        assert not Path(row["source"]).is_absolute()
        assert source.samefile(dataset.files[index])
        assert row["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        path = folder / row["file"]
        assert row["file"].startswith(row["view"].replace(",", "-") + "/")
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["bits"] == str(bits)
        image = dataset.image(index)
        assert image.camera is not None
        assert row["camera"] == image.camera.name
        assert row["raw2logit"] == raw2logit.__version__
        view = static_pipeline(image.camera, row["view"])(image.mosaic[None])[0]
        numbers = (view * (2**bits - 1)).round().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(pixels(path, bits), numbers)
    assert set(files(folder)) == {"views.csv", "views.json", *(row["file"] for row in rows)}


def refusal(dataset: RawDataset, folder: Path, **options: Any) -> str:  # noqa: ANN401
    """Return the message of a refusal that changes nothing."""
    before = files(folder)
    with pytest.raises(InputError) as caught:
        write_views(dataset, folder, **{"workers": 1, **options})
    assert files(folder) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestWritten:
    def test_is_what_the_pipelines_make(self, written: Path, cells: RawMicroscopy) -> None:
        assert_is_whole(written, cells, VIEWS)
        assert len(table(written)) == 12 * COUNT
        assert read_raw(cells.files[0]).mosaic.equal(cells.mosaic(0))

    def test_table(self, written: Path, cells: RawMicroscopy) -> None:
        lines = (written / "views.csv").read_bytes().decode().split("\n")
        assert lines[0] == COLUMNS
        stem = cells.files[0].stem
        assert lines[1].startswith(f"bi-s-me/{stem}.png,")
        assert ',"bi,s,me",8,../' in lines[1]
        assert lines[-2].startswith(f"me-u-ga/{cells.files[-1].stem}.png,")
        assert lines[-1] == ""

    def test_record(self, written: Path, cells: RawMicroscopy) -> None:
        record = json.loads((written / "views.json").read_text())
        sources = record.pop("sources")
        assert Camera.from_dict(record.pop("camera")) == cells.camera
        assert record == {
            "raw2logit": raw2logit.__version__,
            "torch": torch.__version__,
            "bits": 8,
        }
        assert sources == {
            file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in cells.files
        }

    def test_two_workers_write_the_same_bytes(self, written: Path, cells: RawMicroscopy) -> None:
        other = write_views(cells, written.parent / "two", workers=2)
        assert files(other) == files(written)

    def test_progress(self, pets: Path, tmp_path: Path) -> None:
        told: list[tuple[str, int, int]] = []
        for _ in range(2):
            write_views(
                RawFolder(pets, camera="drone"),
                tmp_path / "views",
                views=["bi,s,ga", "bi,u,ga"],
                workers=1,
                progress=lambda *words: told.append(words),
            )
        assert told == [("writing views", done, 6) for done in (2, 4, 6)] * 2


class TestDataSets:
    @pytest.mark.parametrize(
        ("name", "folder", "open_it"),
        [
            ("microscopy", "microscopy/views", RawMicroscopy),
            ("drone", "drone/views", RawDrone),
            (
                "drone-classification",
                "drone/classification/views",
                lambda root, intensity: RawDrone(root, task="classification", intensity=intensity),
            ),
        ],
    )
    def test_published_ones_at_an_intensity(
        self, root: Path, tmp_path: Path, name: str, folder: str, open_it: Callable[..., RawDataset]
    ) -> None:
        assert views_folder(name, root, 0.1) == root / folder / "raw_scale010"
        assert views_folder(name, root, 1.0) == root / folder / "raw_scale100"
        dataset = open_it(root, intensity=0.1)
        assert "raw_scale010" in str(dataset.files[0])
        written = write_views(dataset, tmp_path / "views", views=["bi,u,ga", "me,s,me"], workers=1)
        assert_is_whole(written, dataset, ["bi,u,ga", "me,s,me"])

    def test_sixteen_bits(self, root: Path, tmp_path: Path) -> None:
        dataset = RawDrone(root)
        written = write_views(dataset, tmp_path, views=["ma,s,ga", "me,u,me"], bits=16, workers=1)
        assert_is_whole(written, dataset, ["ma,s,ga", "me,u,me"], bits=16)

    def test_folders_and_equal_stems(self, pets: Path, tmp_path: Path) -> None:
        write_image(pets / "dog" / "p1" / "x.y.tif")
        mosaic = read_raw(pets / "dog" / "1.tif").mosaic
        np.save(pets / "dog" / "1.npy", 1 - mosaic.numpy())
        dataset = RawFolder(pets, camera="drone")
        written = write_views(dataset, tmp_path / "views", views=ONE, workers=1)
        assert_is_whole(written, dataset, ONE)
        assert {row["file"] for row in table(written)} == {
            "bi-s-ga/cat/1.png",
            "bi-s-ga/cat/2.png",
            "bi-s-ga/dog/1.npy.png",
            "bi-s-ga/dog/1.tif.png",
            "bi-s-ga/dog/p1/x.y.png",
        }

    def test_a_name_that_another_file_would_have_too(self, pets: Path, tmp_path: Path) -> None:
        mosaic = read_raw(pets / "dog" / "1.tif").mosaic
        for name in ("1.npy", "1.tif.npy"):
            np.save(pets / "dog" / name, mosaic.numpy())
        dataset = RawFolder(pets, camera="drone")
        message = refusal(dataset, tmp_path / "views")
        assert "would have the name of" in message
        assert "1.tif.npy" in message
        assert message.endswith("rename one of them")

    def test_odd_names(self, pets: Path, tmp_path: Path) -> None:
        for name in ('a b,"c".tif', "ü%20\\.tif", "two\nlines.tif", "-1.tif", "Ω.b.tif"):
            write_image(pets / "dog" / name)
        dataset = RawFolder(pets, camera="drone")
        for _ in range(2):
            written = write_views(dataset, tmp_path / "vie ws", views=ONE, workers=1)
            assert_is_whole(written, dataset, ONE)

    def test_a_name_that_is_no_text(self, pets: Path, tmp_path: Path) -> None:
        odd = pets / "dog" / "\udcff.tif"
        try:
            write_image(pets / "x.tif").rename(odd)
        except OSError:
            pytest.skip("this file system takes only text")
        message = refusal(RawFolder(pets, camera="drone"), tmp_path / "views")
        assert message == f"{odd}: no table can hold this name: rename the file"

    def test_files_above_the_working_folder(
        self, pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "place"
        place.mkdir()
        write_image(place / "3.tif")
        (place / "t.csv").write_text("file,label\n3.tif,5\n../pets/cat/1.tif,6\n")
        monkeypatch.chdir(place)
        dataset = RawFolder("t.csv", camera="drone")
        written = write_views(dataset, Path("../out/views"), views=ONE, workers=1)
        assert_is_whole(written, dataset, ONE)
        assert {row["file"] for row in table(written)} == {
            "bi-s-ga/place/3.png",
            "bi-s-ga/pets/cat/1.png",
        }

    def test_links(self, pets: Path, tmp_path: Path) -> None:
        (pets / "dog" / "link.tif").symlink_to(pets / "cat" / "1.tif")
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / "out").symlink_to(tmp_path / "deep" / "er")
        dataset = RawFolder(pets, camera="drone")
        assert_is_whole(
            write_views(dataset, tmp_path / "out" / "views", views=ONE, workers=1), dataset, ONE
        )

    def test_files_with_a_camera_each(self, tmp_path: Path) -> None:
        generator = torch.Generator().manual_seed(0)
        for name, gain in (("a/1", 2.0), ("a/2", 2.0), ("b/1", 1.6)):
            mosaic = 0.1 + 0.8 * torch.rand(24, 32, generator=generator)
            camera = dataclasses.replace(MODEL, white_balance=(gain, 1.0, 1.5))
            path = tmp_path / "shots" / f"{name}.dng"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_dng(path, mosaic, camera)
        dataset = RawFolder(tmp_path / "shots")
        # What is written is of the file's own camera, as `process` makes it.
        assert not read_raw(dataset.files[2]).mosaic.equal(dataset.mosaic(2))
        assert dataset.image(2).mosaic.equal(read_raw(dataset.files[2]).mosaic)
        written = write_views(dataset, tmp_path / "views", views=["ma,u,ga"], workers=1)
        assert_is_whole(written, dataset, ["ma,u,ga"])
        record = json.loads((written / "views.json").read_text())
        assert Camera.from_dict(record["camera"]["b/1"]) == read_raw(dataset.files[2]).camera

    def test_odd_sizes_and_sizes_that_differ(self, tmp_path: Path) -> None:
        for name, size in (("a/1", 5), ("a/2", 8), ("b/1", 7)):
            write_image(tmp_path / "pets" / f"{name}.tif", size)
        dataset = RawFolder(tmp_path / "pets", camera="drone", crop_odd=True)
        written = write_views(dataset, tmp_path / "views", views=ONE, workers=1)
        assert_is_whole(written, dataset, ONE)


class TestAgain:
    def test_nothing_is_written_twice(self, copy: Path, cells: RawMicroscopy) -> None:
        def stamps() -> dict[Path, tuple[int, int]]:
            return {
                path: (path.stat().st_ino, path.stat().st_mtime_ns)
                for path in copy.rglob("*/*.png")
            }

        before = stamps()
        assert len(before) == 12 * COUNT
        # The copy's sources have other relative paths, but it is the table alone that is anew.
        write_views(cells, copy, workers=1)
        assert stamps() == before
        assert_is_whole(copy, cells, VIEWS)

    def test_damaged_and_lost_pngs_are_made_anew(
        self, written: Path, copy: Path, cells: RawMicroscopy
    ) -> None:
        pngs = sorted(copy.rglob("*/*.png"))
        pngs[3].write_bytes(pngs[3].read_bytes()[:-20])
        pngs[100].write_bytes(pngs[101].read_bytes())
        pngs[200].unlink()
        shutil.rmtree(copy / "me-s-ga")
        before = files(written)
        assert files(copy) != before
        write_views(cells, copy, workers=1)
        after = files(copy)
        assert after.keys() == before.keys()
        assert all(after[name] == before[name] for name in before if name != "views.csv")

    def test_what_a_killed_call_leaves(
        self, written: Path, copy: Path, cells: RawMicroscopy
    ) -> None:
        (copy / "views.csv").unlink()
        shutil.rmtree(copy / "me-u-ga")
        for png_ in sorted(copy.rglob("*/*.png"))[::2]:
            png_.unlink()
        (copy / "bi-s-me" / ".Ma190c.raw2logit-0123abcd.png").write_bytes(b"half")
        (copy / ".views.raw2logit-0123abcd.csv").write_text("file,")
        write_views(cells, copy, workers=1)
        assert_is_whole(copy, cells, VIEWS)
        assert files(copy).keys() == files(written).keys()

    def test_killed_before_its_first_file(self, pets: Path, tmp_path: Path) -> None:
        (tmp_path / "views").mkdir()
        (tmp_path / "views" / ".views.raw2logit-0123abcd.json").write_text("{")
        dataset = RawFolder(pets, camera="drone")
        assert_is_whole(
            write_views(dataset, tmp_path / "views", views=ONE, workers=1), dataset, ONE
        )

    def test_further_views_join(self, pets: Path, tmp_path: Path, own_registry: None) -> None:
        @register_step("negative")
        class Negative(Step):
            family = "denoise"

            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return 1 - image

        dataset = RawFolder(pets, camera="drone")
        ordered = ["bi,s,me", "bi,s,ga", "me,u,me", "bi,s,negative", "none"]
        asked = [["none"], ["bi,s,ga", "me,u,me"], ["bi,s,negative"], ["bi,s,me", "bi,s,ga"]]
        for views in asked:
            folder = write_views(dataset, tmp_path / "a", views=views, workers=1)
        assert_is_whole(folder, dataset, ordered)
        shuffled = ["none", "me,u,me", "bi,s,negative", "bi,s,ga", "bi,s,me"]
        at_once = write_views(dataset, tmp_path / "b", views=shuffled, workers=1)
        assert files(at_once) == files(folder)

    def test_a_raw_file_that_breaks(self, pets: Path, tmp_path: Path) -> None:
        dataset = RawFolder(pets, camera="drone")
        broken = pets / "dog" / "1.tif"
        broken.write_bytes(broken.read_bytes()[:-9])
        with pytest.raises(InputError, match=r"pets/dog/1\.tif: broken TIFF"):
            write_views(dataset, tmp_path / "views", views=ONE, workers=1)
        # What was done is kept, but nothing says that it is all.
        assert set(files(tmp_path / "views")) == {
            "views.json",
            "bi-s-ga/cat/1.png",
            "bi-s-ga/cat/2.png",
        }


class TestRefused:
    def test_other_bits(self, copy: Path, cells: RawMicroscopy) -> None:
        assert refusal(cells, copy, bits=16) == (
            f"{copy}: its views were made with bits 8, not 16: choose another --out, or delete the "
            "folder"
        )

    def test_another_camera(self, pets: Path, tmp_path: Path) -> None:
        views = tmp_path / "views"
        write_views(RawFolder(pets, camera="drone"), views, views=ONE, workers=1)
        camera = dataclasses.replace(Camera.preset("drone"), white_balance=(2.0, 1.0, 1.5))
        message = refusal(RawFolder(pets, camera=camera), views)
        assert message.startswith(f"{views}: its views were made with another camera: choose")

    def test_other_raw_files(self, pets: Path, tmp_path: Path) -> None:
        views = tmp_path / "views"
        write_views(RawFolder(pets, camera="drone"), views, views=ONE, workers=1)
        words = "other raw files: {} were changed, added or taken away since, such as {}"
        write_mosaic_tiff(pets / "cat" / "2.tif", torch.zeros(4, 4))
        message = refusal(RawFolder(pets, camera="drone"), views)
        assert words.format(1, "cat/2: choose another --out") in message
        write_image(pets / "dog" / "2.tif")
        message = refusal(RawFolder(pets, camera="drone"), views)
        assert words.format(2, "cat/2") in message

    def test_another_intensity(self, root: Path, copy: Path) -> None:
        message = refusal(RawMicroscopy(root, intensity=0.1), copy)
        assert f"other raw files: {COUNT} were changed" in message

    @pytest.mark.parametrize("key", ["torch", "raw2logit"])
    def test_another_version(self, key: str, copy: Path, cells: RawMicroscopy) -> None:
        record = json.loads((copy / "views.json").read_text())
        (copy / "views.json").write_text(json.dumps({**record, key: "0.0.9"}))
        assert f"its views were made with {key} 0.0.9, not " in refusal(cells, copy)

    def test_something_else(self, pets: Path, tmp_path: Path) -> None:
        dataset = RawFolder(pets, camera="drone")
        assert refusal(dataset, pets).startswith(f"{pets}: holds something else than views: choose")

    def test_a_file_in_the_place_of_the_folder(self, pets: Path) -> None:
        dataset = RawFolder(pets, camera="drone")
        for place in (pets / "cat" / "1.tif", pets / "cat" / "1.tif" / "views"):
            message = refusal(dataset, place)
            assert message.startswith(f"{place}: no folder can be made there (")
            assert message.endswith("choose another --out")

    @pytest.mark.parametrize("content", ["{", "[1]", '"text"', "", "3"])
    def test_a_broken_record(self, content: str, copy: Path, cells: RawMicroscopy) -> None:
        (copy / "views.json").write_text(content)
        message = refusal(cells, copy)
        assert message.startswith(f"{copy / 'views.json'}: broken (")
        assert message.endswith("choose another --out, or delete the folder")

    @pytest.mark.parametrize("content", ["", "file,sha256\n", f"{COLUMNS}\na,b\n", '"a'])
    def test_a_broken_table(self, content: str, copy: Path, cells: RawMicroscopy) -> None:
        (copy / "views.csv").write_text(content)
        message = refusal(cells, copy)
        assert message.startswith(f"{copy / 'views.csv'}: broken (")
        assert message.endswith("take the file away and repeat the call that made it")

    def test_options(self, cells: RawMicroscopy, tmp_path: Path) -> None:
        folder = tmp_path / "views"
        assert "--workers must be at least 1, got 0" in refusal(cells, folder, workers=0)
        assert "unknown view 'bi'" in refusal(cells, folder, views=["bi"])
        assert "no view given" in refusal(cells, folder, views=[])
        assert "neural" in refusal(cells, folder, views=["bi,s,ga", "neural"])
        assert not folder.exists()

    def test_a_view_that_is_no_picture(
        self, pets: Path, tmp_path: Path, own_registry: None
    ) -> None:
        @register_step("negative")
        class Negative(Step):
            family = "gamma"

            def forward(self, image: torch.Tensor) -> torch.Tensor:
                return -1 - image.clamp(0, 1)

        dataset = RawFolder(pets, camera="drone")
        view = "bi,s,ga,gamma=negative"
        with pytest.raises(InputError) as caught:
            write_views(dataset, tmp_path / "views", views=[view], workers=1)
        message = str(caught.value)
        assert message.startswith(f"{pets}/cat/1.tif: --views {view}: view holds values from -")
        assert message.endswith("a picture needs [0, 1]: leave the view out")
