"""The commands, through the real entry point."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
import torch
import yaml
from PIL import Image

import raw2logit as r2l
from raw2logit.cli import main
from raw2logit.datasets import make_splits, read_splits
from raw2logit.raw import write_mosaic_tiff

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SMALL = ["--epochs", "1", "--batch-size", "8", "--accelerator", "cpu"]


@pytest.fixture(scope="session")
def microscopy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    arguments = ["--count", "48", "--size", "32", "--workers", "1", "--root", str(root)]
    assert main(["data", "generate", "microscopy", *arguments]) == 0
    return root


def mosaic_file(path: Path, height: int = 12, width: int = 16) -> Path:
    generator = torch.Generator().manual_seed(0)
    return write_mosaic_tiff(path, 0.1 + 0.8 * torch.rand(height, width, generator=generator))


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with code 2 and one line; return the line."""
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("raw2logit: ")
    assert "\n" not in error
    assert "Traceback" not in error
    return error


class TestHelp:
    @pytest.mark.parametrize("words", [["--help"], ["process", "--help"], ["synthesis", "--help"]])
    def test_imports_nothing_heavy(self, words: list[str]) -> None:
        heavy = "('torch', 'lightning', 'mlflow', 'matplotlib', 'numpy', 'pandas')"
        code = (
            "import sys; from raw2logit.cli import main\n"
            f"try: main({words!r})\nexcept SystemExit: pass\n"
            f"print('LOADED', [name for name in {heavy} if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.splitlines()[-1] == "LOADED []"

    def test_names_every_verb(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        text = capsys.readouterr().out
        assert all(verb in text for verb in ("data", "demo", "process", "synthesis", "train"))


class TestProcess:
    @pytest.mark.parametrize("bits", [8, 16])
    def test_png_holds_the_view(self, own_folder: Path, bits: int) -> None:
        file = mosaic_file(own_folder / "a.tif")
        words = ["process", str(file), "--camera", "drone", "--views", "bi,s,ga", "me,u,me"]
        assert main([*words, "--bits", str(bits), "-o", "out"]) == 0
        raw = r2l.read_raw(file).mosaic[None]
        for view in ("bi,s,ga", "me,u,me"):
            expected = r2l.static_pipeline(r2l.Camera.preset("drone"), view)(raw)[0]
            path = own_folder / "out" / f"a.{view.replace(',', '-')}.png"
            got = _read_png(path, bits)
            np.testing.assert_array_equal(
                got, (expected.permute(1, 2, 0) * (2**bits - 1)).round().numpy()
            )
        assert sorted(p.name for p in (own_folder / "out").iterdir()) == [
            "a.bi-s-ga.png",
            "a.me-u-me.png",
            "a.sheet.png",
        ]
        with Image.open(own_folder / "out" / "a.sheet.png") as sheet:
            assert min(sheet.size) > 100

    def test_camera_comes_from_a_dng(self, own_folder: Path) -> None:
        camera = r2l.Camera.preset("drone")
        mosaic = torch.rand(24, 32, generator=torch.Generator().manual_seed(0))
        r2l.write_dng(own_folder / "a.dng", mosaic, camera)
        assert main(["process", "a.dng", "--views", "bi,s,ga", "--no-sheet", "-o", "out"]) == 0
        # The file states saturation at full scale, which the preset leaves open.
        expected = r2l.static_pipeline(dataclasses.replace(camera, white_level=1.0))(mosaic[None])
        numbers = (expected[0].permute(1, 2, 0) * 255).round().numpy()
        difference = np.abs(np.asarray(Image.open("out/a.bi-s-ga.png")) - numbers)
        # Black levels are whole digital numbers in a DNG, and the mosaic has 16 bits.
        assert np.quantile(difference, 0.99) <= 1

    def test_same_stem_twice_keeps_both(self, own_folder: Path) -> None:
        mosaic_file(own_folder / "a.tif")
        np.save(own_folder / "a.npy", np.full((4, 4), 0.5, np.float32))
        words = ["process", "a.tif", "a.npy", "--camera", "drone", "--views", "bi,s,ga"]
        assert main([*words, "--no-sheet", "-o", "out"]) == 0
        assert {p.name for p in Path("out").iterdir()} == {
            "a.tif.bi-s-ga.png",
            "a.npy.bi-s-ga.png",
        }

    def test_bad_input(self, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        good = mosaic_file(own_folder / "good.tif")
        odd = mosaic_file(own_folder / "odd.tif", 13)
        (own_folder / "cut.tif").write_bytes(good.read_bytes()[:-50])
        Image.new("RGB", (4, 4)).save("rgb.png")
        np.save("nan.npy", np.full((4, 4), np.nan, np.float32))
        for words, message in (
            (["nope.tif", "--camera", "drone"], "nope.tif: no such file"),
            (["cut.tif", "--camera", "drone"], "cut.tif: broken TIFF"),
            (["rgb.png", "--camera", "drone"], "rgb.png: a PNG of mode RGB is no mosaic"),
            (["nan.npy", "--camera", "drone"], "nan.npy: 16 values are NaN"),
            ([str(odd), "--camera", "drone"], "13 x 16 pixels, but a mosaic has even"),
            (["good.tif"], "good.tif: has no camera metadata: add --camera"),
            (["good.tif", "--camera", "webcam"], "unknown camera 'webcam': registered are"),
            (["good.tif", "--camera", "drone", "--views", "xx"], "unknown view 'xx': choose from"),
            (["good.tif", "rgb.png", "--camera", "drone"], "rgb.png: a PNG of mode RGB"),
            (["good.tif", "--camera", "drone", "--bits", "12"], "--bits"),
            (["good.tif", "--frobnicate"], "--frobnicate"),
        ):
            assert message in fails(["process", *words, "-o", "out"], capsys)
        assert not Path("out").exists()
        assert main(["process", str(odd), "--camera", "drone", "--crop-odd", "-o", "out"]) == 0

    def test_another_picture_is_not_overwritten(
        self, own_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        mosaic_file(own_folder / "a.tif")
        words = ["process", "a.tif", "--views", "bi,s,ga", "--camera"]
        for _ in range(2):
            assert main([*words, "drone", "-o", "out"]) == 0
        before = Path("out/a.bi-s-ga.png").read_bytes()
        assert main([*words, "microscopy", "-o", "out"]) == 2
        message = capsys.readouterr().err
        assert "out/a.bi-s-ga.png: is there and holds another picture: choose another" in message
        assert Path("out/a.bi-s-ga.png").read_bytes() == before
        assert main([*words, "microscopy", "-o", "out", "--overwrite"]) == 0
        assert Path("out/a.bi-s-ga.png").read_bytes() != before

    def test_a_camera_from_a_file(self, own_folder: Path) -> None:
        mosaic_file(own_folder / "a.tif")
        r2l.Camera.preset("drone").to_yaml("drone.yaml")
        for camera, out in (("drone", "one"), ("drone.yaml", "two")):
            words = ["process", "a.tif", "--camera", camera, "--views", "bi,s,ga", "--no-sheet"]
            assert main([*words, "-o", out]) == 0
        assert Path("one/a.bi-s-ga.png").read_bytes() == Path("two/a.bi-s-ga.png").read_bytes()

    def test_debug_shows_the_traceback(self) -> None:
        with pytest.raises(r2l.MissingDataError):
            main(["process", "nope.tif", "--camera", "drone", "--debug"])


OWN_STEP = """
import torch, raw2logit as r2l

@r2l.register_step("soft{name}")
class Soft(r2l.Step):
    family = "denoise"

    def forward(self, image):
        return torch.nn.functional.avg_pool2d(image, 3, 1, 1)
"""


@pytest.mark.usefixtures("own_registry")
class TestImport:
    def test_own_step_in_a_view_code(self, own_folder: Path) -> None:
        mosaic_file(own_folder / "a.tif")
        (own_folder / "own_step.py").write_text(OWN_STEP.format(name=1))
        words = ["process", "a.tif", "--camera", "drone", "--no-sheet", "--views", "bi,s,soft1"]
        assert main([*words, "-o", "out", "--import", "own_step.py"]) == 0
        assert Path("out/a.bi-s-soft1.png").is_file()

    def test_module_of_the_working_folder(
        self, own_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.path", list(sys.path))
        mosaic_file(own_folder / "a.tif")
        (own_folder / "own_module.py").write_text(OWN_STEP.format(name=2))
        words = ["process", "a.tif", "--camera", "drone", "--no-sheet", "--views", "bi,s,soft2"]
        assert main(["--import=own_module", *words, "-o", "out"]) == 0

    def test_bad_input(self, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (own_folder / "broken.py").write_text("1 / 0")
        for words, message in (
            (["--import"], "--import: name a Python file or module"),
            (["--import", "nope.py"], "--import nope.py: no such file"),
            (["--import", "no_such_module"], "--import no_such_module: ModuleNotFoundError: No"),
            (["--import", "broken.py"], "--import broken.py: ZeroDivisionError: division"),
        ):
            assert message in fails(["demo", *words], capsys)
        assert "broken" not in sys.modules


class TestGenerate:
    def test_root_from_the_environment(
        self, own_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("RAW2LOGIT_DATA", str(own_folder / "elsewhere"))
        words = ["data", "generate", "drone", "--count", "3", "--size", "32", "--workers", "1"]
        assert main([*words, "--intensity", "1", "0.1"]) == 0
        captured = capsys.readouterr()
        assert captured.out.strip() == str(own_folder / "elsewhere" / "drone")
        assert "[3/3] drone tiles with a car" in captured.err
        for scale in ("100", "010"):
            tiles = own_folder / "elsewhere" / "drone" / "images_tiles_256" / f"raw_scale{scale}"
            assert [tifffile.imread(path).shape for path in tiles.iterdir()] == [(32, 32)] * 3

    def test_bad_input(self, microscopy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        generate = ["data", "generate"]
        other = [*generate, "microscopy", "--root", str(microscopy), "--count", "10"]
        assert "choose another --root" in fails(other, capsys)
        assert "--size must be even" in fails([*generate, "drone", "--size", "33"], capsys)
        assert "intensity 0.3 is none of" in fails(
            [*generate, "drone", "--intensity", "0.3"], capsys
        )
        assert "no full frames" in fails([*generate, "microscopy", "--frames"], capsys)
        fails([*generate, "satellite"], capsys)
        assert not Path("data").exists()


class TestSynthesis:
    def test_folder_of_a_run(
        self, microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["synthesis", "--root", str(microscopy), "--splits", "2", *SMALL, "-o", "out"]
        assert main([*words, "--train-views", "bi,u,ga", "--test-views", "bi,u,ga", "me,s,ga"]) == 0
        captured = capsys.readouterr()
        assert captured.out.strip() == "out/report.html"
        assert "[6/6] split 2/2: testing on me,s,ga" in captured.err
        assert "[48/48] reading microscopy" in captured.err
        out = own_folder / "out"
        names = {path.name for path in out.iterdir()}
        assert names == {
            "config.yaml",
            "results.csv",
            "results.json",
            "splits.json",
            "heatmap.png",
            "drop.png",
            "views.png",
            "report.html",
            "models",
            "run.json",
            "split-1",
            "split-2",
        }
        with (out / "results.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == [
            *("train_view", "test_view", "split", "seed", "metric", "value", "n_test"),
            *("corruption", "severity"),
        ]
        assert len(rows) == 2 * 2 * 2
        results = json.loads((out / "results.json").read_text())
        accuracy = [float(row["value"]) for row in rows if row["metric"] == "accuracy"]
        cells = [cell["mean"] for cell in results["cells"]]
        assert np.mean(cells) == pytest.approx(np.mean(accuracy))
        config = yaml.safe_load((out / "config.yaml").read_text())
        assert config["epochs"] == 1
        dataset = r2l.RawMicroscopy(microscopy)
        splits = read_splits(out, dataset)
        assert splits == make_splits(dataset, 2, seed=0)
        assert not any(split.shared_groups(dataset.groups) for split in splits)
        page = (out / "report.html").read_text()
        assert "generated by a simulation" in page
        assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")

    def test_corruptions_beside_the_grid(
        self,
        microscopy: Path,
        own_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = ["synthesis", "--root", str(microscopy), "--splits", "2", *SMALL, "-o", "out"]
        words += ["--views", "bi,u,ga", "me,s,ga"]
        assert main(words) == 0
        plain = (own_folder / "out" / "results.csv").read_text().splitlines()
        monkeypatch.setattr("raw2logit.tasks.training._fit", lambda *_: pytest.fail("trained"))
        words += ["--corruptions", "fog", "contrast", "--severities", "3", "5"]
        assert main([*words, "--constants", "imagenet-c"]) == 0
        table = (own_folder / "out" / "results.csv").read_text().splitlines()
        assert table[: len(plain)] == plain
        with (own_folder / "out" / "results.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["corruption"]]
        assert len(rows) == 2 * 2 * 2 * 2 * 2
        assert {(row["corruption"], row["severity"]) for row in rows} == {
            *(("fog", "3"), ("fog", "5"), ("contrast", "3"), ("contrast", "5")),
        }
        found = json.loads((own_folder / "out" / "results.json").read_text())["comparison"]
        assert (found["severity"], found["constants"]) == (3, "imagenet-c")
        assert set(found["corruptions"]) == {"fog", "contrast"}
        page = (own_folder / "out" / "report.html").read_text()
        assert "mean absolute drop, corruptions" in page
        # What a run writes is what it can be made of.
        assert main(["synthesis", "--config", "out/config.yaml", "-o", "out"]) == 0
        assert (own_folder / "out" / "results.csv").read_text().splitlines() == table
        capsys.readouterr()
        assert "choose from published, all, none" in fails([*words, "--corruptions", "x"], capsys)

    def test_splits_of_an_earlier_run(
        self, microscopy: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["--root", str(microscopy), *SMALL]
        options = ["--splits", "1", "--split-scheme", "random", "--split-by", "image"]
        assert main(["train", *words, *options, "--split-folds", "4", "-o", "one"]) == 0
        config = yaml.safe_load(Path("one/config.yaml").read_text())
        made = (config["splits"], config["split_scheme"], config["split_by"], config["split_folds"])
        assert made == (1, "random", "image", 4)
        dataset = r2l.RawMicroscopy(microscopy)
        expected = make_splits(dataset, 1, seed=0, scheme="random", by="image", folds=4)
        assert read_splits(Path("one"), dataset) == expected
        assert "have near twins in training" in Path("one/report.html").read_text()
        assert main(["train", *words, "--splits-from", "one", "--seed", "9", "-o", "two"]) == 0
        assert Path("one/splits.json").read_bytes() == Path("two/splits.json").read_bytes()
        config = yaml.safe_load(Path("two/config.yaml").read_text())
        assert (config["resolved"]["splits"], config["splits_from"]) == (1, "one")
        capsys.readouterr()
        for more in (["--splits", "2"], ["--split-by", "image"]):
            assert main(["train", *words, "--splits-from", "one", *more]) == 2
            assert "--splits-from: takes the splits as they are" in capsys.readouterr().err

    def test_drone_segmentation(self, own_folder: Path) -> None:
        words = ["data", "generate", "drone", "--count", "24", "--size", "32", "--workers", "1"]
        assert main(words) == 0
        assert (
            main(["synthesis", "--data", "drone", "--views", "bi,s,ga", "--splits", "1", *SMALL])
            == 0
        )
        results = json.loads((own_folder / "runs" / "synthesis" / "results.json").read_text())
        assert results["metric"] == "iou"
        assert 0 <= results["own_view"]["mean"] <= 1
        assert results["worst"] is None

    def test_bad_input(self, microscopy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = ["--root", str(microscopy)]
        for words, message in (
            (
                ["synthesis"],
                "with `raw2logit data generate microscopy --root data`",
            ),
            (["train", "--data", "drone-classification"], "raw2logit data generate drone"),
            (["synthesis", *root, "--views", "bi,s"], "unknown view 'bi,s'"),
            (
                ["synthesis", *root, "--intensity", "0.25"],
                "--intensity 0.25 --count 48 --size 32 --seed 0`",
            ),
            (["synthesis", *root, "--splits", "0"], "--splits"),
            (["train", *root, "--epochs", "0"], "--epochs must be at least 1"),
            (["train", *root, "--batch-size", "1"], "--batch-size must be at least 2"),
            (["train", *root, "--lr", "inf"], "--lr must be above 0 and finite"),
            (["train", *root, "--pipeline-lr=-1"], "--pipeline-lr must be above 0"),
            (["train", *root, "--weight-decay=-1"], "--weight-decay must be 0 or more"),
            (["train", *root, "--seed", "9" * 22], "--seed"),
            (["train", *root, "--accelerator", "bogus"], "--accelerator"),
            (["train", *root, "--model", "resnet19"], "unknown task model 'resnet19'"),
            (["train", *root, "--view", "all"], "unknown view 'all'"),
        ):
            assert message in fails([*words, "-o", "out"], capsys)
        assert not Path("out").exists()
        assert not Path("runs").exists()

    def test_a_folder_that_cannot_be_made(
        self, microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = mosaic_file(own_folder / "a.tif")
        for words in (
            ["train", "--root", str(microscopy), "-o", "a.tif"],
            ["synthesis", "--root", str(microscopy), "-o", "a.tif/below"],
            ["process", "a.tif", "--camera", "drone", "-o", "a.tif"],
        ):
            assert "no folder can be made there" in fails(words, capsys)
        assert file.stat().st_size > 0

    def test_a_damaged_model(
        self, microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["train", "--root", str(microscopy), *SMALL, "-o", "out"]
        assert main(words) == 0
        capsys.readouterr()
        next((own_folder / "out" / "models").glob("*/weights.safetensors")).write_text("x")
        assert main(words) == 2
        assert "delete the folder, and it is trained anew" in capsys.readouterr().err

    def test_a_model_that_did_not_learn_gets_no_verdict(
        self, microscopy: Path, own_folder: Path
    ) -> None:
        words = ["synthesis", "--root", str(microscopy), "--splits", "1", *SMALL, "-o", "out"]
        assert main([*words, "--lr", "1e-9", "--views", "bi,u,ga", "ma,u,ga"]) == 0
        assert "a task model did not learn" in (own_folder / "out" / "report.html").read_text()

    def test_training_views_are_always_tested(self, microscopy: Path, own_folder: Path) -> None:
        words = ["synthesis", "--root", str(microscopy), "--splits", "1", *SMALL, "-o", "out"]
        assert main([*words, "--train-views", "bi,u,ga", "--test-views", "ma,u,ga"]) == 0
        results = json.loads((own_folder / "out" / "results.json").read_text())
        tested = [(cell["train_view"], cell["test_view"]) for cell in results["cells"]]
        assert tested == [("bi,u,ga", "bi,u,ga"), ("bi,u,ga", "ma,u,ga")]

    def test_label_of_an_unknown_class(
        self, own_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["--count", "9", "--size", "32", "--workers", "1", "--root", "broken"]
        assert main(["data", "generate", "microscopy", *words]) == 0
        capsys.readouterr()
        labels = Path("broken/microscopy/labels/Ma190c_annotations.dat")
        good = labels.read_text()
        labels.write_text(good.replace(" LYT\n", " LTY\n", 1))
        message = fails(["train", "--root", "broken", "-o", "out"], capsys)
        assert f"{labels}:" in message
        assert "unknown class 'LTY'" in message
        labels.write_text(good)
        next(Path("broken/microscopy/images/raw_scale100").iterdir()).unlink()
        assert "no such file" in fails(["train", "--root", "broken", "-o", "out"], capsys)
        assert not Path("out").exists()


class TestTrain:
    def test_neural_pipeline(self, microscopy: Path, own_folder: Path) -> None:
        words = ["train", "--root", str(microscopy), "--view", "neural", "--splits", "1", *SMALL]
        assert main([*words, "--pipeline", "parametrized", "-o", "out"]) == 0
        # A table of a network's weights would be no use to anyone.
        assert json.loads((own_folder / "out/results.json").read_text())["pipeline"] == [{}]
        assert "The learned pipeline" not in (own_folder / "out/report.html").read_text()

    @pytest.mark.parametrize("pipeline", ["static", "parametrized"])
    def test_folder_of_a_run(self, microscopy: Path, own_folder: Path, pipeline: str) -> None:
        words = ["train", "--root", str(microscopy), "--pipeline", pipeline, *SMALL, "-o", "out"]
        assert main(words) == 0
        results = json.loads((own_folder / "out" / "results.json").read_text())
        assert 0 <= results["metrics"]["accuracy"]["mean"] <= 1
        assert ("pipeline" in results) == (pipeline == "parametrized")
        page = (own_folder / "out" / "report.html").read_text()
        assert ("The learned pipeline" in page) == (pipeline == "parametrized")

    def test_a_second_call_trains_nothing(
        self, microscopy: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ["train", "--root", str(microscopy), *SMALL, "-o", "out"]
        assert main(words) == 0
        first = (own_folder / "out" / "results.csv").read_bytes()
        monkeypatch.setattr(
            "raw2logit.tasks.training._fit", lambda *_: pytest.fail("trained again")
        )
        assert main(words) == 0
        assert (own_folder / "out" / "results.csv").read_bytes() == first


def _read_png(path: Path, bits: int) -> np.ndarray:
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).asDirect()
    assert (info["bitdepth"], info["planes"]) == (bits, 3)
    return np.stack([np.asarray(row) for row in rows]).reshape(height, width, 3)
