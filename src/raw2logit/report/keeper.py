"""Keep a run in its folder while it goes on, and show it in a lab."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from raw2logit.datasets import Split
from raw2logit.datasets.splits import SPLITS_FILE, write_splits
from raw2logit.isp import static_pipeline
from raw2logit.lab.mirror import Mirror
from raw2logit.lab.models import write_models
from raw2logit.lab.record import (
    CONFIG_FILE,
    SPLIT_FILE,
    RunRecord,
    SplitRecord,
    flat,
    read_history,
    split_folder,
    write_history,
    write_record,
)
from raw2logit.report._claim import lock, same_or_new, unlock
from raw2logit.report.animation import check_animation
from raw2logit.report.run import versions, write_config
from raw2logit.report.traces import TraceWriter
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.config import TrackConfig
from raw2logit.tasks.evaluation import Measurement
from raw2logit.tasks.runs import TrainingResult
from raw2logit.tasks.trace import take_trace, trace_metrics
from raw2logit.tasks.training import LoadedData

_UPDATE_EVERY_S = 2.0
"""The lab is told of epochs that are shorter than this several at a time."""


def digest_of(config: Mapping[str, Any]) -> str:
    """Return 8 digits that stand for a configuration of plain values."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


class RunKeeper:
    """The folder of a run and its mirror in a lab.

    As a context manager: what ends the block by an error is marked as failed. It is the observer
    of `run_training`.
    """

    def __init__(
        self,
        folder: Path,
        data: LoadedData,
        splits: Sequence[Split],
        config: Mapping[str, Any],
        *,
        kind: str,
        experiment: str,
        name: str,
        register_models: bool = True,
        track: TrackConfig | None = None,
        resume: bool = False,
        uri: str | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            folder: Of the run. If it holds the very same run already, that one goes on; what
                another run kept of its splits there is removed.
            data: What is trained on.
            splits: Its parts.
            config: Resolved options: plain values.
            kind: The verb.
            experiment: Name of the experiment in the lab.
            name: Of the run.
            register_models: Whether the lab registers the trained models.
            track: What is kept of images; None: nothing.
            resume: The folder must hold the very same run.
            uri: Address of the lab.

        Raises:
            InputError: What shall be kept cannot be made here.
        """
        self._track = track or TrackConfig()
        check_animation(self._track)
        self._folder = folder
        self._data = data
        self._splits = splits
        self._config = config
        params = flat(config)
        params |= {f"version.{name}": number for name, number in versions().items()}
        params["data_fingerprint"] = data.fingerprint
        self._record = RunRecord(
            id=secrets.token_hex(16),
            kind=kind,
            experiment=experiment,
            name=name,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            params=json.loads(json.dumps(params)),
            register_models=register_models,
            files=[CONFIG_FILE, SPLITS_FILE],
        )
        self._resume = resume
        self._lock: int | None = None
        self._mirror = Mirror(folder, uri)
        self._told = -math.inf

    def __enter__(self) -> Self:
        """Write the record and show it.

        Raises:
            InputError: Another process is at work in the folder; or the run there is to be resumed,
                and is another one.
        """
        self._lock = lock(self._folder)
        try:
            self._record = same_or_new(self._folder, self._record, resume=self._resume)
            write_config(self._folder, self._config)
            write_record(self._folder, self._record)
            write_splits(self._folder / SPLITS_FILE, self._data.dataset, self._splits)
            self._mirror.update()
        except BaseException:
            unlock(self._lock)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Mark a run that ended by an error as failed; one that was interrupted stays as it is."""
        try:
            if isinstance(error, Exception):
                write_record(self._folder, replace(self._record, status="failed"))
                self._mirror.update()
        finally:
            unlock(self._lock)

    def observe(self, number: int, seed: int) -> SplitKeeper:
        """Return who keeps a split while it trains."""
        return SplitKeeper(self, number, seed)

    def trained(self, number: int, task: RawTask, measurements: Sequence[Measurement]) -> None:
        """Keep models and test metrics of a split."""
        SplitKeeper(self, number, measurements[0].seed).finish(task, measurements)

    def measured(self, number: int, metrics: Mapping[str, float | None]) -> None:
        """Keep the figures of a split, from 0, that has no single training."""
        folder = split_folder(self._folder, number + 1)
        write_splits(folder / SPLITS_FILE, self._data.dataset, [self._splits[number]])
        record = SplitRecord(
            number=number + 1,
            status="finished",
            params={"split": number + 1},
            metrics=_known(metrics),
        )
        write_record(folder, record)

    def finish(self, metrics: Mapping[str, float | None], files: Sequence[Path]) -> None:
        """Mark the run as finished and bring all of it into the lab.

        Args:
            metrics: Final figures; None is left out.
            files: What the run wrote into its folder beside the splits.
        """
        named = sorted(file.relative_to(self._folder).as_posix() for file in files)
        self._record = replace(
            self._record, status="finished", metrics=_known(metrics), files=named
        )
        write_record(self._folder, self._record)
        self._mirror.finish()

    def _tell(self, *, at_once: bool) -> None:
        if at_once or time.monotonic() - self._told >= _UPDATE_EVERY_S:
            self._mirror.update()
            self._told = time.monotonic()


class SplitKeeper:
    """The folder of one split."""

    def __init__(self, run: RunKeeper, number: int, seed: int) -> None:
        """Open or make the folder.

        Args:
            run: The run.
            number: Of the split, from 0.
            seed: Of its training.
        """
        self._run = run
        self._data = run._data
        self._record = SplitRecord(
            number=number + 1, params={"split": number + 1, "training_seed": seed}
        )
        self._folder = split_folder(run._folder, number + 1)
        rows = read_history(self._folder)
        self._rows = {int(row["epoch"]): row | {"epoch": int(row["epoch"])} for row in rows}
        split = run._splits[number]
        chosen = split.validation[: run._track.track_n_images]
        self._samples = torch.as_tensor(chosen)
        self._writer = TraceWriter(self._folder, self._data.dataset, chosen, run._track)
        if not (self._folder / SPLIT_FILE).is_file():
            write_splits(self._folder / SPLITS_FILE, self._data.dataset, [split])
            write_record(self._folder, self._record)

    def on_epoch(self, task: RawTask, epoch: int) -> None:
        """Keep the metrics of an epoch, and its images if they are wanted."""
        row: dict[str, float] = {"epoch": epoch}
        if task.history and task.history[-1]["epoch"] == epoch:
            row |= task.history[-1]
        if self._writer.wants(epoch, n_epochs=-1):
            row |= self._trace(task, epoch)
        # What lies behind comes from before a kill and is done once more.
        self._rows = {old: values for old, values in self._rows.items() if old < epoch}
        self._write({**self._rows, epoch: row})
        self._run._tell(at_once=False)

    def finish(self, task: RawTask, measurements: Sequence[Measurement]) -> None:
        """Keep what came out of the training."""
        rated = [row for row in task.history if not math.isnan(row["val_loss"])]
        best = min(rated, key=lambda row: row["val_loss"])
        track = self._run._track
        rows = {int(row["epoch"]): row for row in task.history}
        rows = {epoch: self._rows.get(epoch, {}) | row for epoch, row in rows.items()}
        if track.keeps_images and not track.track_every_epoch:
            epoch = int(best["epoch"])
            rows[epoch] = rows[epoch] | self._trace(task, epoch)
        elif track.keeps_images and not self._rows:
            warnings.warn(
                f"{self._folder}: was trained before without --track-every-epoch, so its epochs "
                "cannot be shown: name another --out to train it anew",
                stacklevel=2,
            )
        self._write({**self._rows, **rows})
        self._writer.finish()
        write_models(task, self._data.dataset, self._folder)
        final = measurements[-1].test_view
        metrics = {"best_epoch": best["epoch"]}
        for row in measurements:
            metrics[_figure(row.metric, row.test_view, final)] = row.value
        write_record(self._folder, replace(self._record, status="finished", metrics=metrics))
        self._run._tell(at_once=True)

    def _trace(self, task: RawTask, epoch: int) -> dict[str, float]:
        view = task.pipeline.view or "bi,s,ga"
        default = (
            task.attack.default
            if task.attack
            else static_pipeline(self._data.dataset.camera, "bi,s,ga" if view == "neural" else view)
        )
        trace = take_trace(
            task, default, self._data.raw[self._samples], self._data.targets[self._samples]
        )
        self._writer.write(trace, epoch)
        return trace_metrics(trace)

    def _write(self, rows: Mapping[int, Mapping[str, float]]) -> None:
        self._rows = {epoch: dict(rows[epoch]) for epoch in sorted(rows)}
        write_history(self._folder, list(self._rows.values()))


def metrics_of(result: TrainingResult) -> dict[str, float | None]:
    """Return the final figures of a training as a lab shows them."""
    values: dict[str, float | None] = {}
    for shown in result.shown:
        for metric, numbers in result.metrics(shown).items():
            name = _figure(metric, shown, result.shown[-1])
            values |= {name: numbers["mean"], f"{name}_std": numbers["std"]}
    return values


def _figure(metric: str, shown: str, final: str) -> str:
    """Return a lab's name of a test metric on a view; `final` is what came out of the training."""
    return f"test_{metric}" if shown == final else f"test_{metric}_before_attack"


def _known(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}
