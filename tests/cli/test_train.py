"""``raw2logit train``: what a run keeps, where it begins, and how it goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from pathlib import Path

import mlflow
import pytest
import torch
import yaml

import raw2logit as r2l
from raw2logit.cli import main
from raw2logit.files import find_leftovers
from raw2logit.lab.record import read_history, read_run, read_splits_of
from raw2logit.report._claim import lock, unlock
from tests.tasks.data import TINY_MODEL_FILE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SMALL = ["--epochs", "2", "--batch-size", "8", "--accelerator", "cpu"]


@pytest.fixture(scope="module")
def microscopy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    words = ["--size", "32", "--workers", "1", "--root", str(root)]
    assert main(["data", "generate", "microscopy", "--count", "48", *words]) == 0
    assert main(["data", "generate", "drone", "--count", "12", *words]) == 0
    return root


def train(root: Path, *words: str) -> int:
    """Train a model so small that it costs no time."""
    Path("tiny.py").write_text(TINY_MODEL_FILE)
    return train_resnet(root, "--model", "tiny.py:Tiny", *words)


def train_resnet(root: Path, *words: str) -> int:
    return main(["train", "--root", str(root), *SMALL, *words])


def lab() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{Path('runs/lab/mlflow.db').resolve()}")


def runs_of(experiment: str) -> list[mlflow.entities.Run]:
    found = lab().get_experiment_by_name(experiment)
    assert found is not None
    return list(lab().search_runs([found.experiment_id]))


def test_a_run_keeps_everything_and_the_lab_has_it(microscopy: Path, own_folder: Path) -> None:
    words = ["--pipeline", "parametrized", "--splits", "2", "--track-processing"]
    words += ["--track-processing-gradients", "--track-predictions", "--track-differences"]
    words += ["--track-save-tensors", "--track-every-epoch", "--track-n-images", "2"]
    assert train(microscopy, *words, "--run-name", "my run", "--experiment_name", "mine") == 0
    (out,) = (path for path in Path("runs").iterdir() if path.name != "lab")
    assert out.name.startswith("my-run-")
    record = read_run(out)
    assert (record.status, record.experiment, record.name) == ("finished", "mine", "my run")
    splits = read_splits_of(out)
    assert [split.status for _, split in splits] == ["finished", "finished"]
    kept = {
        *(f"stages/epoch-000{n}.png" for n in range(3)),
        *(f"differences/epoch-000{n}.png" for n in range(3)),
        *(f"predictions/epoch-000{n}.{kind}" for n in range(3) for kind in ("png", "csv")),
        *(f"tensors/epoch-000{n}.safetensors" for n in range(3)),
        *("animation.gif", "history.csv", "splits.json", "split.json"),
        *("pipeline/pipeline.safetensors", "task/task.safetensors"),
    }
    for place, _ in splits:
        assert kept <= {str(path.relative_to(place)) for path in place.rglob("*")}
        rows = read_history(place)
        assert [row["epoch"] for row in rows] == [0, 1, 2]
        assert {"val_loss", "val_accuracy", "train_loss", "gradient_norm.gamma"} <= set(rows[2])
    runs = runs_of("mine")
    parent = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert len(children) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {item.path for item in lab().list_artifacts(parent.info.run_id)} >= {
        *("config.yaml", "results.csv", "results.json", "report.html", "splits.json"),
    }
    for run in children:
        assert run.data.params["view"] == "bi,s,ga"
        assert run.data.params["lr"] == "0.001"
        assert run.data.params["data_fingerprint"] == record.params["data_fingerprint"]
        assert "version.torch" in run.data.params
        place, split = splits[int(run.data.params["split"]) - 1]
        assert run.data.metrics["test_accuracy"] == split.metrics["test_accuracy"]
        history = lab().get_metric_history(run.info.run_id, "val_loss")
        assert [(point.step, point.value) for point in history] == [
            (int(row["epoch"]), row["val_loss"]) for row in read_history(place) if "val_loss" in row
        ]
    assert {str(model.name) for model in lab().search_registered_models()} == {
        *("my run pipeline", "my run task"),
    }
    isp = r2l.load_pipeline(splits[0][0])
    model = r2l.load_task(splits[0][0], model="tiny.py:Tiny")
    data = r2l.RawMicroscopy(microscopy)
    assert model.predict(isp(data[0][0][None])).shape == (1,)
    assert model.classes == data.classes


def test_what_a_user_has_in_the_folder_stays_there(microscopy: Path, own_folder: Path) -> None:
    Path("secret.txt").write_text("not of this run")
    assert train(microscopy, "-o", ".") == 0
    (run,) = (
        run
        for run in runs_of("1 Controlled synthesis of hardware-drift test cases (Train)")
        if "mlflow.parentRunId" not in run.data.tags
    )
    names = {item.path for item in lab().list_artifacts(run.info.run_id)}
    assert "config.yaml" in names
    assert "secret.txt" not in names
    assert not names & {"runs", "models"}


def test_the_same_options_go_on_in_the_same_run(microscopy: Path, own_folder: Path) -> None:
    assert train(microscopy, "-o", "out") == 0
    first = read_run(Path("out"))
    assert train(microscopy, "-o", "out") == 0
    assert read_run(Path("out")).id == first.id
    assert train(microscopy, "-o", "out", "--lr", "0.002") == 0
    assert read_run(Path("out")).id != first.id


def test_resume_takes_the_options_of_the_run(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(microscopy, "-o", "out", "--view", "ma,u,ga", "--lr", "0.003") == 0
    before = Path("out/results.csv").read_bytes()
    first = read_run(Path("out"))
    (Path("out/results.csv")).unlink()
    assert main(["train", "--resume", "-o", "out"]) == 0
    assert Path("out/results.csv").read_bytes() == before
    assert read_run(Path("out")).id == first.id
    capsys.readouterr()
    assert main(["train", "--resume", "-o", "out", "--view", "ma,u,me"]) == 2
    message = capsys.readouterr().err
    assert "config.yaml says view ma,u,ga, not ma,u,me: leave the option out" in message
    assert main(["train", "--resume", "-o", "elsewhere"]) == 2
    assert "elsewhere holds no run to resume" in capsys.readouterr().err
    assert train(microscopy, "--resume") == 2
    assert "holds no run to resume" in capsys.readouterr().err


def test_options_from_a_file(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text(
        yaml.safe_dump(
            {
                **{"root": str(microscopy), "epochs": 1, "batch-size": 8, "view": "bi,u,ga"},
                **{"split_scheme": "random", "track-processing": True, "accelerator": "cpu"},
            }
        )
    )
    assert main(["train", "--config", "mine.yaml", "--view", "ma,u,ga", "-o", "out"]) == 0
    config = yaml.safe_load(Path("out/config.yaml").read_text())
    assert (config["view"], config["epochs"], config["split_scheme"]) == ("ma,u,ga", 1, "random")
    assert len(list(Path("out/split-1/stages").iterdir())) == 1
    # What a run writes is what it can be made of.
    assert main(["train", "--config", "out/config.yaml", "-o", "again"]) == 0
    assert yaml.safe_load(Path("again/config.yaml").read_text()) == config
    capsys.readouterr()
    for text, message in (
        ("epoch: 3", "epoch"),
        ("data: drone", "data generate drone"),
        ("train: 3", 'Unknown option: "[train]"'),
        ("data: {a: 1}", "data is no plain value"),
        ("config: mine.yaml", "names another file"),
        ("epochs: many", "Invalid value for [epochs] from bad.yaml"),
        ("- a", "expected lines of `option: value`"),
        ("a: [", "no YAML"),
    ):
        Path("bad.yaml").write_text(text)
        assert main(["train", "--root", "nowhere", "--config", "bad.yaml"]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert main(["train", "--config", "gone.yaml"]) == 2
    assert "gone.yaml: no such file" in capsys.readouterr().err


def test_a_training_may_begin_at_models_of_another(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_resnet(microscopy, "-o", "one", "--pipeline", "parametrized") == 0
    words = ["--model-from", "one", "--pipeline-from", "one/split-1/pipeline", "--lr", "1e-12"]
    assert train_resnet(microscopy, "-o", "two", *words) == 0
    one, two = (r2l.load_task(name).state_dict() for name in ("one", "two"))
    for name, value in one.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(value, two[name], rtol=0, atol=1e-6)
    raw = r2l.RawMicroscopy(microscopy)[0][0][None]
    views = [r2l.load_pipeline(name)(raw) for name in ("one", "two")]
    torch.testing.assert_close(*views)
    run = runs_of("3 Image processing customization (Microscopy)")[0].info.run_id
    child = next(
        found.info.run_id
        for found in runs_of("3 Image processing customization (Microscopy)")
        if "mlflow.parentRunId" in found.data.tags
    )
    words = ["--model-from", f"runs:/{child}", "--splits-from", f"runs:/{run}", "--attack"]
    assert train_resnet(microscopy, "-o", "three", *words) == 0
    assert Path("three/splits.json").read_bytes() == Path("one/splits.json").read_bytes()
    assert len(list(Path("three/models").iterdir())) == 1
    capsys.readouterr()
    assert train_resnet(microscopy, "--model-from", "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_attack(microscopy: Path, own_folder: Path) -> None:
    words = ["--attack", "--attack-parameters", "gamma", "white_balance", "--attack-weight", "0"]
    assert train(microscopy, "-o", "out", *words, "--pipeline-lr", "0.05") == 0
    results = json.loads(Path("out/results.json").read_text())
    assert {"metrics", "metrics_before_attack"} <= set(results)
    changed = results["pipeline"][0]
    default = r2l.parametrized_pipeline(r2l.Camera.preset("microscopy"))
    assert changed["gamma.gamma"] != [pytest.approx(2.2)]
    kernel = default.steps["sharpen"].kernel.flatten().tolist()  # type: ignore[union-attr,operator]
    assert changed["sharpen.kernel"] == kernel
    page = Path("out/report.html").read_text()
    assert "attacked:" in page
    assert "An attack by gradient finds a bad pipeline, not the worst one" in page
    (place, split) = read_splits_of(Path("out"))[0]
    assert {"test_accuracy", "test_accuracy_before_attack"} <= set(split.metrics)
    assert "val_distance" in read_history(place)[-1]
    assert runs_of("2 Modular hardware-drift forensics")


def test_a_lab_that_is_down_costs_nothing_but_a_warning(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(action="always", category=UserWarning):
        assert train(microscopy, "-o", "out", "--tracking-uri", "http://127.0.0.1:9") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(told) == 2  # when the run goes on without the lab, and at its end
    assert all("raw2logit lab import out" in line for line in told)
    assert read_run(Path("out")).status == "finished"
    assert main(["lab", "import", "out"]) == 0
    assert len(runs_of(read_run(Path("out")).experiment)) == 2


def test_a_run_that_fails_is_marked(
    microscopy: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raw2logit.report import training

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "write_report", full_disk)
    assert train(microscopy, "-o", "out") == 2
    assert read_run(Path("out")).status == "failed"


@pytest.mark.parametrize(
    ("words", "without"),
    [
        (["--attack-weight", "3"], "--attack"),
        (["--attack-layer"], "--attack"),
        (["--track-every-epoch"], "--track-processing or the like"),
        (["--track-n-images", "2"], "--track-processing or the like"),
        (["--pipeline-lr", "0.3"], "--pipeline parametrized"),
    ],
)
def test_options_that_change_nothing_are_told_of(
    microscopy: Path,
    own_folder: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    without: str,
) -> None:
    with warnings.catch_warnings(action="always", category=UserWarning):
        assert train(microscopy, "--freeze-model", *words) == 2  # so it ends before it begins
    assert f"warning: {words[0]} has no effect without {without}" in capsys.readouterr().err


def test_models_that_do_not_fit_the_data(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(microscopy, "-o", "one") == 0
    camera = dataclasses.replace(r2l.Camera.preset("microscopy"), cfa="GRBG")
    r2l.save_pipeline(r2l.static_pipeline(camera), "other.safetensors")
    images = sorted(microscopy.rglob("*.tiff"))[:18]
    for number, image in enumerate(images):
        place = Path("others", f"kind{number % 9}")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, place)
    others = ["--data", "folder:others", "--camera", "microscopy", "--split-by", "image"]
    capsys.readouterr()
    for words, message in (
        (["--pipeline-from", "other.safetensors"], "is for GRBG mosaics, but"),
        ([*others, "--model-from", "one"], "one: knows the classes BAS"),
        (
            ["--data", "drone", "--split-by", "image", "--model-from", "one"],
            "is for classification",
        ),
        (["--pipeline-from", "one", "--view", "me,u,me"], "own, which is bi,s,ga"),
        (["--attack", "--view", "bi,s,me", "--attack-parameters", "denoise"], "has bl"),
        (["--freeze-model", "--model-from", "one"], "nothing can learn"),
    ):
        root = [] if "--camera" in words else ["--root", str(microscopy)]
        assert main(["train", "--model", "tiny.py:Tiny", *SMALL, *root, *words, "-o", "two"]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1  # before any data is read
    assert not Path("two").exists()


def test_a_pipeline_that_is_given_brings_its_view(microscopy: Path, own_folder: Path) -> None:
    pipeline = r2l.parametrized_pipeline(r2l.Camera.preset("microscopy"), "me,u,ga")
    with torch.no_grad():
        pipeline.steps["gamma"].log_gamma.fill_(1.0)  # type: ignore[union-attr,operator]
    r2l.save_pipeline(pipeline, "given.safetensors")
    words = ["--pipeline-from", "given.safetensors", "--pipeline", "parametrized"]
    assert train(microscopy, *words, "--pipeline-lr", "1e-9", "-o", "out") == 0
    assert yaml.safe_load(Path("out/config.yaml").read_text())["view"] == "me,u,ga"
    page = Path("out/report.html").read_text()
    assert "view me,u,ga" in page
    assert "The training began at models of another run" in page
    row = page.partition("gamma.gamma</th>")[2].partition("</tr>")[0]
    assert row.count(">2.718<") == 2  # start and learned
    # A step of one's own: then it has no view to be called by.
    layer = r2l.isp.steps.AdditiveLayer()
    own = pipeline.inserted("additive_layer", layer, before="gamma")
    r2l.save_pipeline(own, "own.safetensors")
    assert train(microscopy, "--pipeline-from", "own.safetensors", "-o", "own") == 0
    assert main(["train", "--resume", "-o", "own"]) == 0
    assert yaml.safe_load(Path("own/config.yaml").read_text())["view"] == "own"


def test_resume_never_throws_another_run_away(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path("root")
    shutil.copytree(microscopy, root)
    assert train(root, "-o", "out") == 0
    first = read_run(Path("out"))
    labels = root / "microscopy" / "labels" / "Ma190c_annotations.dat"
    lines = labels.read_text().splitlines()
    image = next(root.rglob(f"{lines[0].split()[0]}.tiff"))
    image.write_bytes(next(root.rglob(f"{lines[1].split()[0]}.tiff")).read_bytes())
    capsys.readouterr()
    assert main(["train", "--resume", "-o", "out"]) == 2
    assert "holds another run (data_fingerprint differs)" in capsys.readouterr().err
    assert read_run(Path("out")) == first
    assert Path("out/split-1/task/task.safetensors").is_file()


def test_one_command_at_a_time(
    microscopy: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").mkdir()
    held = lock(Path("out"))
    assert train(microscopy, "-o", "out") == 2
    assert "another command is at work in it" in capsys.readouterr().err
    assert not list(Path("out").iterdir())
    unlock(held)
    assert train(microscopy, "-o", "out") == 0
    unlock(lock(Path("out")))  # a run that has ended lets others in


def test_what_others_are_writing_beside_the_run_stays(microscopy: Path, own_folder: Path) -> None:
    assert train(microscopy, "-o", ".") == 0
    other = Path("elsewhere") / ".x.raw2logit-0123abcd.txt"
    own = Path("models") / ".y.raw2logit-0123abcd.txt"
    for path in (other, own):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    assert train(microscopy, "-o", ".") == 0
    assert find_leftovers(Path()) == [other]
