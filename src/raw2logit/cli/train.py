"""``raw2logit train``."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from raw2logit.cli._config import RESOLVED, require_same
from raw2logit.cli._console import claim_folder, show_progress
from raw2logit.cli._options import (
    Config,
    Data,
    Experiment,
    Folder,
    FolderOptions,
    Root,
    Seed,
    SplitOptions,
    Splits,
    Splitting,
)
from raw2logit.errors import InputError
from raw2logit.tasks.config import AttackConfig, TrackConfig, TrainingConfig, is_own_model

if TYPE_CHECKING:
    from raw2logit.datasets import RawDataset
    from raw2logit.isp import Pipeline
    from raw2logit.tasks.saving import TaskModel


def train(
    *,
    data: Data = "microscopy",
    root: Root = None,
    folder: Folder = FolderOptions(),  # noqa: B008 - frozen
    intensity: float = 1.0,
    view: str | None = None,
    pipeline: Literal["static", "parametrized"] = "static",
    pipeline_from: str | None = None,
    model_from: str | None = None,
    splits: Splits = None,
    splitting: Splitting = SplitOptions(),  # noqa: B008
    seed: Seed = 0,
    training: Annotated[TrainingConfig, Parameter(name="*")] = TrainingConfig(),  # noqa: B008
    attack: Annotated[AttackConfig, Parameter(name="*", consume_multiple=True)] = AttackConfig(),  # noqa: B008
    track: Annotated[TrackConfig, Parameter(name="*")] = TrackConfig(),  # noqa: B008
    experiment: Experiment = None,
    run_name: str = "train",
    log_model: bool = True,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    tracking_uri: str | None = None,
) -> None:
    """Train a task model on raw data, with the pipeline inside, and test it on held-out groups.

    The folder gets the trained models, config.yaml, results.csv, results.json, splits.json,
    report.html, and one folder a split with its models and what --track-... keeps of its images.
    The same call again, or --resume, continues one that was killed.

    Args:
        data: The data set.
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        folder: Options of folder:PATH.
        intensity: Exposure to train and test at.
        view: The pipeline's demosaic, sharpen and denoise, for instance me,u,ga; or none, neural;
            default bi,s,ga, or that of --pipeline-from.
        pipeline: static: the view as it is; parametrized: its parameters are learned too.
        pipeline_from: Start from this pipeline: a file, the folder of a run, runs:/ID or
            models:/NAME/VERSION.
        model_from: Start from this task model, named in the same ways; --model is then its own.
        splits: Train / validation / test splits; default 1.
        splitting: How the data is split.
        seed: Of splits and trainings.
        training: Options of each training.
        attack: Turn the pipeline against the task model.
        track: What is kept of images.
        experiment: Of the run in the lab; default by what is done, as published.
        run_name: What the lab calls the run.
        log_model: Register the trained models in the lab.
        out: Folder of the run; default runs/RUN_NAME- and digits that stand for the options.
        resume: Continue the run in --out with the options that it was started with, all but
            --tracking-uri.
        config: YAML file of options; those of the command line come first.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.datasets import open_dataset
    from raw2logit.lab.models import load_pipeline, load_task
    from raw2logit.lab.tracking import default_experiment
    from raw2logit.report.animation import check_animation
    from raw2logit.report.keeper import RunKeeper, digest_of, metrics_of
    from raw2logit.report.training import report_training
    from raw2logit.tasks.runs import run_training
    from raw2logit.tasks.training import LoadedData, Start, check_model

    check_animation(track)
    dataset = open_dataset(data, root, intensity=intensity, **dataclasses.asdict(folder))
    parts = splitting.deal(dataset, splits, default=1, seed=seed, lab=tracking_uri)
    learned = pipeline == "parametrized"
    _tell_of_idle(training, attack, track, learned=learned)
    begun = found = None
    if pipeline_from is not None:
        begun = load_pipeline(pipeline_from, tracking_uri=tracking_uri)
        _require_fit(begun, pipeline_from, dataset)
    if model_from is not None:
        own = training.model if is_own_model(training.model) else None
        found = load_task(model_from, model=own, tracking_uri=tracking_uri)
        training = _behind(found, model_from, dataset, training)
    view = _view(view, begun)
    start = Start(begun, None if found is None else found.state_dict())
    check_model(dataset, training, view, learn_pipeline=learned, start=start, attack=attack)
    experiment = experiment or default_experiment(
        "train", attack=attack.attack, learned=learned, data=dataset.name
    )
    options: dict[str, Any] = {
        "data": data,
        "root": None if root is None else str(root),
        **dataclasses.asdict(folder),
        "intensity": intensity,
        "view": view,
        "pipeline": pipeline,
        "pipeline_from": pipeline_from,
        "model_from": model_from,
        **splitting.config(parts),
        "seed": seed,
        **dataclasses.asdict(training),
        **dataclasses.asdict(attack),
        **dataclasses.asdict(track),
        "experiment": experiment,
        "run_name": run_name,
        "log_model": log_model,
        RESOLVED: {"camera": dataset.camera.to_dict(), "splits": len(parts)},
    }
    options = json.loads(json.dumps(options))  # lists for tuples, as a file gives them back
    out = out or Path("runs") / f"{_file_name(run_name)}-{digest_of(options)}"
    if resume:
        require_same(out, options)
    claim_folder(out)
    with show_progress() as progress:
        loaded = LoadedData.of(dataset, progress)
        with RunKeeper(
            out,
            loaded,
            parts,
            options,
            kind="train",
            experiment=experiment,
            name=run_name,
            register_models=log_model,
            track=track,
            resume=resume,
            uri=tracking_uri,
        ) as keeper:
            result = run_training(
                loaded,
                view,
                training,
                out / "models",
                parts,
                learn_pipeline=learned,
                start=start,
                attack=attack,
                seed=seed,
                observer=keeper,
                progress=progress,
            )
            progress("writing and tracking the report", 0, 1)
            files = report_training(result, loaded, options, out)
            keeper.finish(metrics_of(result), files)
            progress("writing and tracking the report", 1, 1)
    print(files[0])


