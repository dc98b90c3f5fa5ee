"""Pipeline and task model as artifacts: written, found again and loaded, and nothing is run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import torch

import raw2logit as r2l
from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab.artifacts import Artifacts
from raw2logit.lab.models import register_models, registered_name, write_models
from raw2logit.lab.tracking import RUN_TAG, SPLIT_TAG
from raw2logit.tasks.base import RawTask
from tests.lab.kept import (
    MODELS,
    Bomb,
    a_dataset,
    a_task,
    keep_run,
    mosaics,
    plant,
    write_torch_archive,
)

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder_lab(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a SQLite lab without a server."""
    return f"sqlite:///{tmp_path_factory.mktemp('folder-lab')}/mlflow.db"


@pytest.fixture(params=["folder", "server"])
def lab(request: pytest.FixtureRequest) -> str:
    return str(
        request.getfixturevalue(
            f"{request.param}_lab" if request.param == "folder" else "lab_server"
        )
    )


@pytest.fixture(scope="module")
def task() -> RawTask:
    return a_task()


def same(pipeline: r2l.Pipeline, model: torch.nn.Module, task: RawTask) -> bool:
    return torch.equal(model(pipeline(mosaics())), task(mosaics()))


def test_a_folder_as_written_loads_in_any_way(task: RawTask, tmp_path: Path) -> None:
    split = tmp_path / "run" / "split-1"
    files = write_models(task, a_dataset(), split)
    assert files == [split / "pipeline/pipeline.safetensors", split / "task/task.safetensors"]
    for kind in ("pipeline", "task"):
        names = {"MLmodel", "README.md", f"{kind}.safetensors"}
        assert {path.name for path in (split / kind).iterdir()} == names
        said = mlflow.models.Model.load(str(split / kind))
        assert said.flavors["python_function"]["loader_module"] == "raw2logit.lab.models"
        assert said.flavors["raw2logit"]["kind"] == kind
        assert said.signature is not None
    for place in (tmp_path / "run", split, str(split)):
        assert same(r2l.load_pipeline(place), r2l.load_task(place), task)
    assert same(r2l.load_pipeline(split / "pipeline"), r2l.load_task(split / "task"), task)
    assert same(r2l.load_pipeline(files[0]), r2l.load_task(str(files[1])), task)
    # A resumed run writes again.
    assert write_models(task, a_dataset(), split) == files


def test_folders_without_a_model_or_with_several(task: RawTask, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="gone: no such file or folder"):
        r2l.load_pipeline(tmp_path / "gone")
    with pytest.raises(MissingDataError, match="holds no task"):
        r2l.load_task(tmp_path)
    for number in (10, 2, 1):
        write_models(task, a_dataset(), tmp_path / f"split-{number}")
    both = r"several splits: name one of .*/split-1; .*/split-2; .*/split-10$"
    with pytest.raises(InputError, match=both):
        r2l.load_task(tmp_path)
    with pytest.raises(MissingDataError, match="holds no task"):
        r2l.load_task(tmp_path / "split-2" / "pipeline")


FRESH = """
import sys
from pathlib import Path
import torch
import raw2logit as r2l
folder, mosaics = Path(sys.argv[1]), torch.load(sys.argv[2], weights_only=True)
logits = {}
for run in sorted(folder.iterdir()):
    isp, model = r2l.load_pipeline(run), r2l.load_task(run)
    logits[run.name] = model(isp(mosaics))
    print(run.name, model.predict(isp(mosaics)).shape)
assert not {"mlflow", "lightning"} & set(sys.modules), "loaded for nothing"
torch.save(logits, sys.argv[3])
"""


def test_a_place_with_a_name_too_long_for_one() -> None:
    with pytest.raises(MissingDataError, match=r"^x{200}: File name too long$"):
        r2l.load_pipeline("x" * 5000)


