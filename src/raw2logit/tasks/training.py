"""Train one task model on one view and one split, or take it from where it was kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from raw2logit.datasets import RawDataset, Split
from raw2logit.datasets.base import Task
from raw2logit.errors import InputError
from raw2logit.files import atomic_path, write_text
from raw2logit.isp import Pipeline, parametrized_pipeline, static_pipeline
from raw2logit.progress import PartProgress, Progress, silent
from raw2logit.quiet import quiet
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.classification import ClassificationTask
from raw2logit.tasks.config import Accelerator, TrainingConfig, is_own_model
from raw2logit.tasks.models import build_classifier, build_segmenter, check_output, provenance
from raw2logit.tasks.regression import RegressionTask
from raw2logit.tasks.segmentation import SegmentationTask

TASKS: dict[Task, type[RawTask]] = {
    "classification": ClassificationTask,
    "segmentation": SegmentationTask,
    "regression": RegressionTask,
}
"""What trains and measures each kind of target."""

_WEIGHTS, _TRAINING = "weights.safetensors", "training.json"
_FORMAT = 2
"""Of kept models; a change makes all of them train anew."""


@dataclass(frozen=True)
class LoadedData:
    """A data set in memory.

    Attributes:
        dataset: Where it came from.
        raw: ``(N, H, W)`` mosaics.
        targets: ``(N,)`` class indices or numbers, or ``(N, H, W)`` masks.
        fingerprint: Digest of what was read.
    """

    dataset: RawDataset
    raw: Tensor
    targets: Tensor
    fingerprint: str

    @classmethod
    def of(cls, dataset: RawDataset, progress: Progress = silent) -> LoadedData:
        """Read all files of a data set once, telling `progress` of each."""
        return cls(dataset, *dataset.load_with_fingerprint(progress))


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
        return TASKS[dataset.task](pipeline, _build_model(dataset, config), config, seed=seed)


def check_model(dataset: RawDataset, config: TrainingConfig) -> None:
    """Build the task model for nothing: what is wrong with it shows before data is read."""
    with torch.random.fork_rng(devices=[]):
        _build_model(dataset, config)


def _build_model(dataset: RawDataset, config: TrainingConfig) -> nn.Module:
    if dataset.task == "segmentation":
        return build_segmenter(config.model, pretrained=config.pretrained)
    return build_classifier(config.model, _n_outputs(dataset), pretrained=config.pretrained)


def _n_outputs(dataset: RawDataset) -> int:
    return len(dataset.classes) if dataset.task == "classification" else 1


def train_or_load(
    data: LoadedData,
    split: Split,
    view: str,
    config: TrainingConfig,
    models: Path,
    *,
    seed: int,
    learn_pipeline: bool = False,
    progress: PartProgress = lambda epochs, where: None,
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
        progress: Told after every batch and epoch, in epochs done.

    Returns:
        The trained module in evaluation mode, on the CPU, with its history.

    Raises:
        InputError: The training diverged, images are too small for the model, the training part
            is too small for a batch, or a kept model is damaged.
    """
    if not is_own_model(config.model):
        _check_size(data)
    if len(split.train) < 2:
        raise InputError(f"{data.dataset.name}: {len(split.train)} image to train on: use more")
    task = build_task(data.dataset, view, config, learn_pipeline=learn_pipeline, seed=seed)
    options = {
        "format": _FORMAT,
        "raw2logit": version("raw2logit"),
        "torch": version("torch"),
        "data": data.fingerprint,
        "camera": data.dataset.camera.to_dict(),
        "view": view,
        "learn_pipeline": learn_pipeline,
        "train": list(split.train),
        "validation": list(split.validation),
        "seed": seed,
        "config": dataclasses.asdict(config),
        "model": provenance(config.model),
    }
    key = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
    folder = models / f"{view.replace(',', '-')}-{key}"
    if folder.is_dir():
        _take(task, folder)
        progress(config.epochs, ", kept from before")
    else:
        size = data.raw.shape[-2:]
        expected = (_n_outputs(data.dataset), *(size if data.targets.dim() == 3 else ()))
        check_output(task.model, config.model, expected, size)
        _fit(task, data, split, seed, progress)
        _keep(task, options, folder)
    return task.cpu().eval()


def training_seed(seed: int, split: int) -> int:
    """Return the seed of one split's training: no two pairs of numbers share it."""
    return int(np.random.SeedSequence((seed, split)).generate_state(1)[0])


def choose_device(accelerator: Accelerator) -> torch.device:
    """Return where to compute.

    Raises:
        InputError: A GPU is asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("--accelerator gpu: PyTorch sees no GPU here; use auto or cpu")
    return torch.device("cpu" if accelerator == "cpu" or not torch.cuda.is_available() else "cuda")


class _KeepBest(Callback):
    """Keep the weights of the epoch with the lowest validation loss, and tell of progress."""

    def __init__(self, progress: PartProgress) -> None:
        self.best: dict[str, Tensor] = {}
        self._lowest = float("inf")
        self._progress = progress

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: object
    ) -> None:
        batch = f"{trainer.fit_loop.batch_idx + 1}/{trainer.num_training_batches}"
        self._progress(trainer.current_epoch, f", batch {batch} of the epoch")

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        loss = cast(RawTask, pl_module).history[-1]["val_loss"]
        if loss < self._lowest:
            self._lowest = loss
            self.best = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self._progress(trainer.current_epoch + 1, "")


def _fit(
    task: RawTask,
    data: LoadedData,
    split: Split,
    seed: int,
    progress: PartProgress,
) -> None:
    train, validation = list(split.train), list(split.validation)
    config = task.config
    device = choose_device(config.accelerator)
    task.to(device).fit_normalisation(data.raw[train])
    task.fit_targets(data.targets[train])
    task.model.to(memory_format=torch.channels_last)  # convolutions run faster this way
    keeper = _KeepBest(progress)
    # A last batch of one sample would break batch normalisation.
    batches = DataLoader(
        TensorDataset(data.raw[train], data.targets[train]),
        batch_size=min(config.batch_size, len(train)),
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    with quiet("lightning.pytorch"), warnings.catch_warnings():
        # The data is in memory: workers would only copy it.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*number of training batches")
        trainer = lightning.Trainer(
            max_epochs=config.epochs,
            accelerator="gpu" if device.type == "cuda" else "cpu",
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


def _take(task: RawTask, folder: Path) -> None:
    try:
        task.load_state_dict(load_file(folder / _WEIGHTS))
        record = json.loads((folder / _TRAINING).read_text(encoding="utf-8"))
        task.history = record["history"]
    except Exception as error:  # safetensors, PyTorch and json each have their own
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: a kept model that cannot be read ({reason}): delete the folder, and it "
            "is trained anew"
        ) from error


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
