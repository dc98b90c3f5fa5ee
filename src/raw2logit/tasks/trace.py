"""Look into a task module: what each stage of its pipeline makes, and what the loss asks of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raw2logit.isp import Pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.regression import RegressionTask

_ENCODING_FAMILIES = ("gamma", "neural")
"""Families of steps after which an image is meant to be looked at, in [0, 1]."""
_NOT_IN_METRIC_NAMES = re.compile(r"[^0-9A-Za-z_\-. /]")


@dataclass(frozen=True)
class Trace:
    """A task module at work on n samples, on the CPU and apart from any graph.

    Attributes:
        raw: ``(n, H, W)`` mosaics.
        stages: What each step puts out, in their order: ``(n, H, W)`` before the demosaicing,
            ``(n, 3, H, W)`` from there on. The last one is the view.
        encoded: The stages that are encoded, in [0, 1]; the others are linear and of any range.
        gradients: Of the mean loss with respect to each stage, by the same names and of the same
            shapes; zero where none flows.
        raw_gradient: ``(n, H, W)``, with respect to the mosaics.
        default_view: ``(n, 3, H, W)``, of the default pipeline.
        logits: Of the task model.
        predictions: Classification: ``(n, C)`` probabilities; segmentation: ``(n, H, W)``
            probabilities; regression: ``(n,)`` numbers in the label's unit.
        targets: ``(n,)`` or ``(n, H, W)``.
        losses: ``(n,)``, the loss of each sample alone.
    """

    raw: Tensor
    stages: dict[str, Tensor]
    encoded: frozenset[str]
    gradients: dict[str, Tensor]
    raw_gradient: Tensor
    default_view: Tensor
    logits: Tensor
    predictions: Tensor
    targets: Tensor
    losses: Tensor

    @property
    def view(self) -> Tensor:
        """What the task model sees, ``(n, 3, H, W)``."""
        return next(reversed(self.stages.values()))

    @property
    def view_name(self) -> str:
        """Name of the stage that is the view."""
        return next(reversed(self.stages))


def take_trace(task: RawTask, default: Pipeline, raw: Tensor, targets: Tensor) -> Trace:
    """Run a task module in evaluation mode, without augmentation, and keep what is inside.

    Nothing of the task changes, so that a training goes on as if it had not been looked at: modes,
    statistics, gradients of parameters and random numbers stay. It may be called where gradients
    are switched off.

    Args:
        task: Trained or not, its pipeline learned or frozen, on any device.
        default: Makes the view to compare with, where it lies.
        raw: ``(n, H, W)`` mosaics.
        targets: Theirs, as the task takes them.

    Returns:
        The trace. Samples do not depend on each other: the loss is the mean of each sample's own.
    """
    device = task.view_mean.device
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=cuda),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        _evaluating(task, default),
    ):
        # A copy made here can be watched, even if the raw was made in inference mode.
        raw = raw.detach().clone().to(device)
        targets = targets.detach().clone().to(device)
        with torch.no_grad():
            default_view = _unfolded(default, _like(default, raw))[-1]
        raw.requires_grad_()
        stages = dict(zip(task.pipeline.steps, _unfolded(task.pipeline, raw), strict=True))
        logits = task.classify_view(next(reversed(stages.values())))
        losses = torch.stack(
            [task.loss(logits[i : i + 1], targets[i : i + 1]) for i in range(len(raw))]
        )
        raw_gradient, *gradients = _gradients(losses.mean(), [raw, *stages.values()])
        return Trace(
            raw=_kept(raw),
            stages={name: _kept(stage) for name, stage in stages.items()},
            encoded=_encoded(task.pipeline),
            gradients=dict(zip(stages, map(_kept, gradients), strict=True)),
            raw_gradient=_kept(raw_gradient),
            default_view=_kept(default_view),
            logits=_kept(logits),
            predictions=_kept(_predictions(task, logits, targets)),
            targets=_kept(targets),
            losses=_kept(losses),
        )


def trace_metrics(trace: Trace) -> dict[str, float]:
    """Return the figures of a trace that are worth a curve over training.

    Returns:
        ``gradient_norm.STAGE``, the L2 norm of the gradient of the mean loss at each stage, all
        samples together, and ``view_rmse_to_default``, the root mean square difference of the view
        to that of the default pipeline. What a lab takes in no name is replaced by ``_``.
    """
    metrics: dict[str, float] = {}
    for stage, gradient in trace.gradients.items():
        name = "gradient_norm." + _NOT_IN_METRIC_NAMES.sub("_", stage)
        while name in metrics:
            name += "_"
        metrics[name] = float(gradient.double().norm())
    difference = trace.view.double() - trace.default_view.double()
    metrics["view_rmse_to_default"] = float(difference.square().mean().sqrt())
    return metrics


@contextmanager
def _evaluating(*modules: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and afterwards each module's own mode, which may differ within one."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _unfolded(pipeline: Pipeline, raw: Tensor) -> list[Tensor]:
    """Return what each step puts out; both pipelines run this way, so equal ones agree exactly."""
    with pipeline.capture() as stages:
        pipeline(raw)
    return list(stages.values())


def _like(pipeline: Pipeline, raw: Tensor) -> Tensor:
    for parameter in pipeline.parameters():
        return raw.to(parameter)
    return raw


def _gradients(loss: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Return the gradient at each input, zero where none flows; parameters get none."""
    reached = [tensor for tensor in inputs if tensor.requires_grad]
    found = torch.autograd.grad(loss, reached, allow_unused=True) if loss.requires_grad else ()
    known = {id(tensor): gradient for tensor, gradient in zip(reached, found, strict=False)}
    gradients = [known.get(id(tensor)) for tensor in inputs]
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(inputs, gradients, strict=True)
    ]


def _predictions(task: RawTask, logits: Tensor, targets: Tensor) -> Tensor:
    if isinstance(task, RegressionTask):
        return task.predict(logits)
    return logits[:, 0].sigmoid() if targets.dim() == 3 else logits.softmax(dim=1)


def _encoded(pipeline: Pipeline) -> frozenset[str]:
    steps = pipeline.named_steps()
    families = [step.family for _, step in steps]
    first = min(
        (families.index(family) for family in _ENCODING_FAMILIES if family in families),
        default=len(steps),
    )
    return frozenset(name for name, _ in steps[first:])


def _kept(tensor: Tensor) -> Tensor:
    """Return a copy of its own on the CPU."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