@torch.no_grad()
def test_a_fresh_process_says_the_same(tmp_path: Path) -> None:
    for kind in MODELS:
        write_models(a_task(kind), a_dataset(kind), tmp_path / "runs" / kind)
    given, result = tmp_path / "mosaics.pt", tmp_path / "logits.pt"
    torch.save(mosaics(), given)
    command = [sys.executable, "-c", FRESH, str(tmp_path / "runs"), str(given), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    logits = torch.load(result, weights_only=True)
    assert set(logits) == set(MODELS)
    for kind in MODELS:
        torch.testing.assert_close(logits[kind], a_task(kind)(mosaics()))


@torch.no_grad()
def test_a_run_and_its_registered_models_load(lab: str, task: RawTask, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(lab)
    parent, (child,) = keep_run(client, tmp_path, name="a: run/'1'", tasks=[task])
    for _ in range(2):
        register_models(client, child, "a: run/'1'", 1)
    assert registered_name("a: run/'1'") == "a- run--1-"
    for address in (f"runs:/{parent}", f"runs:/{child}", "models:/a- run--1- {kind}/1"):
        pipeline = r2l.load_pipeline(address.format(kind="pipeline"), tracking_uri=lab)
        model = r2l.load_task(address.format(kind="task"), tracking_uri=lab)
        assert same(pipeline, model, task)
    assert r2l.load_task(f"runs:/{child}/task", tracking_uri=lab).classes == ("dark", "bright")
    (version,) = client.search_model_versions("name = 'a- run--1- task'")
    assert version.run_id == child
    assert version.tags == {SPLIT_TAG: "1"}
    # Another split is another version.
    other = a_task(seed=1)
    parent, children = keep_run(client, tmp_path / "2", name="a: run/'1'", tasks=[task, other])
    client.set_tag(children[1], RUN_TAG, "ours")
    register_models(client, children[1], "a: run/'1'", 2)
    assert client.get_model_version("a- run--1- task", "2").tags == {
        SPLIT_TAG: "2",
        RUN_TAG: "ours",
    }
    client.set_registered_model_alias("a- run--1- pipeline", "best", "1")
    latest = r2l.load_task("models:/a- run--1- task/latest", tracking_uri=lab)
    best = r2l.load_pipeline("models:/a- run--1- pipeline@best", tracking_uri=lab)
    assert torch.equal(latest(best(mosaics())), other.classify_view(task.pipeline(mosaics())))
    listed = rf"name one of runs:/{children[0]} \(split 1\); runs:/{children[1]} \(split 2\)"
    with pytest.raises(InputError, match=listed):
        r2l.load_pipeline(f"runs:/{parent}", tracking_uri=lab)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("runs:/0123456789abcdef0123456789abcdef", "0123456789abcdef"),
        ("runs:/", "named as runs:/RUN_ID"),
        ("runs:/x/pipeline", "a task is named as runs:/RUN_ID or runs:/RUN_ID/task"),
        ("models:/none/1", "none"),
        ("models:/none/latest", "no such model"),
        ("models:/none@best", "none|best"),
        ("models:/none/one", "models:/NAME/VERSION"),
        ("models:/none", "models:/NAME/VERSION"),
    ],
)
def test_addresses_of_nothing(folder_lab: str, address: str, message: str) -> None:
    with pytest.raises((InputError, MissingDataError), match=rf"^[^\n]*(?:{message})[^\n]*$"):
        r2l.load_task(address, tracking_uri=folder_lab)


