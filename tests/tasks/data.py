"""A data set in memory whose answer is known, and a task model small enough for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from raw2logit.camera import Camera
from raw2logit.datasets import Split, make_splits
from raw2logit.datasets.base import RawDataset, Task
from raw2logit.tasks.training import LoadedData

CAMERA = Camera("flat")


class Levels(RawDataset):
    """Uniform mosaics; the class tells how bright, the mask where the bright half lies."""

    def __init__(self, task: Task, n: int = 60, size: int = 32) -> None:
        self.name = "levels"
        self.task = task
        self.camera = CAMERA
        self.classes = ("dark", "bright") if task == "classification" else ("bright",)
        generator = torch.Generator().manual_seed(1)
        self.labels = [i % 2 for i in range(n)] if task == "classification" else [0] * n
        self.groups = [f"g{i // 4}" for i in range(n)]
        self.files = [Path(f"{i}.tif") for i in range(n)]
        noise = 0.02 * torch.randn(n, size, size, generator=generator)
        if task == "classification":
            self.targets = torch.tensor(self.labels)
            level = torch.where(self.targets == 1, 0.6, 0.3)[:, None, None]
        else:
            self.targets = torch.zeros(n, size, size)
            self.targets[:, :, size // 2 :] = 1
            level = 0.3 + 0.3 * self.targets
        self.raw = (level + noise).clamp(0, 1)

    def target(self, index: int) -> Tensor:
        return self.targets[index]

    def loaded(self) -> LoadedData:
        return LoadedData(self, self.raw, self.targets, "levels")


def two_splits(data: LoadedData) -> list[Split]:
    return make_splits(data.dataset, 2, seed=0)


class MeanModel(nn.Module):
    """Logits from the mean of each channel: learns within a few steps."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, n_classes)

    def forward(self, view: Tensor) -> Tensor:
        return self.head(view.mean(dim=(2, 3)))


class PixelModel(nn.Module):
    """A logit for each pixel from its colour."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, view: Tensor) -> Tensor:
        return self.head(view)


class BlindModel(nn.Module):
    """Says the same whatever it sees."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_classes))

    def forward(self, view: Tensor) -> Tensor:
        return self.logits.expand(len(view), -1)


TINY_MODEL_FILE = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.head = torch.nn.Linear(3, n_outputs)

    def forward(self, view):
        return self.head(view.mean(dim=(2, 3)))
"""
"""The text of a file for `--model tiny.py:Tiny`."""
