"""Task models in files: one safetensors file holds the weights and what builds the model anew."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import torch
from torch import Tensor, nn

from raw2logit.datasets.base import Task
from raw2logit.errors import InputError
from raw2logit.files import atomic_path
from raw2logit.isp.saving import described, doubting, read_safetensors
from raw2logit.tasks.config import is_own_model
from raw2logit.tasks.models import ShapesOnly, build_classifier, build_segmenter, provenance

if TYPE_CHECKING:
    from raw2logit.tasks.base import RawTask

_KEY = "raw2logit.task"
_FORMAT = 1


class TaskModel(nn.Module):
    """A task model as it stands behind a view: normalisation, the network, and what it says.

    Attributes:
        model: From normalised view to logits.
        task: classification, segmentation or regression.
        classes: Names, in the order of the logits; of segmentation the one class; of regression
            none or the label's name.
        name: Of the architecture, as in ``TrainingConfig.model``.
        view: The view that it was trained on, or None for a pipeline of one's own steps.
    """

    view_mean: Tensor
    view_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self, model: nn.Module, *, task: Task, classes: Sequence[str], name: str, view: str | None
    ) -> None:
        """Put a network behind a normalisation that does nothing yet.

        Args:
            model: Takes ``(B, 3, H, W)``.
            task: What the logits mean.
            classes: Names, in the order of the logits.
            name: Of the architecture.
            view: That it is trained on.
        """
        super().__init__()
        self.model = model
        self.task = task
        self.classes = tuple(classes)
        self.name = name
        self.view = view
        self.register_buffer("view_mean", torch.zeros(3, 1, 1))
        self.register_buffer("view_std", torch.ones(3, 1, 1))
        if task == "regression":
            self.register_buffer("target_mean", torch.zeros(()))
            self.register_buffer("target_std", torch.ones(()))

    @classmethod
    def of(cls, task: RawTask, classes: Sequence[str]) -> Self:
        """Return the task model of a task module; both share network and buffers.

        Args:
            task: Trained or not.
            classes: Names, in the order of the logits.
        """
        from raw2logit.tasks.training import TASKS

        kind = next(name for name, module in TASKS.items() if isinstance(task, module))
        name = task.config.model
        made = cls(task.model, task=kind, classes=classes, name=name, view=task.pipeline.view)
        for buffer, _ in list(made.named_buffers(recurse=False)):
            made.register_buffer(buffer, getattr(task, buffer))
        return made

    def forward(self, view: Tensor) -> Tensor:
        """Map a ``(B, 3, H, W)`` view, encoded RGB in [0, 1], to logits.

        Returns:
            ``(B, C)`` of classes, ``(B, 1, H, W)`` of a mask, or ``(B, 1)`` standardised numbers.
        """
        logits: Tensor = self.model((view - self.view_mean) / self.view_std)
        return logits

    def predict(self, view: Tensor) -> Tensor:
        """Map a ``(B, 3, H, W)`` view, encoded RGB in [0, 1], to what the model says.

        Returns:
            ``(B,)`` class indices, ``(B, H, W)`` masks (bool), or ``(B,)`` numbers in the label's
            unit.
        """
        logits = self.forward(view)
        if self.task == "classification":
            return logits.argmax(dim=1)
        if self.task == "segmentation":
            return logits[:, 0] > 0
        return logits[:, 0] * self.target_std + self.target_mean


def save_task(task: RawTask, path: Path | str, *, classes: Sequence[str]) -> Path:
    """Write the task model of a task module to a safetensors file.

    Args:
        task: Trained or not; its pipeline is left out, see `raw2logit.save_pipeline`.
        path: Of the file; written complete or not at all.
        classes: Names, in the order of the logits.

    Returns:
        The path.

    Raises:
        InputError: Classes and logits do not go together.
    """
    from safetensors.torch import save_file

    model = TaskModel.of(task, classes)
    if model.task == "classification" and not classes:
        raise InputError(f"{path}: a classification needs the names of its classes")
    # Copies: safetensors refuses tensors that share memory.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    description = {
        "format": _FORMAT,
        "task": model.task,
        "model": model.name,
        "n_outputs": _n_outputs(model.task, model.classes),
        "classes": list(model.classes),
        "view": model.view,
        "made_with": {
            **{package: version(package) for package in ("raw2logit", "torch")},
            **provenance(model.name),
        },
    }
    with atomic_path(Path(path)) as temporary:
        save_file(state, temporary, metadata={_KEY: json.dumps(description)})
    return Path(path)


def load_task_file(path: Path | str, model: str | None = None) -> TaskModel:
    """Read what `save_task` wrote. Nothing is fetched, and nothing that the file names is run.

    Args:
        path: Of the file.
        model: Name of the architecture, as in ``TrainingConfig.model``; None: as the file says.
            One of your own (``module:Class``, ``file.py:Class``) must be named here, since it is
            code that is run.

    Returns:
        The model, frozen and in evaluation mode.

    Raises:
        MissingDataError: There is no such file.
        InputError: The file is no task model, or holds one of somebody's own and `model` is None.
    """
    path = Path(path)
    metadata, state = read_safetensors(path)
    with doubting(path, "task model that save_task wrote"):
        description = described(metadata, _KEY, "task model", _FORMAT)
        loaded = _build(description, state, model)
        loaded.load_state_dict(state)
        _check_normalisation(loaded)
    return loaded.requires_grad_(False).eval()


def _build(
    description: Mapping[str, Any], state: Mapping[str, Tensor], model: str | None
) -> TaskModel:
    task, classes, view = (description[key] for key in ("task", "classes", "view"))
    written = description["model"]
    if task not in get_args(Task):
        raise ValueError(f"task {task!r}")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise TypeError("classes are no list of names")
    if not isinstance(written, str) or not isinstance(view, str | None):
        raise TypeError("model and view are no names")
    if description["n_outputs"] != _n_outputs(task, classes):
        raise ValueError(f"{description['n_outputs']} outputs for {len(classes)} classes")
    if model is None and is_own_model(written):
        raise InputError(
            f"holds a model of somebody's own, {written[:200]!r}, and what a file names is not "
            "run: if you have its code and trust it, pass model='module:Class' (--model)"
        )
    name = model or written
    if not is_own_model(name):
        _check_sizes(name, task, len(classes), state)
    network = _network(name, task, len(classes))
    loaded = TaskModel(network, task=task, classes=classes, name=name, view=view)
    if (dtype := state["view_mean"].dtype).is_floating_point:
        loaded.to(dtype)
    for key, tensor in loaded.state_dict().items():
        if key in state and state[key].dtype != tensor.dtype:
            raise TypeError(f"{key} is {state[key].dtype}, expected {tensor.dtype}")
    return loaded


def _check_sizes(name: str, task: Task, n_classes: int, state: Mapping[str, Tensor]) -> None:
    """Compare sizes before memory is taken for what a file may only claim to hold."""
    sizes = {tensor.shape[0] for tensor in state.values() if tensor.dim()}
    if task == "classification" and n_classes not in sizes:
        raise ValueError(f"no tensor for {n_classes} classes")
    _import_library(name, task)
    of_torchvision = task != "segmentation" and ":" not in name
    with ShapesOnly() if of_torchvision else torch.device("meta"):
        expected = _network(name, task, n_classes).state_dict()
    for key, tensor in expected.items():
        found = state.get(f"model.{key}")
        if found is None or found.shape != tensor.shape:
            size = "missing" if found is None else f"{tuple(found.shape)}"
            raise ValueError(f"{key} of {name} is {size}, expected {tuple(tensor.shape)}")


def _import_library(name: str, task: Task) -> None:
    """Import what builds a model; in the block of a device, what an import makes goes there too."""
    if task == "segmentation":
        import_module("segmentation_models_pytorch")
    else:
        import_module("timm" if name.lower().startswith("timm:") else "torchvision.models")


def _network(name: str, task: Task, n_classes: int) -> nn.Module:
    # The global generator is left as it is: initial weights have no generator argument.
    with torch.random.fork_rng(devices=[]):
        if task == "segmentation":
            return build_segmenter(name)
        return build_classifier(name, n_classes if task == "classification" else 1)


def _check_normalisation(loaded: TaskModel) -> None:
    for name, tensor in loaded.named_buffers(recurse=False):
        if not tensor.isfinite().all() or (name.endswith("_std") and not (tensor > 0).all()):
            raise ValueError(f"{name} is {tensor.flatten().tolist()}")


def _n_outputs(task: Task, classes: Sequence[str]) -> int:
    return len(classes) if task == "classification" else 1
