"""Train one task model on one view and one split, or take it from where it was kept."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raw2logit.datasets import RawDataset, Split
from raw2logit.datasets.base import Task
from raw2logit.errors import InputError
from raw2logit.files import atomic_path, write_text
from raw2logit.isp import Pipeline, parametrized_pipeline, static_pipeline
from raw2logit.progress import PartProgress, Progress, silent
from raw2logit.tasks.attack import Attack, attacking_pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.classification import ClassificationTask
from raw2logit.tasks.config import AttackConfig, TrainingConfig, is_own_model
from raw2logit.tasks.fitting import Observer, choose_device, fit, require_learnable
from raw2logit.tasks.models import build_classifier, build_segmenter, check_output, provenance
from raw2logit.tasks.regression import RegressionTask
from raw2logit.tasks.segmentation import SegmentationTask

TASKS: dict[Task, type[RawTask]] = {
    "classification": ClassificationTask,
    "segmentation": SegmentationTask,
    "regression": RegressionTask,
}
"""What trains and measures each kind of target."""

_WEIGHTS, _TRAINING, _CHECKPOINT = "weights.safetensors", "training.json", "last.ckpt"
_FORMAT = 3
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


@dataclass(frozen=True)
class Start:
    """Where a training begins, where it is not at the defaults and random weights.

    Attributes:
        pipeline: In the place of the view's own.
        model: State of task model and normalisation, as of a `RawTask` without its pipeline.
    """

    pipeline: Pipeline | None = None
    model: Mapping[str, Tensor] | None = None

    @classmethod
    def at(cls, task: RawTask) -> Start:
        """Begin where another training ended."""
        state = task.state_dict()
        beside = {name: value for name, value in state.items() if not name.startswith(_BESIDE)}
        return cls(task.pipeline, beside)

    def digest(self) -> str:
        """Return a digest of all values."""
        states = {
            "pipeline": {} if self.pipeline is None else self.pipeline.state_dict(),
            "model": self.model or {},
        }
        camera = "" if self.pipeline is None else self.pipeline.camera
        digest = hashlib.sha256(f"{self.pipeline} {camera}".encode())
        for part, state in states.items():
            for name, value in sorted(state.items()):
                digest.update(f"{part} {name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


FROM_SCRATCH = Start()
NO_ATTACK = AttackConfig()
_BESIDE = ("pipeline.", "attack.")


def build_task(
    dataset: RawDataset,
    view: str,
    config: TrainingConfig,
    *,
    learn_pipeline: bool,
    seed: int,
    start: Start = FROM_SCRATCH,
    attack: AttackConfig = NO_ATTACK,
    size: tuple[int, int] | None = None,
) -> RawTask:
    """Build pipeline and task model with their initial weights.

    Args:
        dataset: Decides task, classes and camera.
        view: One of `raw2logit.VIEWS`.
        config: Which model, and how it learns.
        learn_pipeline: Parametrized instead of static.
        seed: Of the initial weights and the augmentation.
        start: What is taken from elsewhere.
        attack: Whether the pipeline is turned against the task model, and how.
        size: Height and width of the images, where an attack adds a layer.

    Returns:
        The task module, not trained.

    Raises:
        InputError: `start` does not fit the data or the model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # inside the fork: initial weights have no generator argument
        pipeline: Pipeline
        if start.pipeline is None:
            make_pipeline = parametrized_pipeline if learn_pipeline else static_pipeline
            pipeline = make_pipeline(dataset.camera, view)
        else:
            pipeline = copy.deepcopy(start.pipeline).requires_grad_(learn_pipeline)
        if start.model is not None:
            config = dataclasses.replace(config, pretrained=False)
        model = _build_model(dataset, config)
        task = TASKS[dataset.task](pipeline, model, config, seed=seed)
    if start.model is not None:
        _begin_at(task, start.model)
    if attack.attack:
        task.attack = Attack(pipeline, attack)
        task.pipeline = attacking_pipeline(pipeline, attack, size)
    return task


def check_model(
    dataset: RawDataset,
    config: TrainingConfig,
    view: str = "bi,s,ga",
    *,
    learn_pipeline: bool = False,
    start: Start = FROM_SCRATCH,
    attack: AttackConfig = NO_ATTACK,
) -> None:
    """Build the task module for nothing: what is wrong with it shows before data is read.

    Arguments and errors are those of `build_task`; and something must be free to learn.
    """
    task = build_task(
        dataset, view, config, learn_pipeline=learn_pipeline, seed=0, start=start, attack=attack
    )
    require_learnable(task)


