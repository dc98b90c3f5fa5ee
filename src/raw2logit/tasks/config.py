"""Options of a training; free of heavy imports, so that the command line can show them fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from raw2logit.errors import InputError

MODELS = ("resnet18", "resnet34", "resnet50")
"""Task models by name; for segmentation the encoder."""

Augmentation = Literal["none", "weak"]
Accelerator = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a task model is trained.

    Attributes:
        model: Task model: resnet18, resnet34 or resnet50; for segmentation the encoder of a
            U-Net++.
        pretrained: Start from ImageNet weights (fetched by torchvision or timm, or from their
            cache folder).
        epochs: Passes over the training part.
        batch_size: Images in a step.
        lr: Peak learning rate of the task model (AdamW, one-cycle schedule).
        pipeline_lr: Peak learning rate of the pipeline's parameters, where they are learned.
        weight_decay: Of the task model.
        augmentation: weak: each view is turned and mirrored at random, masks in step; none.
        accelerator: Where it runs; auto: on the GPU if there is one.
    """

    model: str = "resnet18"
    pretrained: bool = False
    epochs: int = 20
    batch_size: int = 32
    lr: float = 1e-3
    pipeline_lr: float = 1e-4
    weight_decay: float = 1e-2
    augmentation: Augmentation = "weak"
    accelerator: Accelerator = "auto"

    def __post_init__(self) -> None:
        """Refuse options that cannot train."""
        if self.model not in MODELS:
            raise InputError(f"unknown task model {self.model!r}: choose from {' '.join(MODELS)}")
        if self.epochs < 1:
            raise InputError(f"--epochs must be at least 1, got {self.epochs}")
        if self.batch_size < 2:
            raise InputError(
                f"--batch-size must be at least 2, which batch normalisation needs, got "
                f"{self.batch_size}"
            )
        for option, value in (("lr", self.lr), ("pipeline-lr", self.pipeline_lr)):
            if not 0 < value < math.inf:
                raise InputError(f"--{option} must be above 0 and finite, got {value}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"--weight-decay must be 0 or more, got {self.weight_decay}")
