"""A shared lab for tests: adam administrates, olga owns, rita reads, edna is to be an editor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests

from raw2logit.cli import main
from tests.lab.servers import free_port, running

PASSWORDS = {
    "adam": "first-in-the-garden",
    "olga": "owner-of-the-runs",
    "rita": "reads-what-is-there",
    "edna": "edits-what-she-may",
}


@dataclass
class Lab:
    """A running lab and what olga keeps there."""

    address: str
    folder: Path
    experiment: str = ""
    run: str = ""
    model: str = "olga's run pipeline"
    # The reader's own, to hide behind.
    own_experiment: str = ""
    own_run: str = ""

    def send(self, method: str, path: str, name: str | None, **how: Any) -> requests.Response:  # noqa: ANN401
        login = (name, PASSWORDS[name]) if name else None
        return requests.request(method, f"{self.address}{path}", auth=login, timeout=20, **how)


@contextmanager
def acting(name: str, password: str | None = None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", name)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", password or PASSWORDS[name])
        yield


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Run a shared lab; yields it with what olga and rita track there."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    words = ["lab", "up", "--shared", "--folder", str(folder), "--port", str(port)]
    words += ["--host", "127.0.0.1", "--allowed-hosts", "lab.example.org"]
    command = [
        sys.executable,
        "-c",
        "import sys; from raw2logit.cli import main; main(sys.argv[1:])",
    ]
    first = {
        "MLFLOW_AUTH_ADMIN_USERNAME": "adam",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["adam"],
    }
    log = folder.parent / "log"
    with running([*command, *words], f"{address}/health", log, first):
        made = Lab(address, folder)
        for name in ("olga", "rita", "edna"):
            with acting("adam"), pytest.MonkeyPatch.context() as patch:
                patch.setenv("RAW2LOGIT_LAB_PASSWORD", PASSWORDS[name])
                assert main(["lab", "account", name, "--tracking-uri", address]) == 0
        with acting("olga"):
            made.experiment, made.run = track(made, "olga's")
            client = mlflow.MlflowClient(address)
            client.create_registered_model(made.model)
            client.create_model_version(made.model, f"runs:/{made.run}/a.txt", made.run)
        with acting("rita"):
            made.own_experiment, made.own_run = track(made, "rita's")
        yield made


def track(lab: Lab, experiment: str) -> tuple[str, str]:
    """Do what a run does."""
    client = mlflow.MlflowClient(lab.address)
    found = client.get_experiment_by_name(experiment)
    number = found.experiment_id if found else client.create_experiment(experiment)
    run = client.create_run(number).info.run_id
    write(lab, run)
    client.set_terminated(run)
    return number, run


def write(lab: Lab, run: str) -> None:
    client = mlflow.MlflowClient(lab.address)
    client.log_param(run, "lr", 0.1)
    client.log_metric(run, "accuracy", 0.5, step=1)
    client.log_text(run, "kept", "a.txt")
    client.set_tag(run, "written", "yes")
