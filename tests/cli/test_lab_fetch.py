"""``raw2logit lab fetch``, from the lab of the working folder."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
import torch

import raw2logit as r2l
from raw2logit.cli import main
from raw2logit.lab.tracking import tracking_uri
from tests.lab.kept import a_task, keep_run, mosaics

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@torch.no_grad()
def test_a_fetched_model_runs_in_three_lines(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = mlflow.MlflowClient(tracking_uri())
    task = a_task()
    run, _ = keep_run(client, own_folder / "run", name="my run", tasks=[task])
    capsys.readouterr()
    assert main(["lab", "fetch", "my run", "-o", "mine"]) == 0
    printed, told = capsys.readouterr()
    files = ["mine/split-1/pipeline/pipeline.safetensors", "mine/split-1/task/task.safetensors"]
    assert printed.splitlines() == files
    assert "Downloading artifacts" not in told

    isp, model = r2l.load_pipeline("mine"), r2l.load_task("mine")
    expected = task(mosaics()).argmax(1)
    assert torch.equal(model.predict(isp(mosaics())), expected)

    isp, model = r2l.load_pipeline(f"runs:/{run}"), r2l.load_task(f"runs:/{run}")
    assert torch.equal(model.predict(isp(mosaics())), expected)

    assert main(["lab", "fetch", run, "--what", "all", "--out", "whole"]) == 0
    assert (own_folder / "whole/split-1/stages/epoch 1.png").is_file()
    # 8 files: by name.
    assert "whole/split-1/stages/epoch 1.png" in capsys.readouterr().out.splitlines()

    assert main(["lab", "fetch", run[:6], "-o", "mine"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["lab", "fetch", run[:6], "-o", "mine", "--overwrite"]) == 0
    capsys.readouterr()

    assert main(["lab", "fetch", "other", "-o", "mine"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("raw2logit: run 'other': none has this id or name")


def test_many_files_are_counted(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = mlflow.MlflowClient(tracking_uri())
    keep_run(client, own_folder / "run", name="large", tasks=[a_task(), a_task(seed=1)])
    capsys.readouterr()
    assert main(["lab", "fetch", "large", "--what", "all", "-o", "whole"]) == 0
    assert capsys.readouterr().out == "whole: 15 files, in it split-1/ split-2/\n"
    assert main(["lab", "fetch", "large", "-o", "models"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_folder_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "fetch", "my run"]) == 2
    assert "--out" in capsys.readouterr().err