def _view(view: str | None, begun: Pipeline | None) -> str:
    """Return the name of what the task model sees."""
    from raw2logit.isp.presets import parse_view

    if begun is None:
        return parse_view(view or "bi,s,ga")
    own = begun.view or "own"
    if view not in (None, own):
        raise InputError(
            f"--view {view}: --pipeline-from brings its own, which is {own}: leave --view out"
        )
    return own


def _require_fit(begun: Pipeline, where: str, dataset: RawDataset) -> None:
    if begun.camera.cfa != dataset.camera.cfa:
        raise InputError(
            f"--pipeline-from {where}: is for {begun.camera.cfa} mosaics, but {dataset.name} has "
            f"{dataset.camera.cfa}"
        )


def _behind(
    found: TaskModel, where: str, dataset: RawDataset, training: TrainingConfig
) -> TrainingConfig:
    """Return the options for a task model that is given: it brings its architecture and weights."""
    if found.task != dataset.task:
        raise InputError(
            f"--model-from {where}: is for {found.task}, but {dataset.name} for {dataset.task}"
        )
    if found.task == "classification" and found.classes != tuple(dataset.classes):
        raise InputError(
            f"--model-from {where}: knows the classes {' '.join(found.classes)}, but "
            f"{dataset.name} has {' '.join(dataset.classes)}"
        )
    if training.pretrained:
        warnings.warn("--pretrained has no effect with --model-from", stacklevel=3)
    if training.model not in (TrainingConfig.model, found.name):
        warnings.warn(f"--model: --model-from brings its own, {found.name}", stacklevel=3)
    return dataclasses.replace(training, model=found.name, pretrained=False)


def _tell_of_idle(
    training: TrainingConfig, attack: AttackConfig, track: TrackConfig, *, learned: bool
) -> None:
    """Warn of options that change nothing."""
    idle = [] if attack.attack else [(name, "--attack") for name in _changed(attack)]
    if not track.keeps_images:
        idle += [(name, "--track-processing or the like") for name in _changed(track)]
    if "pipeline_lr" in _changed(training) and not learned and not attack.attack:
        idle.append(("pipeline_lr", "--pipeline parametrized"))
    for name, wanted in idle:
        warnings.warn(f"--{name.replace('_', '-')} has no effect without {wanted}", stacklevel=3)


def _changed(options: TrainingConfig | AttackConfig | TrackConfig) -> list[str]:
    """Name the options that are not at their defaults."""
    fields = dataclasses.fields(options)
    return [field.name for field in fields if getattr(options, field.name) != field.default]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "run"
