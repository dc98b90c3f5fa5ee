"""Train one task model on one view and one split, or take it from where it was kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from raw2logit.datasets import RawDataset, Split
from raw2logit.errors import InputError
from raw2logit.files import atomic_path, write_text
from raw2logit.isp import Pipeline, parametrized_pipeline, static_pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.classification import ClassificationTask
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.models import build_classifier, build_segmenter
from raw2logit.tasks.segmentation import SegmentationTask

_WEIGHTS, _TRAINING = "weights.safetensors", "training.json"


@dataclass(frozen=True)
class LoadedData:
    """A data set in memory.

    Attributes:
        dataset: Where it came from.
        raw: ``(N, H, W)`` mosaics.
        targets: ``(N,)`` class indices or ``(N, H, W)`` masks.
        fingerprint: Digest of the files.
    """

    dataset: RawDataset
    raw: Tensor
    targets: Tensor
    fingerprint: str

    @classmethod
    def of(cls, dataset: RawDataset) -> LoadedData:
        """Read all files of a data set."""
        raw, targets = dataset.load()
        return cls(dataset, raw, targets, dataset.fingerprint())


def build_task(
    dataset: RawDataset, view: str, config: TrainingConfig, *, learn_pipeline: bool, seed: int
) -> RawTask:
    """Build pipeline and task model with their initial weights.

    Args:
        dataset: Decides task, classes and camera.
        view: One of `raw2logit.VIEWS`.
        config: Which model, and how it learns.
        learn_pipeline: Parametrized instead of static.
        seed: Of the initial weights and the augmentation.

    Returns:
        The task module, not trained.
    """
    make_pipeline = parametrized_pipeline if learn_pipeline else static_pipeline
    pipeline: Pipeline = make_pipeline(dataset.camera, view)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # inside the fork: initial weights have no generator argument
        if dataset.task == "segmentation":
            model = build_segmenter(config.model, pretrained=config.pretrained)
            return SegmentationTask(pipeline, model, config, seed=seed)
        n_classes = len(dataset.classes)
        model = build_classifier(config.model, n_classes, pretrained=config.pretrained)
        return ClassificationTask(pipeline, model, config, seed=seed)


def train_or_load(
    data: LoadedData,
    split: Split,
    view: str,
    config: TrainingConfig,
    models: Path,
    *,
    seed: int,
    learn_pipeline: bool = False,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> RawTask:
    """Return a trained task module, from `models` if the very same was trained before.

    The module of the epoch with the lowest validation loss is kept; the test part is not touched.

    Args:
        data: All samples.
        split: Its train and validation parts are used.
        view: What the model sees.
        config: Options of the training.
        models: Folder of trained modules, by content.
        seed: Of initial weights, batch order and augmentation.
        learn_pipeline: Learn the pipeline too.
        on_epoch: Called with the number of epochs done.

    Returns:
        The trained module in evaluation mode, on the CPU, with its history.

    Raises:
        InputError: The training diverged, or images are too small for the model.
    """
    _check_size(data)
    task = build_task(data.dataset, view, config, learn_pipeline=learn_pipeline, seed=seed)
    options = {
        "data": data.fingerprint,
        "view": view,
        "learn_pipeline": learn_pipeline,
        "train": list(split.train),
        "validation": list(split.validation),
        "seed": seed,
        "config": dataclasses.asdict(config),
    }
    key = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
    folder = models / f"{view.replace(',', '-')}-{key}"
    if folder.is_dir():
        task.load_state_dict(load_file(folder / _WEIGHTS))
        task.history = json.loads((folder / _TRAINING).read_text(encoding="utf-8"))["history"]
        on_epoch(config.epochs)
    else:
        _fit(task, data, split, seed, on_epoch)
        _keep(task, options, folder)
    return task.cpu().eval()


class _KeepBest(Callback):
    """Keep the weights of the epoch with the lowest validation loss."""

    def __init__(self, on_epoch: Callable[[int], None]) -> None:
        self.best: dict[str, Tensor] = {}
        self._lowest = float("inf")
        self._on_epoch = on_epoch

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        loss = cast(RawTask, pl_module).history[-1]["val_loss"]
        if loss < self._lowest:
            self._lowest = loss
            self.best = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self._on_epoch(trainer.current_epoch + 1)


def _fit(
    task: RawTask,
    data: LoadedData,
    split: Split,
    seed: int,
    on_epoch: Callable[[int], None],
) -> None:
    train, validation = list(split.train), list(split.validation)
    config = task.config
    task.fit_normalisation(data.raw[train])
    task.model.to(memory_format=torch.channels_last)  # convolutions run faster this way
    keeper = _KeepBest(on_epoch)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    # A last batch of one sample would break batch normalisation.
    batches = DataLoader(
        TensorDataset(data.raw[train], data.targets[train]),
        batch_size=min(config.batch_size, len(train)),
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    with warnings.catch_warnings():
        # The data is in memory: workers would only copy it.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*number of training batches")
        trainer = lightning.Trainer(
            max_epochs=config.epochs,
            accelerator=config.accelerator,
            devices=1,
            logger=False,
            callbacks=[keeper],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(
            task,
            batches,
            DataLoader(
                TensorDataset(data.raw[validation], data.targets[validation]),
                batch_size=config.batch_size,
            ),
        )
    if trainer.interrupted:
        raise KeyboardInterrupt
    if not keeper.best:
        raise InputError(
            "the training diverged: no epoch had a finite validation loss; use a lower --lr"
        )
    task.load_state_dict(keeper.best)


def _keep(task: RawTask, options: dict[str, Any], folder: Path) -> None:
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        state = {name: value.cpu().contiguous() for name, value in task.state_dict().items()}
        save_file(state, temporary / _WEIGHTS)
        record = {**options, "history": task.history}
        write_text(temporary / _TRAINING, json.dumps(record, indent=1) + "\n")


def _check_size(data: LoadedData) -> None:
    height, width = data.raw.shape[-2:]
    if min(height, width) < 32 or (
        data.dataset.task == "segmentation" and (height % 32 or width % 32)
    ):
        raise InputError(
            f"{data.dataset.name}: images of {height} x {width} pixels do not fit the task models: "
            "at least 32 a side, and for segmentation multiples of 32"
        )
