"""``raw2logit synthesis``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from raw2logit.cli._config import RESOLVED
from raw2logit.cli._console import claim_folder, show_progress
from raw2logit.cli._options import (
    Config,
    Data,
    Experiment,
    Folder,
    FolderOptions,
    Out,
    Root,
    Seed,
    Severities,
    SplitOptions,
    Splits,
    Splitting,
    Views,
)
from raw2logit.progress import Progress
from raw2logit.tasks.config import TrainingConfig

if TYPE_CHECKING:
    from raw2logit.datasets import RawDataset, Split
    from raw2logit.drift.corrupted import CorruptionTests
    from raw2logit.drift.synthesis import SynthesisResult


def synthesis(
    *,
    data: Data = "microscopy",
    root: Root = None,
    folder: Folder = FolderOptions(),  # noqa: B008 - frozen
    intensity: float = 1.0,
    views: Views = ["bi,s,me", "ma,u,ga", "me,u,me"],  # noqa: B006 - never changed
    train_views: Views | None = None,
    test_views: Views | None = None,
    corruptions: Views = ["none"],  # noqa: B006
    severities: Severities = [1, 2, 3, 4, 5],  # noqa: B006
    compare_at: int = 3,
    constants: Literal["cifar10-c", "imagenet-c"] = "cifar10-c",
    splits: Splits = None,
    splitting: Splitting = SplitOptions(),  # noqa: B008
    seed: Seed = 0,
    training: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008
    out: Out = Path("runs/synthesis"),
    models: Path | None = None,
    experiment: Experiment = None,
    run_name: str = "synthesis",
    config: Config = None,
    tracking_uri: str | None = None,
) -> None:
    """Train one task model a view and split, test each on all views, write the report.

    Trained models are kept: a killed call continues, and a second one with more test views trains
    nothing.

    Args:
        data: The data set.
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        folder: Options of folder:PATH.
        intensity: Exposure to train and test at.
        views: Views to train and test on, separated by spaces; all: the twelve.
        train_views: Views to train on, where they differ from --views.
        test_views: Views to test on, where they differ from --views; the training views are
            always among them.
        corruptions: Also test each model on its own view, corrupted: names, published (the ten
            of the published experiments), all (those of ImageNet-C), or none.
        severities: Of the corruptions, 1 to 5.
        compare_at: The severity that is compared with the drift of the ISP.
        constants: Strengths of the corruptions, from CIFAR-10-C as published, or ImageNet-C.
        splits: Train / validation / test splits; default 2.
        splitting: How the data is split.
        seed: Of splits and trainings.
        training: Options of each training.
        out: Folder of the run.
        models: Folder of trained models; default OUT/models.
        experiment: Of the run in the lab; default as published.
        run_name: What the lab calls the run.
        config: YAML file of options; those of the command line come first.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.datasets import open_dataset
    from raw2logit.drift.corrupted import CorruptionTests, parse_corruptions
    from raw2logit.isp import parse_views
    from raw2logit.tasks.training import check_model

    tests = CorruptionTests(
        parse_corruptions(corruptions), tuple(dict.fromkeys(severities)), constants, compare_at
    )
    trained = parse_views(train_views or views)
    dataset = open_dataset(data, root, intensity=intensity, **dataclasses.asdict(folder))
    parts = splitting.deal(dataset, splits, default=2, seed=seed, lab=tracking_uri)
    check_model(dataset, training)
    claim_folder(out)
    with show_progress() as progress:
        report = run_and_report(
            dataset,
            trained,
            parse_views([*trained, *(test_views or views)]),
            training,
            out,
            parts,
            {
                "root": None if root is None else str(root),
                **dataclasses.asdict(folder),
                "intensity": intensity,
                "corruptions": list(tests.names) or ["none"],
                "severities": list(tests.severities),
                "compare_at": compare_at,
                "constants": constants,
                **splitting.config(parts),
                "seed": seed,
            },
            corruptions=tests,
            models=models,
            experiment=experiment,
            run_name=run_name,
            tracking_uri=tracking_uri,
            progress=progress,
        )
    print(report)


def run_and_report(
    dataset: RawDataset,
    train_views: Sequence[str],
    test_views: Sequence[str],
    training: TrainingConfig,
    out: Path,
    splits: Sequence[Split],
    options: Mapping[str, Any],
    *,
    corruptions: CorruptionTests | None = None,
    models: Path | None,
    experiment: str | None,
    run_name: str,
    tracking_uri: str | None,
    progress: Progress,
) -> Path:
    """Run a synthesis, write its folder, track it, and return the path of the report.

    Args:
        dataset: What to train and test on.
        train_views: Rows of the grid.
        test_views: Columns of the grid.
        training: Options of each training.
        out: Folder of the run.
        splits: The parts.
        options: What ``config.yaml`` says beside this; ``seed`` is that of the trainings.
        corruptions: Also test under these; None: under none.
        models: Folder of trained models; None: ``out/models``.
        experiment: Of the run in the lab; None: as published.
        run_name: What the lab calls the run.
        tracking_uri: MLflow address; None: as `raw2logit.lab.tracking` chooses.
        progress: Told of every step.
    """
    from raw2logit.drift.corrupted import NO_CORRUPTIONS
    from raw2logit.drift.synthesis import run_synthesis
    from raw2logit.lab.tracking import default_experiment
    from raw2logit.report.keeper import RunKeeper
    from raw2logit.report.synthesis import report_synthesis
    from raw2logit.tasks.training import LoadedData

    config = {
        "data": dataset.name,
        "train_views": list(train_views),
        "test_views": list(test_views),
        **options,
        **dataclasses.asdict(training),
        RESOLVED: {"camera": dataset.camera.to_dict(), "splits": len(splits)},
    }
    experiment = experiment or default_experiment(
        "synthesis", attack=False, learned=False, data=dataset.name
    )
    loaded = LoadedData.of(dataset, progress)
    with RunKeeper(
        out,
        loaded,
        splits,
        config,
        kind="synthesis",
        experiment=experiment,
        name=run_name,
        uri=tracking_uri,
    ) as keeper:
        result = run_synthesis(
            loaded,
            train_views,
            test_views,
            training,
            models or out / "models",
            splits,
            corruptions=corruptions or NO_CORRUPTIONS,
            seed=options["seed"],
            progress=progress,
        )
        progress("writing and tracking the report", 0, 1)
        files = report_synthesis(result, loaded, config, out)
        for number in range(len(splits)):
            keeper.measured(number, _figures(result.one_split(number)))
        keeper.finish(_figures(result), files)
        progress("writing and tracking the report", 1, 1)
    return files[0]


def _figures(result: SynthesisResult) -> dict[str, float | None]:
    """Return what a lab shows of a synthesis, or of one split of it."""
    from raw2logit.drift.comparison import compare

    summary = result.summary()
    figures = {
        f"own_view_{result.primary_metric}": summary["own_view"]["mean"],
        "mean_drop": summary["mean_drop"]["mean"],
        "worst_drop": summary["worst"]["drop_mean"] if summary["worst"] else None,
    }
    if comparison := compare(result):
        figures["corruption_drop"] = comparison["corruption_drop"]["mean"]
        figures["drop_ratio"] = comparison["ratio"] and comparison["ratio"]["mean"]
    return figures