def test_a_run_without_models(folder_lab: str, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(folder_lab)
    parent, _ = keep_run(client, tmp_path, name="bare", tasks=[])
    with pytest.raises(MissingDataError, match=rf"runs:/{parent}: holds no task"):
        r2l.load_task(f"runs:/{parent}", tracking_uri=folder_lab)
    register_models(client, parent, "bare", 1)
    assert not client.search_registered_models("name LIKE 'bare%'")


def test_a_file_of_a_lab_that_is_broken_is_named_by_its_address(
    folder_lab: str, task: RawTask, tmp_path: Path
) -> None:
    client = mlflow.MlflowClient(folder_lab)
    _, (child,) = keep_run(client, tmp_path, name="broken", tasks=[task])
    broken = tmp_path / "task.safetensors"
    broken.write_bytes(b"broken")
    client.log_artifact(child, str(broken), "task")
    with pytest.raises(InputError, match=rf"^runs:/{child}: cannot be read as safetensors"):
        r2l.load_task(f"runs:/{child}", tracking_uri=folder_lab)


PYFUNC = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
import mlflow
out = {}
mosaics = np.load(sys.argv[1])
for kind in ("classification", "segmentation", "regression"):
    view = mlflow.pyfunc.load_model(f"models:/pyfunc {kind} pipeline/1").predict(mosaics)
    out[kind + " view"] = view
    out[kind] = mlflow.pyfunc.load_model(f"models:/pyfunc {kind} task/1").predict(view)
np.savez(sys.argv[2], **out)
"""


@torch.no_grad()
def test_mlflow_loads_them_too_without_a_pickle(lab_server: str, tmp_path: Path) -> None:
    import numpy as np

    client = mlflow.MlflowClient(lab_server)
    for kind in MODELS:
        _, (child,) = keep_run(
            client, tmp_path / kind, name=kind, tasks=[a_task(kind)], dataset=a_dataset(kind)
        )
        register_models(client, child, f"pyfunc {kind}", 1)
    given, result = tmp_path / "given.npy", tmp_path / "said.npz"
    np.save(given, mosaics().numpy())
    done = subprocess.run(
        [sys.executable, "-c", PYFUNC, str(given), str(result)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MLFLOW_TRACKING_URI": lab_server},
    )
    assert done.returncode == 0, done.stderr
    said = np.load(result)
    for kind in MODELS:
        task = a_task(kind)
        view = task.pipeline(mosaics())
        np.testing.assert_allclose(said[f"{kind} view"], view, atol=1e-5)
        model = r2l.load_task(tmp_path / kind / "split-1")
        np.testing.assert_allclose(said[kind], model.predict(view), rtol=1e-4)


def test_the_bombs_are_live(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()
    marker.unlink()
    write_torch_archive(tmp_path / "bomb.pt", pickle.dumps(Bomb(marker)))
    torch.load(tmp_path / "bomb.pt", weights_only=False)
    assert marker.exists()


@torch.no_grad()
def test_what_is_planted_beside_a_model_is_not_run(
    lab: str, task: RawTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, run = tmp_path / "marker", tmp_path / "run"
    client = mlflow.MlflowClient(lab)
    parent, (child,) = keep_run(client, run, name="planted", tasks=[task])
    for place in (run, run / "split-1", run / "split-1" / "pipeline", run / "split-1" / "task"):
        plant(place, marker)
    client.log_artifacts(child, str(run / "split-1"))
    register_models(client, child, "planted", 1)
    monkeypatch.chdir(run / "split-1" / "task" / "code")
    for address in (str(run), f"runs:/{parent}", f"runs:/{child}", "models:/planted {}/latest"):
        pipeline = r2l.load_pipeline(address.format("pipeline"), tracking_uri=lab)
        model = r2l.load_task(address.format("task"), tracking_uri=lab)
        assert same(pipeline, model, task)
    assert not marker.exists()


@pytest.mark.parametrize("archive", [False, True], ids=["pickle", "torch"])
@pytest.mark.parametrize("kind", ["pipeline", "task"])
def test_a_pickle_in_place_of_a_model_is_not_run(
    lab: str, kind: str, archive: bool, task: RawTask, tmp_path: Path
) -> None:
    marker, run = tmp_path / "marker", tmp_path / "run"
    name = f"bomb {kind} {archive}"
    _, (child,) = keep_run(mlflow.MlflowClient(lab), run, name=name, tasks=[task])
    client = mlflow.MlflowClient(lab)
    file = run / "split-1" / kind / f"{kind}.safetensors"
    file.write_bytes(pickle.dumps(Bomb(marker)))
    if archive:
        write_torch_archive(file, file.read_bytes())
    client.log_artifact(child, str(file), kind)
    register_models(client, child, name, 1)
    load = r2l.load_pipeline if kind == "pipeline" else r2l.load_task
    places = (file, file.parent, run, f"runs:/{child}", f"models:/{name} {kind}/1")
    for place in places:
        with pytest.raises(InputError, match="cannot be read as safetensors"):
            load(place, tracking_uri=lab)
    assert not marker.exists()


def test_a_link_in_a_lab_is_not_followed(folder_lab: str, task: RawTask, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(folder_lab)
    _, (child,) = keep_run(client, tmp_path, name="linked", tasks=[task])
    place = Path(client.get_run(child).info.artifact_uri.removeprefix("file://"))
    secret = (place / "task" / "task.safetensors").rename(tmp_path / "secret")
    (place / "task" / "task.safetensors").symlink_to(secret)
    with pytest.raises(InputError, match=r"'task/task.safetensors' is a symbolic link"):
        r2l.load_task(f"runs:/{child}", tracking_uri=folder_lab)
    (place / "pipeline").rename(tmp_path / "elsewhere")
    (place / "pipeline").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"'pipeline.* is a symbolic link"):
        r2l.load_pipeline(f"runs:/{child}", tracking_uri=folder_lab)


@pytest.mark.parametrize(
    "uri", ["http://elsewhere.invalid/x", "mlflow-artifacts://elsewhere.invalid/x"]
)
def test_another_server_is_not_shown_the_password(uri: str) -> None:
    with pytest.raises(InputError, match=r"another server \(elsewhere.invalid\)"):
        Artifacts(uri, "http://127.0.0.1:1", "run 1")
