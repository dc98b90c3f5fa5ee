"""``raw2logit lab import`` through the real entry point."""

from __future__ import annotations

import uuid
from pathlib import Path

import mlflow
import pytest

from raw2logit.cli import main
from raw2logit.lab.record import RunRecord, SplitRecord, split_folder, write_record
from raw2logit.lab.tracking import tracking_uri
from tests.lab.servers import free_port

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def make_run(folder: Path, experiment: str = "E") -> Path:
    record = RunRecord(
        id=uuid.uuid4().hex,
        kind="train",
        experiment=experiment,
        name=folder.name,
        started="2026-01-02T03:04:05+00:00",
        status="finished",
    )
    write_record(folder, record)
    write_record(split_folder(folder, 1), SplitRecord(number=1, status="finished"))
    return folder


def test_runs_are_brought_in_and_one_that_fails_stops_no_other(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("runs/a", "runs/deep/b", "runs/c"):
        make_run(Path(name))
    (Path("runs/b") / "models").mkdir(parents=True)
    broken = Path("runs/c/run.json")
    whole = broken.read_text()
    broken.write_text("{")
    assert main(["lab", "import", "runs"]) == 2
    out, err = capsys.readouterr()
    ids, folders = zip(*(line.split(" ", 1) for line in out.splitlines()), strict=True)
    assert folders == ("runs/a", "runs/deep/b")
    (line,) = (line for line in err.splitlines() if not line.startswith("["))
    assert line.startswith("raw2logit: runs/c: runs/c/run.json: broken")
    # What the lab keeps in runs/lab/artifacts is no run, and all can be repeated.
    broken.write_text(whole)
    assert main(["lab", "import", "runs", "runs/a"]) == 0
    again = [line.split(" ", 1) for line in capsys.readouterr().out.splitlines()]
    assert [folder for _, folder in again] == ["runs/a", "runs/c", "runs/deep/b", "runs/a"]
    assert (again[0][0], again[2][0], again[3][0]) == (*ids, ids[0])
    client = mlflow.MlflowClient(tracking_uri())
    found = client.get_experiment_by_name("E")
    assert found is not None
    assert len(client.search_runs([found.experiment_id])) == 6


def test_bad_input_is_one_line(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    nobody = f"http://127.0.0.1:{free_port()}"
    for words, line in (
        (["nothing"], "nothing: no run in it"),
        (["empty"], "empty: no run in it"),
        ([str(make_run(Path("run"))), "--tracking-uri", nobody], f"run: {nobody}: no answer"),
    ):
        assert main(["lab", "import", *words]) == 2
        (said,) = [
            text for text in capsys.readouterr().err.splitlines() if not text.startswith("[")
        ]
        assert said.startswith(f"raw2logit: {line}")