def _build_model(dataset: RawDataset, config: TrainingConfig) -> nn.Module:
    if dataset.task == "segmentation":
        return build_segmenter(config.model, pretrained=config.pretrained)
    return build_classifier(config.model, _n_outputs(dataset), pretrained=config.pretrained)


def _begin_at(task: RawTask, model: Mapping[str, Tensor]) -> None:
    own = {name: value for name, value in task.state_dict().items() if name[:9] != "pipeline."}
    other = [name for name in {*own, *model} if name not in own or name not in model]
    other += [name for name in {*own} & {*model} if own[name].shape != model[name].shape]
    if other:
        raise InputError(
            f"the given task model does not fit --model {task.config.model} and the data's task "
            f"and classes ({min(other)} differs): name the --model and the data it was trained on"
        )
    task.load_state_dict({**model}, strict=False)


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
    start: Start = FROM_SCRATCH,
    attack: AttackConfig = NO_ATTACK,
    observer: Observer | None = None,
    progress: PartProgress = lambda epochs, where: None,
) -> RawTask:
    """Return a trained task module, from `models` if the very same was trained before.

    The module of the epoch with the lowest validation loss is kept; the test part is not touched.
    A training that was killed goes on from its last checkpoint.

    Args:
        data: All samples.
        split: Its train and validation parts are used.
        view: What the model sees.
        config: Options of the training.
        models: Folder of trained modules, by content.
        seed: Of initial weights, batch order and augmentation.
        learn_pipeline: Learn the pipeline too.
        start: What is taken from elsewhere; a task model brings its normalisation.
        attack: Whether the pipeline is turned against the task model, and how; then the task
            model should start as a trained one, and be frozen.
        observer: Called after every epoch; not for a module that was kept from before.
        progress: Told after every batch and epoch, in epochs done.

    Returns:
        The trained module in evaluation mode, on the CPU, with its history.

    Raises:
        InputError: The training diverged, images are too small for the model, the training part
            is too small for a batch, `start` does not fit, or a kept model is damaged.
    """
    if not is_own_model(config.model):
        _check_size(data)
    if len(split.train) < 2:
        raise InputError(f"{data.dataset.name}: {len(split.train)} image to train on: use more")
    height, width = data.raw.shape[-2:]
    task = build_task(
        data.dataset,
        view,
        config,
        learn_pipeline=learn_pipeline,
        seed=seed,
        start=start,
        attack=attack,
        size=(height, width),
    )
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
        "config": config.identity(),
        "model": provenance(config.model),
        "start": start.digest(),
        "attack": dataclasses.asdict(attack) if attack.attack else None,
    }
    key = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:16]
    folder = models / f"{view.replace(',', '-')}-{key}"
    unfinished = models / f"{folder.name}.unfinished"
    if folder.is_dir():
        _take(task, folder)
        progress(config.epochs, ", kept from before")
    else:
        expected = (_n_outputs(data.dataset), *((height, width) if data.targets.dim() == 3 else ()))
        check_output(task.model, config.model, expected, data.raw.shape[-2:])
        _fit(task, data, split, unfinished / _CHECKPOINT, seed, start, observer, progress)
        _keep(task, options, folder)
    shutil.rmtree(unfinished, ignore_errors=True)  # a kill may have left it beside the kept model
    return task.cpu().eval()


def _fit(
    task: RawTask,
    data: LoadedData,
    split: Split,
    checkpoint: Path,
    seed: int,
    start: Start,
    observer: Observer | None,
    progress: PartProgress,
) -> None:
    train, validation = list(split.train), list(split.validation)
    task.to(choose_device(task.config))
    if start.model is None:
        task.fit_normalisation(data.raw[train])
        task.fit_targets(data.targets[train])
    task.model.to(memory_format=torch.channels_last)  # convolutions run faster this way
    fit(
        task,
        (data.raw[train], data.targets[train]),
        (data.raw[validation], data.targets[validation]),
        checkpoint,
        seed=seed,
        observer=observer,
        progress=progress,
    )


def training_seed(seed: int, split: int) -> int:
    """Return the seed of one split's training: no two pairs of numbers share it."""
    return int(np.random.SeedSequence((seed, split)).generate_state(1)[0])


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
