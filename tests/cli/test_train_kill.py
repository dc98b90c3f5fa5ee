"""Trainings that are killed at any moment, as often as you like, end as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest

from raw2logit.cli import main
from raw2logit.lab.record import read_history, read_run, read_splits_of
from tests.processes import wait_for_end

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    # MLflow's own store uses calls that its dependencies deprecate; MLflow 3.17 (2026-11).
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

COMMAND = [sys.executable, "-c", "import sys; from raw2logit.cli import main; sys.exit(main())"]
MODEL = """
import torch

class Tiny(torch.nn.Sequential):
    def __init__(self, n_outputs):
        super().__init__(
            torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Dropout(0.2),
            torch.nn.Linear(8, n_outputs),
        )
"""
# With several threads the same command gives other last digits each time.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
EPOCHS, SPLITS = 8, 2
ROWS = SPLITS * (EPOCHS + 1)
TRAIN = [
    *("train", "--model", "tiny.py:Tiny", "--pipeline", "parametrized", "--lr", "0.01"),
    *("--epochs", str(EPOCHS), "--splits", str(SPLITS), "--batch-size", "8"),
    *("--accelerator", "cpu", "--augmentation", "strong", "--checkpoint-s", "0"),
    *("--track-processing", "--track-every-epoch", "--track-n-images", "1"),
]


class Outcome(NamedTuple):
    completed: int
    """Runs that came to their end."""
    while_training: int
    """Kills that found some epochs done by that very command, and some not."""


def kill_at_random(kills: int) -> Outcome:
    """Kill a training `kills` times, and resume it each time until it comes to its end."""
    Path("tiny.py").write_text(MODEL)
    data = ["--count", "36", "--size", "32", "--workers", "1"]
    assert main(["data", "generate", "microscopy", *data]) == 0
    undisturbed = [*COMMAND, *TRAIN, "-o", "undisturbed"]
    subprocess.run(undisturbed, check=True, capture_output=True, env=ENVIRONMENT)
    expected = outcome_of(Path("undisturbed"))
    out = Path("out")
    rng = random.Random(5)
    killed = completed = while_training = 0
    while killed < kills or out.exists():
        words = ["train", "--resume", "-o", "out"] if (out / "run.json").is_file() else TRAIN
        before = rows_of(out)
        with subprocess.Popen(
            [*COMMAND, *words, *([] if "--resume" in words else ["-o", "out"])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            start_new_session=True,
        ) as process:
            # Counted in epochs, so that it is found at work whatever the speed of the machine.
            moment = before + rng.randint(1, ROWS // 3)
            while process.poll() is None and rows_of(out) < moment:
                time.sleep(0.002)
            if killed < kills:
                time.sleep(rng.uniform(0, 0.2))
                process.kill()
            said = process.communicate(timeout=240)[1].decode()
        wait_for_end(process.pid)
        if process.returncode == -signal.SIGKILL:
            killed += 1
            while_training += before < rows_of(out) and rows_of(out) < ROWS
            continue
        assert process.returncode == 0, said
        assert outcome_of(out) == expected
        check_lab(out)
        shutil.rmtree(out)
        completed += 1
    return Outcome(completed, while_training)


def rows_of(run: Path) -> int:
    """Count the epochs that are told of."""
    return sum(
        len(file.read_text().splitlines()) - 1
        for file in run.glob("split-*/history.csv")
        if file.is_file()
    )


def outcome_of(run: Path) -> dict[str, bytes]:
    """Return what must be the same: metrics, pictures, animation and weights."""
    files = [
        run / "results.csv",
        *run.glob("split-*/history.csv"),
        *run.glob("split-*/**/*.png"),
        *run.glob("split-*/animation.gif"),
        *run.glob("split-*/*/*.safetensors"),
        *run.glob("models/*/weights.safetensors"),
    ]
    assert len(files) == 1 + SPLITS * (1 + 2 * (EPOCHS + 1) + 1 + 2 + 1)
    assert not list(run.glob("models/*.unfinished"))
    return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}


def check_lab(run: Path) -> None:
    """See that the lab has the run once, with each metric once an epoch."""
    client = mlflow.MlflowClient(f"sqlite:///{Path('runs/lab/mlflow.db').resolve()}")
    record = read_run(run)
    experiment = client.get_experiment_by_name(record.experiment)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`raw2logit.run` = '{record.id}'")
    assert {one.info.status for one in found} == {"FINISHED"}
    children = {
        int(one.data.params["split"]): one for one in found if "mlflow.parentRunId" in one.data.tags
    }
    assert len(found) == 1 + len(children) == 1 + SPLITS
    for place, split in read_splits_of(run):
        history = client.get_metric_history(children[split.number].info.run_id, "val_loss")
        assert [(point.step, point.value) for point in history] == [
            (row["epoch"], row["val_loss"]) for row in read_history(place) if row["epoch"]
        ]


def test_once(own_folder: Path) -> None:
    outcome = kill_at_random(1)
    assert outcome == (1, 1)


@pytest.mark.slow
def test_twenty_times(own_folder: Path) -> None:
    outcome = kill_at_random(20)
    print(f"20 kills: {outcome}, all runs equal")
    assert outcome.completed >= 3
    assert outcome.while_training >= 15
