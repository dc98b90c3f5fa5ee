"""``raw2logit train``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from raw2logit.cli._console import claim_folder, show_progress
from raw2logit.cli._options import (
    Data,
    Folder,
    FolderOptions,
    Out,
    Root,
    Seed,
    SplitOptions,
    Splits,
    Splitting,
)
from raw2logit.tasks.config import TrainingConfig


def train(
    *,
    data: Data = "microscopy",
    root: Root = None,
    folder: Folder = FolderOptions(),  # noqa: B008 - frozen
    intensity: float = 1.0,
    view: str = "bi,s,ga",
    pipeline: Literal["static", "parametrized"] = "static",
    splits: Splits = None,
    splitting: Splitting = SplitOptions(),  # noqa: B008
    seed: Seed = 0,
    training: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008
    out: Out = Path("runs/train"),
    tracking_uri: str | None = None,
) -> None:
    """Train a task model on raw data, with the pipeline inside, and test it on held-out groups.

    The folder gets the trained models, config.yaml, results.csv, results.json, splits.json and
    report.html. A killed call keeps the splits that it had finished.

    Args:
        data: The data set.
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        folder: Options of folder:PATH.
        intensity: Exposure to train and test at.
        view: The pipeline's demosaic, sharpen and denoise, for instance me,u,ga.
        pipeline: static: the view as it is; parametrized: its parameters are learned too.
        splits: Train / validation / test splits; default 1.
        splitting: How the data is split.
        seed: Of splits and trainings.
        training: Options of each training.
        out: Folder of the run.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.datasets import open_dataset
    from raw2logit.isp.presets import parse_view
    from raw2logit.lab.tracking import track_run
    from raw2logit.report.training import report_training
    from raw2logit.tasks.runs import run_training
    from raw2logit.tasks.training import LoadedData, check_model

    parse_view(view)
    dataset = open_dataset(data, root, intensity=intensity, **dataclasses.asdict(folder))
    parts = splitting.deal(dataset, splits, default=1, seed=seed)
    config = {
        "data": dataset.name,
        "camera": dataset.camera.to_dict(),
        "intensity": intensity,
        "view": view,
        "pipeline": pipeline,
        **splitting.config(parts),
        "seed": seed,
        "training": dataclasses.asdict(training),
    }
    check_model(dataset, training)
    claim_folder(out)
    with show_progress() as progress:
        loaded = LoadedData.of(dataset, progress)
        result = run_training(
            loaded,
            view,
            training,
            out / "models",
            parts,
            learn_pipeline=pipeline == "parametrized",
            seed=seed,
            progress=progress,
        )
        progress("writing and tracking the report", 0, 1)
        files = report_training(result, loaded, config, out)
        track_run(
            files,
            experiment="raw2logit train",
            params={key: value for key, value in config.items() if key != "training"}
            | dataclasses.asdict(training),
            metrics={f"test_{name}": numbers["mean"] for name, numbers in result.metrics().items()},
            uri=tracking_uri,
        )
        progress("writing and tracking the report", 1, 1)
    print(files[0])
