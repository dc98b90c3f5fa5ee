"""Measure trained task modules on a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit.isp import Pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.training import LoadedData

BATCH_SIZE = 32


@dataclass(frozen=True)
class Measurement:
    """One measured value: a row of ``results.csv``.

    Attributes:
        train_view: View that the task model was trained on.
        test_view: View that it was tested on.
        split: Number of the split.
        seed: Of the training.
        metric: Name of the metric.
        value: Its value: a share in [0, 1]; of regression R squared, at most 1, and errors in the
            label's unit.
        n_test: Images in the test part.
        corruption: Of the test view after the pipeline; None: there is none.
        severity: Of the corruption, 1 to 5.
    """

    train_view: str
    test_view: str
    split: int
    seed: int
    metric: str
    value: float
    n_test: int
    corruption: str | None = None
    severity: int | None = None


@torch.inference_mode()
def evaluate(
    tasks: Mapping[str, RawTask],
    pipeline: Pipeline,
    data: LoadedData,
    indices: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, float]]:
    """Show the same views to several task modules.

    Every raw batch is processed once, whatever the number of modules.

    Args:
        tasks: Trained modules by name.
        pipeline: Makes the view; the modules' own pipelines are not used.
        data: All samples.
        indices: Which of them to measure on.
        device: Where to compute; modules and pipeline are moved there and stay.

    Returns:
        For each module its metrics by name.
    """
    pipeline.to(device)
    for task in tasks.values():
        task.to(device)
    chosen = torch.as_tensor(indices)
    logits: dict[str, list[Tensor]] = {name: [] for name in tasks}
    for part in torch.split(chosen, BATCH_SIZE):
        view = pipeline(data.raw[part].to(device))
        for name, task in tasks.items():
            logits[name].append(task.classify_view(view).cpu())
    targets = data.targets[chosen]
    return {name: task.metrics(torch.cat(logits[name]), targets) for name, task in tasks.items()}


def spread(values: npt.NDArray[np.float64]) -> float | None:
    """Return the standard deviation (n - 1) of one value a split; None for a single split."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def blind_baseline(data: LoadedData, test: Sequence[int]) -> float:
    """Return the most that a model can reach that never looks at the image.

    Args:
        data: All samples.
        test: Where it is measured.

    Returns:
        Classification: the share of the most common class. Segmentation: the intersection over
        union of calling every pixel the class. Regression: the R squared of always saying the
        test part's mean, which is 0.
    """
    if data.dataset.task == "regression":
        return 0.0
    targets = data.targets[torch.as_tensor(test)]
    if data.dataset.task == "segmentation":
        return float(targets.mean())
    return float((targets == targets.mode().values).float().mean())
