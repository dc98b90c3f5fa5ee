"""Drift synthesis: train on some views, test on others.

One task model is trained for each training view and split, and tested on every test view. The
diagonal of the resulting grid is the performance without drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raw2logit.datasets import Split
from raw2logit.drift.corrupted import NO_CORRUPTIONS, CorruptionTests, evaluate_corrupted
from raw2logit.isp import static_pipeline
from raw2logit.progress import Progress, part, silent
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.evaluation import Measurement, blind_baseline, evaluate, spread
from raw2logit.tasks.fitting import choose_device
from raw2logit.tasks.training import LoadedData, train_or_load, training_seed

Grid = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SynthesisResult:
    """What a synthesis measured.

    Attributes:
        train_views: Rows of the grid.
        test_views: Columns of the grid.
        primary_metric: The metric that the report leads with.
        measurements: Every measured value.
        splits: The parts that were used.
        baselines: One a split: a model that never looks at the image, see `blind_baseline`.
        histories: For each training view and split, one row an epoch.
        corruption_tests: Under which corruptions each model was tested, on its own view.
        corrupted: What was measured under them.
    """

    train_views: tuple[str, ...]
    test_views: tuple[str, ...]
    primary_metric: str
    measurements: list[Measurement]
    splits: list[Split]
    baselines: list[float]
    histories: dict[str, list[list[dict[str, float]]]]
    corruption_tests: CorruptionTests = NO_CORRUPTIONS
    corrupted: list[Measurement] = field(default_factory=list)

    @property
    def own_cells(self) -> npt.NDArray[np.bool_]:
        """Which cells, ``(train views, test views)``, show a model its own view."""
        return np.array([[t == v for v in self.test_views] for t in self.train_views])

    def one_split(self, number: int) -> SynthesisResult:
        """Return what was measured on one split, counted from 0."""
        return replace(
            self,
            measurements=[
                replace(row, split=0) for row in self.measurements if row.split == number
            ],
            splits=[self.splits[number]],
            baselines=[self.baselines[number]],
            histories={view: [runs[number]] for view, runs in self.histories.items()},
            corrupted=[replace(row, split=0) for row in self.corrupted if row.split == number],
        )

    def grid(self, metric: str | None = None) -> Grid:
        """Return ``(splits, train views, test views)`` of a metric (None: the primary one)."""
        metric = metric or self.primary_metric
        shape = (len(self.splits), len(self.train_views), len(self.test_views))
        grid = np.full(shape, np.nan)
        for row in self.measurements:
            if row.metric == metric:
                place = self.train_views.index(row.train_view), self.test_views.index(row.test_view)
                grid[(row.split, *place)] = row.value
        return grid

    def drops(self, metric: str | None = None) -> Grid:
        """Return by how much each cell lies below its row's own view, split by split.

        NaN where a training view is not among the test views.
        """
        drops: Grid = self.own_scores(metric)[:, :, None] - self.grid(metric)
        return drops

    def own_scores(self, metric: str | None = None) -> Grid:
        """Return ``(splits, train views)``: each model on its own view; NaN where not tested."""
        grid = self.grid(metric)
        own = np.full(grid.shape[:2], np.nan)
        for row, view in enumerate(self.train_views):
            if view in self.test_views:
                own[:, row] = grid[:, row, self.test_views.index(view)]
        return own

    def corruption_drops(self, metric: str | None = None) -> Grid:
        """Return ``(splits, train views, corruptions, severities)``: drops from the clean view."""
        metric = metric or self.primary_metric
        tests = self.corruption_tests
        sizes = (len(self.train_views), len(tests.names), len(tests.severities))
        scores = np.full((len(self.splits), *sizes), np.nan)
        for row in self.corrupted:
            if row.metric == metric and row.corruption is not None and row.severity is not None:
                place = (
                    self.train_views.index(row.train_view),
                    tests.names.index(row.corruption),
                    tests.severities.index(row.severity),
                )
                scores[(row.split, *place)] = row.value
        drops: Grid = self.own_scores(metric)[:, :, None, None] - scores
        return drops

    def summary(self) -> dict[str, Any]:
        """Return the figures that the report leads with, as plain numbers.

        Spreads are standard deviations over splits (None for a single split). ``margins`` says by
        how much each task model beats, on its own view, what can be had without looking.
        """
        grid, drops = self.grid(), self.drops()
        cells = [
            {
                "train_view": train,
                "test_view": test,
                "mean": float(grid[:, row, column].mean()),
                "std": spread(grid[:, row, column]),
                "own_mean": _number((grid + drops)[:, row, column].mean()),
                "own_std": _number(spread((grid + drops)[:, row, column])),
                "drop_mean": _number(drops[:, row, column].mean()),
                "drop_std": _number(spread(drops[:, row, column])),
            }
            for row, train in enumerate(self.train_views)
            for column, test in enumerate(self.test_views)
        ]
        own = self.own_cells.ravel()
        flat_grid = grid.reshape(len(grid), -1)
        flat_drops = drops.reshape(len(drops), -1)
        off = ~own & np.isfinite(flat_drops).all(axis=0)
        worst = max(
            (cell for cell, drifts in zip(cells, off, strict=True) if drifts),
            key=lambda cell: cell["drop_mean"] or 0.0,
            default=None,
        )
        return {
            "metric": self.primary_metric,
            "own_view": _over_splits(flat_grid[:, own]),
            "mean_drop": _over_splits(flat_drops[:, off]),
            "worst": worst,
            "n_drift_cells": int(off.sum()),
            "margins": {
                str(cells[index]["train_view"]): float(
                    flat_grid[:, index].mean() - np.mean(self.baselines)
                )
                for index in np.flatnonzero(own)
            },
            "blind_baseline": _over_splits(np.array(self.baselines)[:, None]),
            "cells": cells,
        }


def run_synthesis(
    data: LoadedData,
    train_views: Sequence[str],
    test_views: Sequence[str],
    config: TrainingConfig,
    models: Path,
    splits: Sequence[Split],
    *,
    corruptions: CorruptionTests = NO_CORRUPTIONS,
    seed: int = 0,
    progress: Progress = silent,
) -> SynthesisResult:
    """Train on each training view and test on each test view, over several splits.

    Cost of testing grows with the number of test views, not with their product with the training
    views: each raw batch is processed once a test view and shown to all models. Trained models
    are kept in `models` by content, so that a killed call continues and another call with further
    test views trains nothing.

    Args:
        data: All samples.
        train_views: Views to train on.
        test_views: Views to test on.
        config: Options of each training.
        models: Folder of trained models.
        splits: From `make_splits` or `read_splits`; at least one.
        corruptions: Test each model under these as well, on the view that it was trained on.
        seed: Of the trainings and of the corruptions' noise.
        progress: Told after every batch, epoch and test view.

    Returns:
        Every measured value.
    """
    device = choose_device(config)
    n_corrupted = len(train_views) if corruptions.names else 0
    total = len(splits) * (len(train_views) * config.epochs + len(test_views) + n_corrupted)
    done = 0
    measurements: list[Measurement] = []
    corrupted: list[Measurement] = []
    histories: dict[str, list[list[dict[str, float]]]] = {view: [] for view in train_views}
    metric = ""
    for number, split in enumerate(splits):
        tasks = {}
        for view in train_views:
            task = f"split {number + 1}/{len(splits)}: training on {view}"
            tasks[view] = train_or_load(
                data,
                split,
                view,
                config,
                models,
                seed=training_seed(seed, number),
                progress=part(progress, task, done, total),
            )
            done += config.epochs
            histories[view].append(tasks[view].history)
            metric = tasks[view].primary_metric
        for test_view in test_views:
            pipeline = static_pipeline(data.dataset.camera, test_view)
            scores = evaluate(tasks, pipeline, data, split.test, device=device)
            for train_view, metrics in scores.items():
                measurements.extend(
                    Measurement(
                        train_view,
                        test_view,
                        number,
                        training_seed(seed, number),
                        name,
                        value,
                        len(split.test),
                    )
                    for name, value in metrics.items()
                )
            done += 1
            progress(f"split {number + 1}/{len(splits)}: testing on {test_view}", done, total)
        for view, trained in tasks.items() if corruptions.names else ():
            pipeline = static_pipeline(data.dataset.camera, view)
            split_seed = training_seed(seed, number)
            found = evaluate_corrupted(
                *(trained, pipeline, data, split.test, corruptions), seed=split_seed, device=device
            )
            corrupted.extend(
                Measurement(
                    *(view, view, number, split_seed, name, value, len(split.test)),
                    corruption=corruption,
                    severity=severity,
                )
                for (corruption, severity), metrics in found.items()
                for name, value in metrics.items()
            )
            done += 1
            progress(f"split {number + 1}/{len(splits)}: corrupting {view}", done, total)
    return SynthesisResult(
        tuple(train_views),
        tuple(test_views),
        metric,
        measurements,
        list(splits),
        [blind_baseline(data, split.test) for split in splits],
        histories,
        corruptions,
        corrupted,
    )


def _over_splits(values: Grid) -> dict[str, float | None]:
    """Average the cells of each split, then give mean and spread over splits."""
    if not values.size:
        return {"mean": None, "std": None}
    means = values.mean(axis=1)
    return {"mean": _number(means.mean()), "std": _number(spread(means))}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
