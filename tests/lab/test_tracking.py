"""Where runs are tracked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from raw2logit.errors import MissingDataError
from raw2logit.lab.tracking import default_experiment, open_lab, tracking_uri

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_where_runs_are_tracked(monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> None:
    assert tracking_uri() == f"sqlite:///{own_folder / 'runs' / 'lab' / 'mlflow.db'}"
    assert not list(own_folder.iterdir())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"
    assert tracking_uri("sqlite:///mine.db") == "sqlite:///mine.db"
    # MLflow would take psycopg 2.
    assert tracking_uri("postgresql://me@host/lab") == "postgresql+psycopg://me@host/lab"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgres://me@host/lab")
    assert tracking_uri() == "postgresql+psycopg://me@host/lab"
    assert tracking_uri("postgresql+psycopg2://host/lab") == "postgresql+psycopg2://host/lab"


@pytest.mark.parametrize(
    ("kind", "attack", "learned", "data", "name"),
    [
        (
            "train",
            False,
            False,
            "drone",
            "1 Controlled synthesis of hardware-drift test cases (Train)",
        ),
        (
            "synthesis",
            False,
            False,
            "drone",
            "1 Controlled synthesis of hardware-drift test cases (Test)",
        ),
        ("train", True, True, "microscopy", "2 Modular hardware-drift forensics"),
        ("train", False, True, "microscopy", "3 Image processing customization (Microscopy)"),
        ("train", False, True, "drone-classification", "3 Image processing customization (Drone)"),
        ("train", False, True, "folder:drone", "3 Image processing customization"),
    ],
)
def test_the_published_map_of_experiments(
    kind: str, attack: bool, learned: bool, data: str, name: str
) -> None:
    assert default_experiment(kind, attack=attack, learned=learned, data=data) == name


def test_a_database_that_cannot_be_opened_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(SQLAlchemyError, match="unable to open"):
        open_lab(f"sqlite:///{tmp_path}/mlflow.db")


def test_only_who_tracks_makes_a_lab(own_folder: Path) -> None:
    with pytest.raises(MissingDataError, match=r"runs/lab/mlflow\.db: no such lab: run"):
        open_lab(tracking_uri())
    assert not list(own_folder.iterdir())
    open_lab(tracking_uri(), make=True)
    assert open_lab(tracking_uri()).search_runs(["0"]) == []


def test_no_word_of_it_goes_to_the_makers_of_mlflow() -> None:
    code = "import raw2logit.lab, mlflow.telemetry as t; print(t.get_telemetry_client())"
    # Where tests run, MLflow is silent by itself.
    names = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "PYTEST_CURRENT_TEST", "MLFLOW_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "None\n"
