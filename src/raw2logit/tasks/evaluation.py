"""Measure trained task modules on a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raw2logit.isp import Pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.training import LoadedData

_BATCH_SIZE = 32


@dataclass(frozen=True)
class Measurement:
    """One measured value: a row of ``results.csv``.

    Attributes:
        train_view: View that the task model was trained on.
        test_view: View that it was tested on.
        split: Number of the split.
        seed: Of the training.
        metric: Name of the metric.
        value: Its value, in [0, 1].
        n_test: Images in the test part.
    """

    train_view: str
    test_view: str
    split: int
    seed: int
    metric: str
    value: float
    n_test: int


@torch.inference_mode()
def evaluate(
    tasks: Mapping[str, RawTask], pipeline: Pipeline, data: LoadedData, indices: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Show the same views to several task modules.

    Every raw batch is processed once, whatever the number of modules.

    Args:
        tasks: Trained modules by name, all on one device.
        pipeline: Makes the view; the modules' own pipelines are not used.
        data: All samples.
        indices: Which of them to measure on.

    Returns:
        For each module its metrics by name.
    """
    device = next(iter(tasks.values())).view_mean.device
    pipeline = pipeline.to(device)
    chosen = torch.as_tensor(indices)
    logits: dict[str, list[Tensor]] = {name: [] for name in tasks}
    for part in torch.split(chosen, _BATCH_SIZE):
        view = pipeline(data.raw[part].to(device))
        for name, task in tasks.items():
            logits[name].append(task.classify_view(view).cpu())
    targets = data.targets[chosen]
    return {name: task.metrics(torch.cat(logits[name]), targets) for name, task in tasks.items()}


def blind_baseline(data: LoadedData, train: Sequence[int], test: Sequence[int]) -> float:
    """Return what a model reaches that never looks at the image.

    Args:
        data: All samples.
        train: Where it learns the most common class.
        test: Where it is measured.

    Returns:
        Classification: the share of the training part's most common class in the test part.
        Segmentation: the intersection over union of calling every pixel a car.
    """
    targets = data.targets[torch.as_tensor(test)]
    if data.dataset.task == "segmentation":
        return float(targets.mean())
    common = data.targets[torch.as_tensor(train)].mode().values
    return float((targets == common).float().mean())
