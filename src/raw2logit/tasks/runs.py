"""Train on one view over several splits and measure on the test parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from raw2logit.datasets import Split
from raw2logit.progress import PartProgress, Progress, part, silent
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.config import AttackConfig, TrainingConfig
from raw2logit.tasks.evaluation import Measurement, blind_baseline, evaluate, spread
from raw2logit.tasks.fitting import Observer, choose_device
from raw2logit.tasks.training import (
    FROM_SCRATCH,
    NO_ATTACK,
    LoadedData,
    Start,
    train_or_load,
    training_seed,
)

ATTACKED = "attacked"
"""Stands for the view of a pipeline that was turned against the task model."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training run measured.

    Attributes:
        view: The view.
        tasks: The trained module of each split, with its history; after an attack that of the
            attack.
        measurements: Test metrics of each split; after an attack those of the view, then those of
            the attacking pipeline, called `ATTACKED`.
        splits: The parts that were used.
        baselines: One a split: a model that never looks at the image, see `blind_baseline`.
        start: Where each training began.
    """

    view: str
    tasks: list[RawTask]
    measurements: list[Measurement]
    splits: list[Split]
    baselines: list[float]
    start: Start = FROM_SCRATCH

    @property
    def shown(self) -> list[str]:
        """The views that were tested: that of the training, then that of an attack."""
        return list(dict.fromkeys(row.test_view for row in self.measurements))

    def metrics(self, shown: str | None = None) -> dict[str, dict[str, float | None]]:
        """Return mean and standard deviation over splits (None for one) of each test metric.

        Args:
            shown: Which of `shown`; None: what came out of the training, so the attacked view
                after an attack.
        """
        wanted = shown or self.shown[-1]
        values: dict[str, list[float]] = {}
        for row in self.measurements:
            if row.test_view == wanted:
                values.setdefault(row.metric, []).append(row.value)
        return {
            name: {
                "mean": float(np.mean(numbers)),
                "std": spread(np.asarray(numbers)),
            }
            for name, numbers in values.items()
        }


class RunObserver(Protocol):
    """Looks on while a run goes through its splits."""

    def observe(self, number: int, seed: int) -> Observer:
        """Return who looks on at a split, counted from 0, while it trains."""

    def trained(self, number: int, task: RawTask, measurements: Sequence[Measurement]) -> None:
        """Take a split that is trained and tested."""


def run_training(
    data: LoadedData,
    view: str,
    config: TrainingConfig,
    models: Path,
    splits: Sequence[Split],
    *,
    learn_pipeline: bool = False,
    start: Start = FROM_SCRATCH,
    attack: AttackConfig = NO_ATTACK,
    seed: int = 0,
    observer: RunObserver | None = None,
    progress: Progress = silent,
) -> TrainingResult:
    """Train and test once a split.

    Args:
        data: All samples.
        view: What the task model sees, or where a learned pipeline starts.
        config: Options of the training.
        models: Folder of trained models, by content.
        splits: From `make_splits` or `read_splits`; at least one.
        learn_pipeline: Learn the pipeline too; it is then tested as learned.
        start: Where each training begins.
        attack: Turn the pipeline against the task model. An attack on a model that nobody trained
            means nothing: without one in `start`, it is trained first, with a frozen pipeline and
            otherwise the same options.
        seed: Of the trainings.
        observer: Looks on; at an attack, not at the training before it.
        progress: Told after every batch and epoch.

    Returns:
        Trained modules and their test metrics.
    """
    trains_first = attack.attack and start.model is None
    rounds = 2 if trains_first else 1
    tasks: list[RawTask] = []
    measurements: list[Measurement] = []
    for number, split in enumerate(splits):
        split_seed = training_seed(seed, number)
        begin = start

        def tell(what: str, done: int, where: int = number) -> PartProgress:
            return part(
                progress,
                f"split {where + 1}/{len(splits)}: {what}",
                (where * rounds + done) * config.epochs,
                len(splits) * rounds * config.epochs,
            )

        if trains_first:
            plain = dataclasses.replace(config, freeze_model=False)
            trained = train_or_load(
                data,
                split,
                view,
                plain,
                models,
                seed=split_seed,
                start=start,
                progress=tell(f"training on {view}, to be attacked", 0),
            )
            begin = Start.at(trained)
        task = train_or_load(
            data,
            split,
            view,
            dataclasses.replace(config, freeze_model=config.freeze_model or attack.attack),
            models,
            seed=split_seed,
            learn_pipeline=learn_pipeline or attack.attack,
            start=begin,
            attack=attack,
            observer=None if observer is None else observer.observe(number, split_seed),
            progress=tell(f"{'attacking' if attack.attack else 'training on'} {view}", rounds - 1),
        )
        rows = list(_measure(task, data, split, view, number, split_seed))
        if observer is not None:
            observer.trained(number, task, rows)
        tasks.append(task)
        measurements += rows
    baselines = [blind_baseline(data, split.test) for split in splits]
    return TrainingResult(view, tasks, measurements, list(splits), baselines, start)


def _measure(
    task: RawTask, data: LoadedData, split: Split, view: str, number: int, seed: int
) -> Iterable[Measurement]:
    """Test a module on its view, and on what an attack made of it."""
    pipelines = {view: task.pipeline}
    if task.attack is not None:
        pipelines = {view: task.attack.default, ATTACKED: task.pipeline}
    device = choose_device(task.config)
    for shown, pipeline in pipelines.items():
        metrics = evaluate({view: task}, pipeline, data, split.test, device=device)[view]
        for name, value in metrics.items():
            yield Measurement(view, shown, number, seed, name, value, len(split.test))
    task.to(torch.device("cpu"))
