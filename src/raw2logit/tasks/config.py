"""Options of a training; free of heavy imports, so that the command line can show them fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raw2logit.errors import InputError

Augmentation = Literal["none", "weak"]


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
        accelerator: Where it runs, in Lightning's words: auto, cpu, gpu, mps.
    """

    model: str = "resnet18"
    pretrained: bool = False
    epochs: int = 20
    batch_size: int = 32
    lr: float = 1e-3
    pipeline_lr: float = 1e-4
    weight_decay: float = 1e-2
    augmentation: Augmentation = "weak"
    accelerator: str = "auto"

    def __post_init__(self) -> None:
        """Refuse options that cannot train."""
        for option in ("epochs", "batch_size"):
            if getattr(self, option) < 1:
                name = option.replace("_", "-")
                raise InputError(f"--{name} must be at least 1, got {getattr(self, option)}")
        if not self.lr > 0:
            raise InputError(f"--lr must be above 0, got {self.lr}")
