"""Tracking in a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from raw2logit.lab.tracking import track_run, tracking_uri

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "run"
    (folder / "models").mkdir(parents=True)
    (folder / "results.csv").write_text("a,b\n")
    (folder / "secret.txt").write_text("not of this run")
    return folder


def test_a_run_is_found_again_with_its_files(run_folder: Path) -> None:
    run_id = track_run(
        [run_folder / "results.csv"],
        experiment="tests",
        params={"views": ["bi,s,ga"], "lr": 0.1},
        metrics={"accuracy": 0.75, "spread": None},
    )
    assert run_id is not None
    client = mlflow.MlflowClient(tracking_uri())
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"views": "['bi,s,ga']", "lr": "0.1"}
    assert run.data.metrics == {"accuracy": 0.75}
    assert [item.path for item in client.list_artifacts(run_id)] == ["results.csv"]
    assert (run_folder.parent / "runs" / "lab" / "mlflow.db").is_file()
    # A second run goes into the same experiment.
    second = track_run([run_folder / "results.csv"], experiment="tests", params={}, metrics={})
    assert second is not None
    assert client.get_run(second).info.experiment_id == run.info.experiment_id


def test_a_lab_that_cannot_be_reached_costs_a_warning_only(run_folder: Path) -> None:
    (run_folder.parent / "file").touch()
    uri = f"sqlite:///{run_folder.parent}/file/mlflow.db"
    with pytest.warns(UserWarning, match="could not be tracked .* is complete"):
        assert (
            track_run([run_folder / "results.csv"], experiment="t", params={}, metrics={}, uri=uri)
            is None
        )


def test_where_runs_are_tracked(monkeypatch: pytest.MonkeyPatch, run_folder: Path) -> None:
    assert tracking_uri() == f"sqlite:///{run_folder.parent / 'runs' / 'lab' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"
    assert tracking_uri("sqlite:///mine.db") == "sqlite:///mine.db"


def test_a_sqlite_lab_keeps_its_artifacts_beside_it(run_folder: Path) -> None:
    uri = f"sqlite:///{run_folder.parent}/mine.db"
    files = [run_folder / "results.csv"]
    assert track_run(files, experiment="t", params={}, metrics={}, uri=uri) is not None
    assert list((run_folder.parent / "artifacts").rglob("results.csv"))
    assert not (run_folder.parent / "mlruns").exists()


def test_a_run_that_cannot_be_tracked_whole_is_marked_failed(run_folder: Path) -> None:
    with pytest.warns(UserWarning, match="could not be tracked"):
        assert track_run([run_folder / "gone.csv"], experiment="t", params={}, metrics={}) is None
    client = mlflow.MlflowClient(tracking_uri())
    found = client.get_experiment_by_name("t")
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    assert run.info.status == "FAILED"
