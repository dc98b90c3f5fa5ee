"""Train on one view over several splits and measure on the test parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raw2logit.datasets import Split
from raw2logit.progress import Progress, part, silent
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.evaluation import Measurement, blind_baseline, evaluate, spread
from raw2logit.tasks.training import LoadedData, choose_device, train_or_load, training_seed


@dataclass(frozen=True)
class TrainingResult:
    """What a training run measured.

    Attributes:
        view: The view.
        tasks: The trained module of each split, with its history.
        measurements: Test metrics of each split.
        splits: The parts that were used.
        baselines: One a split: a model that never looks at the image, see `blind_baseline`.
    """

    view: str
    tasks: list[RawTask]
    measurements: list[Measurement]
    splits: list[Split]
    baselines: list[float]

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return mean and standard deviation over splits (None for one) of each test metric."""
        values: dict[str, list[float]] = {}
        for row in self.measurements:
            values.setdefault(row.metric, []).append(row.value)
        return {
            name: {
                "mean": float(np.mean(numbers)),
                "std": spread(np.asarray(numbers)),
            }
            for name, numbers in values.items()
        }


def run_training(
    data: LoadedData,
    view: str,
    config: TrainingConfig,
    models: Path,
    splits: Sequence[Split],
    *,
    learn_pipeline: bool = False,
    seed: int = 0,
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
        seed: Of the trainings.
        progress: Told after every batch and epoch.

    Returns:
        Trained modules and their test metrics.
    """
    device = choose_device(config.accelerator)
    tasks: list[RawTask] = []
    measurements: list[Measurement] = []
    for number, split in enumerate(splits):
        task = train_or_load(
            data,
            split,
            view,
            config,
            models,
            seed=training_seed(seed, number),
            learn_pipeline=learn_pipeline,
            progress=part(
                progress,
                f"split {number + 1}/{len(splits)}: training on {view}",
                number * config.epochs,
                len(splits) * config.epochs,
            ),
        )
        tasks.append(task)
        metrics = evaluate({view: task}, task.pipeline, data, split.test, device=device)[view]
        measurements.extend(
            Measurement(
                view, view, number, training_seed(seed, number), name, value, len(split.test)
            )
            for name, value in metrics.items()
        )
    baselines = [blind_baseline(data, split.test) for split in splits]
    return TrainingResult(view, tasks, measurements, list(splits), baselines)
