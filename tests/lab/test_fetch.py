"""What a lab keeps of a run comes into a folder, whole or not at all."""

from __future__ import annotations

import pickle
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

import raw2logit as r2l
from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab.fetch import fetch_run, fetched_splits, find_run
from raw2logit.lab.tracking import RUN_TAG
from tests.lab.kept import Bomb, a_dataset, a_task, keep_run, mosaics, plant

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder_lab(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a SQLite lab without a server."""
    return f"sqlite:///{tmp_path_factory.mktemp('folder-lab')}/mlflow.db"


@pytest.fixture(params=["folder_lab", "lab_server"])
def lab(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def bare(folder_lab: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A run that keeps a file and no models: its lab and its id."""
    client = mlflow.MlflowClient(folder_lab)
    folder = tmp_path_factory.mktemp("bare")
    return folder_lab, keep_run(client, folder, name="bare", tasks=[])[0]


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@torch.no_grad()
def test_models_of_all_splits(lab: str, tmp_path: Path) -> None:
    tasks = [a_task(), a_task(seed=1)]
    client = mlflow.MlflowClient(lab)
    parent, children = keep_run(client, tmp_path / "run", name="two splits", tasks=tasks)
    out = tmp_path / "out"
    files = fetch_run("two splits", out, tracking_uri=lab)
    assert [str(file.relative_to(out)) for file in files] == [
        "split-1/pipeline/pipeline.safetensors",
        "split-1/task/task.safetensors",
        "split-2/pipeline/pipeline.safetensors",
        "split-2/task/task.safetensors",
    ]
    assert below(out) == {str(file.relative_to(out)) for file in files}
    for number, task in enumerate(tasks, start=1):
        place = out / f"split-{number}"
        assert torch.equal(
            r2l.load_task(place)(r2l.load_pipeline(place)(mosaics())), task(mosaics())
        )
    with pytest.raises(InputError, match=r"several splits: name one of .*split-1; .*split-2"):
        r2l.load_task(out)
    # A split by itself, and one model alone.
    alone = tmp_path / "alone"
    fetch_run(children[1], alone, what="task", tracking_uri=lab)
    assert below(alone) == {"task/task.safetensors"}
    assert torch.equal(r2l.load_task(alone).view_mean, tasks[1].view_mean)
    # Everything, and what it is told.
    told: list[tuple[str, int, int]] = []
    whole = tmp_path / "whole"
    fetch_run(
        parent[:8], whole, what="all", tracking_uri=lab, progress=lambda *step: told.append(step)
    )
    assert (
        below(whole)
        == below(tmp_path / "run")
        == {
            "splits.json",
            *(
                f"split-{number}/{name}"
                for number in (1, 2)
                for name in (
                    *(
                        f"pipeline/{file}"
                        for file in ("pipeline.safetensors", "MLmodel", "README.md")
                    ),
                    *(f"task/{file}" for file in ("task.safetensors", "MLmodel", "README.md")),
                    "stages/epoch 1.png",
                )
            ),
        }
    )
    for name in below(whole):
        assert (whole / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    assert [done for _, done, _ in told] == list(range(len(below(whole)) + 1))


def test_what_is_no_place_for_files(bare: tuple[str, str], tmp_path: Path) -> None:
    lab, run = bare
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"file: is a file: name a folder"):
        fetch_run(run, tmp_path / "file", what="all", tracking_uri=lab, overwrite=True)
    (tmp_path / "splits.json").mkdir()
    with pytest.raises(InputError, match=r"splits.json: is a folder: move it"):
        fetch_run(run, tmp_path, what="all", tracking_uri=lab, overwrite=True)
    assert below(tmp_path) == {"file"}


def test_files_that_are_there_stay(bare: tuple[str, str], tmp_path: Path) -> None:
    lab, run = bare
    mine = tmp_path / "splits.json"
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"splits.json: is there already .* --overwrite"):
        fetch_run(run, tmp_path, what="all", tracking_uri=lab)
    assert mine.read_text() == "mine"
    fetch_run(run, tmp_path, what="all", tracking_uri=lab, overwrite=True)
    assert mine.read_text() == "[]"
    assert below(tmp_path) == {"splits.json"}


def test_what_a_run_does_not_keep(bare: tuple[str, str], tmp_path: Path) -> None:
    lab, run = bare
    with pytest.raises(
        MissingDataError,
        match=rf"run {run} \(bare\): keeps no task model: it has splits.json; get .* --what all",
    ):
        fetch_run(run, tmp_path / "out", what="task", tracking_uri=lab)
    assert not (tmp_path / "out").exists()


