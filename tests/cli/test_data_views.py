"""``raw2logit data views`` through the real entry point."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import raw2logit as r2l
from raw2logit import parallel
from raw2logit.cli import main
from raw2logit.datasets.synthetic.generate import generate_drone, generate_microscopy

SMALL = ["--views", "bi,s,ga", "--workers", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    options = {"size": 32, "intensities": (1.0, 0.1), "workers": 1}
    generate_microscopy(root, count=12, **options)  # type: ignore[arg-type]
    generate_drone(root, count=12, **options)  # type: ignore[arg-type]
    return root


@pytest.fixture
def data(made: Path, own_folder: Path) -> Path:
    """Both generated sets where commands look for them."""
    return shutil.copytree(made, own_folder / "data")


@pytest.fixture
def pets(made: Path, own_folder: Path) -> Path:
    """Raw files in a folder per class."""
    for index, file in enumerate(r2l.RawDrone(made).files):
        place = own_folder / "pets" / ("cat", "dog")[index % 2] / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return own_folder / "pets"


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, which must end with code 2 and one line; return the line."""
    capsys.readouterr()
    assert main(["data", "views", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("raw2logit: ")
    assert "\n" not in error
    return error


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "views.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_by_default_all_twelve_lie_beside_the_data(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "views", "--workers", "1"]) == 0
    folder = Path("data/microscopy/views/raw_scale100")
    told = capsys.readouterr()
    assert told.out == f"{folder}\n"
    assert told.err.splitlines()[-1] == "[144/144] writing views"
    dataset = r2l.RawMicroscopy(data)
    rows = rows_of(folder)
    assert [(row["view"], (folder / row["source"]).resolve()) for row in rows] == [
        (view, file.resolve()) for view in r2l.VIEWS for file in dataset.files
    ]
    for row in rows[::13]:
        mosaic = r2l.read_raw(folder / row["source"]).mosaic
        view = r2l.static_pipeline(dataset.camera, row["view"])(mosaic[None])[0]
        with Image.open(folder / row["file"]) as image:
            numbers = np.asarray(image)
        np.testing.assert_array_equal(numbers, (view * 255).round().permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("microscopy", "microscopy/views"),
        ("drone", "drone/views"),
        ("drone-classification", "drone/classification/views"),
    ],
)
def test_every_data_set_and_intensity(
    data: Path, name: str, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(r2l.datasets.open_dataset(name, data, intensity=0.1))
    # The root is the first word or an option.
    for words in ([str(data)], ["--root", str(data)]):
        words += ["--data", name, "--intensity", "0.1", "1", ".1"]
        assert main(["data", "views", *words, *SMALL]) == 0
        places = [data / folder / "raw_scale010", data / folder / "raw_scale100"]
        assert capsys.readouterr().out.splitlines() == list(map(str, places))
    for place, intensity in zip(places, (0.1, 1.0), strict=True):
        dataset = r2l.datasets.open_dataset(name, data, intensity=intensity)
        assert len(dataset) == before
        assert len(rows_of(place)) == before
        for row, file in zip(rows_of(place), dataset.files, strict=True):
            assert (place / row["source"]).samefile(file)


def test_another_place(data: Path) -> None:
    words = ["data", "views", "--intensity", "1", "0.1", "--bits", "16", *SMALL]
    assert main([*words, "--out", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"raw_scale100", "raw_scale010"}
    assert {row["bits"] for row in rows_of(Path("out/raw_scale010"))} == {"16"}
    assert not (data / "microscopy" / "views").exists()


def test_a_folder_of_ones_own(pets: Path) -> None:
    words = ["data", "views", "--data", "folder:pets", "--camera", "drone", *SMALL]
    assert main([*words, "--out", "out"]) == 0
    rows = rows_of(Path("out"))
    assert {Path(row["file"]).parts[:2] for row in rows} == {
        ("bi-s-ga", "cat"),
        ("bi-s-ga", "dog"),
    }
    assert {(Path("out") / row["source"]).resolve() for row in rows} == set(pets.rglob("*.tif"))


def test_a_step_of_ones_own(
    data: Path,
    own_folder: Path,
    own_registry: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "_preparations", [])
    (own_folder / "mine.py").write_text(
        "import raw2logit as r2l\n"
        '@r2l.register_step("negative")\n'
        "class Negative(r2l.Step):\n"
        '    family = "gamma"\n'
        "    def forward(self, image):\n"
        "        return 1 - image.clamp(0, 1)\n"
    )
    words = ["data", "views", "--views", "bi,s,ga,gamma=negative", "bi,s,ga", "--workers", "2"]
    assert main(["--import", "mine.py", *words, "--out", "out"]) == 0
    rows = rows_of(Path("out/raw_scale100"))
    assert [row["view"] for row in rows] == ["bi,s,ga"] * 12 + ["bi,s,ga,gamma=negative"] * 12


def test_bad_options(data: Path, pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--data", "folder:pets", "--camera", "drone"]
    for words, message in (
        (["--views", "bi"], "unknown view 'bi': choose from bi,s,me"),
        (["--views", "neural"], "neural"),
        (["--bits", "12"], "--bits"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--workers", "two"], "--workers"),
        (["--intensity", "0.3"], "intensity 0.3 is none of 1 0.75"),
        (["--intensity", "0.5"], "raw_scale050: not there: the generated data set is incomplete"),
        (["--data", "cells"], "unknown data set 'cells': known are microscopy drone"),
        (["--root", "nowhere"], "nowhere/microscopy/images/raw_scale100: not there. Generate"),
        (["--camera", "drone"], "--camera is for --data folder:PATH; microscopy has its own"),
        (own, "--data folder:pets needs --out: name a folder outside of it"),
        ([*own, "--out", "pets/views"], "--out pets/views: lies in the data set, which would"),
        ([*own, "--out", "out", "--intensity", "0.1"], "leave the option out"),
        ([*own, "--out", "out", "--root", "data"], "--root"),
        (["--data", "folder:pets", "--out", "out"], "the file does not tell its camera"),
    ):
        line = fails([*words, *([] if "--workers" in words else ["--workers", "1"])], capsys)
        assert message in line
    assert not Path("out").exists()
    assert not (data / "microscopy" / "views").exists()
    assert not (pets / "views").exists()


def test_other_files_are_never_overwritten(
    data: Path, pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--data", "folder:pets", "--camera", "drone", *SMALL]
    assert "data: holds something else than views" in fails([*own, "--out", "data"], capsys)
    assert main(["data", "views", *own, "--out", "out"]) == 0
    message = fails([*own, "--out", "out", "--bits", "16"], capsys)
    assert "out: its views were made with bits 8, not 16: choose another --out" in message
    first, second, *_ = sorted(pets.rglob("*.tif"))
    first.write_bytes(second.read_bytes())
    message = fails([*own, "--out", "out"], capsys)
    words = f"other raw files: 1 were changed, added or taken away since, such as cat/{first.stem}:"
    assert words in message
    Path("file").touch()
    message = fails([*own, "--out", "file/out"], capsys)
    assert "file/out: no folder can be made there (Not a directory): choose another" in message


def test_a_broken_raw_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = r2l.RawMicroscopy(data).files[3]
    broken.write_bytes(broken.read_bytes()[:-9])
    assert main(["data", "views", *SMALL]) == 2
    *progress, error = capsys.readouterr().err.splitlines()
    assert error.startswith(f"raw2logit: data/microscopy/images/raw_scale100/{broken.name}: broken")
    assert all(line.endswith("writing views") for line in progress)
