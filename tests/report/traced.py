"""Traces made up for tests of what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from raw2logit.datasets.base import RawDataset, Task
from raw2logit.tasks.config import TrackConfig
from raw2logit.tasks.trace import Trace
from tests.tasks.data import CAMERA

EVERYTHING = TrackConfig(
    track_processing=True,
    track_processing_gradients=True,
    track_predictions=True,
    track_differences=True,
    track_save_tensors=True,
    track_every_epoch=True,
)


class Named(RawDataset):
    """Samples of which only names and classes count."""

    def __init__(self, task: Task) -> None:
        self.name = "named"
        self.task = task
        self.camera = CAMERA
        self.classes = () if task == "regression" else ("Bär", "Käfer", "an uncommonly long name")
        self.files = [Path(f"Ma190c_lame1_zone1_composite_Mcropped_{i}.tiff") for i in range(9)]

    def target(self, index: int) -> Tensor:
        raise NotImplementedError


def made_up(task: Task = "classification", *, n: int = 2, side: int = 16, seed: int = 0) -> Trace:
    """Return a trace of four stages with values of many sizes."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.rand(n, *shape, side, side, generator=generator)

    stages = {
        "black_level": noise() - 0.02,
        "demosaic": 3 * noise(3),
        "white_balance": noise(3) - 0.6,
        "gamma": noise(3),
    }
    logits, targets, predictions = {
        "classification": _classes,
        "segmentation": _masks,
        "regression": _numbers,
    }[task](n, side, generator)
    return Trace(
        raw=0.3 * noise(),
        stages=stages,
        encoded=frozenset({"gamma"}),
        gradients={
            name: 10.0**-power * (torch.rand(stage.shape, generator=generator) - 0.5)
            for power, (name, stage) in enumerate(stages.items())
        },
        raw_gradient=noise() - 0.5,
        default_view=(stages["gamma"] + 0.02 * noise(3)).clamp(0, 1),
        logits=logits,
        predictions=predictions,
        targets=targets,
        losses=torch.rand(n, generator=generator),
    )


def _classes(n: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    logits = torch.randn(n, 3, generator=generator)
    # The first is right, the others wrong.
    targets = (logits.argmax(1) + torch.arange(n).clamp(max=1)) % 3
    return logits, targets, logits.softmax(1)


def _masks(n: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    targets = torch.zeros(n, side, side)
    targets[:, 4:12, 4:12] = 1
    logits = torch.full((n, 1, side, side), -2.0)
    logits[:, :, 4:12, 8:16] = 2.0
    return logits, targets, logits[:, 0].sigmoid()


def _numbers(n: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    logits = torch.randn(n, 1, generator=generator)
    return logits, 4000 + 10 * logits[:, 0] - 3, 4000 + 10 * logits[:, 0]
