"""A lab for all tests of this folder; starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import shared
from tests.lab.servers import mlflow_server


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``mlflow.db`` of `lab_server`."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def lab_server(lab_folder: Path) -> Iterator[str]:
    """Address of a real MLflow server with SQLite; tests share it, so each names its own runs."""
    with mlflow_server(lab_folder) as address:
        yield address


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[shared.Lab]:
    """A lab as ``raw2logit lab up --shared`` starts it; tests share it."""
    with shared.running_lab(tmp_path_factory.mktemp("shared") / "lab") as lab:
        yield lab