def test_runs_are_found_by_id_beginning_and_name(folder_lab: str, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(folder_lab)
    experiment = client.create_experiment("names")

    def make(name: str, **tags: str) -> str:
        run_tags = {key.replace("__", "."): value for key, value in tags.items()}
        return str(client.create_run(experiment, run_name=name, tags=run_tags).info.run_id)

    def find(name: str) -> str:
        return str(find_run(client, name).info.run_id)

    first = make("it's mine", raw2logit__run="e" * 32)
    child = make("it's mine", mlflow__parentRunId=first, raw2logit__run="e" * 32)
    assert find("it's mine") == find(first) == find(first[:6]) == find("e" * 32) == first
    assert find(child) == child
    second = make("it's mine")
    with pytest.raises(
        InputError,
        match=rf"2 are meant: name one of {second} \(it's mine, 20..-..-.. ..:.. UTC\); {first} ",
    ):
        find("it's mine")
    for name in (first[:5], "none", "%", "it_s mine", "0" * 32, "f" * 6, ""):
        with pytest.raises(MissingDataError, match=r"`raw2logit lab runs` lists them"):
            find(name)
    with pytest.raises(InputError, match="give its id"):
        find("a'b\"c")
    assert client.get_run(first).data.tags[RUN_TAG] == "e" * 32


@pytest.mark.parametrize(
    "path",
    ["../evil", "/etc/evil", "a/../../evil", "..", "a\\..\\evil", "C:evil", "a\nb", "x/y", ""],
)
def test_names_that_lead_elsewhere(
    path: str, bare: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, run = bare
    monkeypatch.setattr(
        LocalArtifactRepository, "list_artifacts", lambda *_: [FileInfo(path, False, 1)]
    )
    with pytest.raises(InputError, match="has a name that is not safe"):
        fetch_run(run, tmp_path / "out", what="all", tracking_uri=lab)
    assert not (tmp_path / "out").exists()


def test_folders_without_end(
    bare: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, run = bare

    def deeper(_: object, path: str | None = None) -> list[FileInfo]:
        return [FileInfo(f"{path}/a" if path else "a", True, None)]

    monkeypatch.setattr(LocalArtifactRepository, "list_artifacts", deeper)
    with pytest.raises(InputError, match="too deep"):
        fetch_run(run, tmp_path / "out", what="all", tracking_uri=lab)


def test_links_are_refused(folder_lab: str, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(folder_lab)
    run, _ = keep_run(client, tmp_path / "run", name="links", tasks=[])
    place = Path(client.get_run(run).info.artifact_uri.removeprefix("file://"))
    (tmp_path / "secret").write_text("secret")
    (place / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"'notes.txt' is a symbolic link"):
        fetch_run(run, tmp_path / "out", what="all", tracking_uri=folder_lab)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["short", "broken"])
def test_nothing_half_is_left(
    fault: str, lab_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow.MlflowClient(lab_server)
    run, _ = keep_run(client, tmp_path / "run", name=f"half {fault}", tasks=[a_task()])
    download = MlflowArtifactsRepository._download_file

    def fail(self: ArtifactRepository, remote_file_path: str, local_path: str) -> None:
        download(self, remote_file_path, local_path)
        if remote_file_path.endswith("task.safetensors"):
            Path(local_path).write_bytes(Path(local_path).read_bytes()[:1000])
            if fault == "broken":
                raise ConnectionError("the line went down")

    monkeypatch.setattr(MlflowArtifactsRepository, "_download_file", fail)
    out = tmp_path / "out"
    message = "came with 1000 of .* bytes" if fault == "short" else "the line went down"
    with pytest.raises(InputError, match=message):
        fetch_run(run, out, tracking_uri=lab_server)
    assert below(out) == {"split-1/pipeline/pipeline.safetensors"}
    monkeypatch.undo()
    fetch_run(run, out, tracking_uri=lab_server, overwrite=True)
    assert r2l.load_task(out).name == "timm:test_resnet"


def test_the_splits_of_a_run(bare: tuple[str, str], tmp_path: Path) -> None:
    lab, run = bare
    for address in (f"runs:/{run}", "runs:/bare"):
        with fetched_splits(address, tracking_uri=lab) as path:
            assert path.name == "splits.json"
            assert path.read_text() == "[]"
        assert not path.parent.exists()
    client = mlflow.MlflowClient(lab)
    _, (child,) = keep_run(client, tmp_path, name="no splits", tasks=[a_task()])
    with (
        pytest.raises(MissingDataError, match=rf"runs:/{child}: keeps no splits.json"),
        fetched_splits(f"runs:/{child}", tracking_uri=lab),
    ):
        pass


def test_a_lab_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no answer"):
        fetch_run("any", tmp_path / "out", tracking_uri="http://127.0.0.1:9")


def test_what_is_planted_is_fetched_at_most_and_never_run(lab: str, tmp_path: Path) -> None:
    marker, run = tmp_path / "marker", tmp_path / "run"
    client = mlflow.MlflowClient(lab)
    parent, (child,) = keep_run(
        client, run, name="planted", tasks=[a_task()], dataset=a_dataset(), experiment="planted"
    )
    for kind in ("pipeline", "task"):
        plant(run / "split-1" / kind, marker)
        client.log_artifacts(child, str(run / "split-1" / kind), kind)
    models, whole = tmp_path / "models", tmp_path / "whole"
    fetch_run(parent, models, tracking_uri=lab)
    assert below(models) == {
        "split-1/pipeline/pipeline.safetensors",
        "split-1/task/task.safetensors",
    }
    fetch_run(parent, whole, what="all", tracking_uri=lab)
    assert (whole / "split-1/task/model.pkl").is_file()
    for place in (models, whole):
        r2l.load_task(place)(r2l.load_pipeline(place)(mosaics()))
    # One that took the place of a model.
    (run / "task.safetensors").write_bytes(pickle.dumps(Bomb(marker)))
    client.log_artifact(child, str(run / "task.safetensors"), "task")
    fetch_run(parent, models, tracking_uri=lab, overwrite=True)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        r2l.load_task(models)
    assert not marker.exists()
