"""Options of a training; free of heavy imports, so that the command line can show them fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from raw2logit.errors import InputError

Augmentation = Literal["none", "weak", "strong"]
Accelerator = Literal["auto", "cpu", "gpu"]


Animation = Literal["gif", "mp4", "both", "none"]


def is_own_model(name: str) -> bool:
    """Tell whether a task model is of the user's own: ``module:Class`` or ``file.py:Class``."""
    library, colon, _ = name.partition(":")
    return bool(colon) and library.lower() not in ("timm", "smp")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a task model is trained.

    Attributes:
        model: Task model: a torchvision name such as resnet50, timm:NAME, or module:Class or
            file.py:Class of your own, called with n_outputs=. For segmentation the encoder of a
            U-Net++ (tu-NAME for timm's), smp:Architecture/encoder, or your own.
        pretrained: Start from ImageNet weights, fetched as torchvision, timm and smp do, or from
            their cache folders.
        epochs: Passes over the training part.
        batch_size: Images in a step.
        lr: Peak learning rate of the task model (AdamW, one-cycle schedule).
        pipeline_lr: Peak learning rate of the pipeline's parameters, where they are learned.
        weight_decay: Of the task model.
        augmentation: Of each view at random, masks in step. weak: quarter turns and mirrors;
            strong: also small rotations, scale, shear, shifts and changes of brightness, contrast
            and saturation; none.
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
        if not self.model.strip(":/ "):
            raise InputError("--model: name a task model, for instance resnet18")
        if not is_own_model(self.model):
            # Published names are written in many ways (ResNet18); one way finds what was kept.
            object.__setattr__(self, "model", self.model.lower())
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


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """What a run keeps of its images.

    Attributes:
        track_processing: Keep images of each stage of the pipeline.
        track_processing_gradients: Keep the gradient of the loss at each stage.
        track_predictions: Keep predictions beside targets.
        track_differences: Keep differences to the default pipeline.
        track_save_tensors: Keep all of it as tensors too (safetensors).
        track_every_epoch: After every epoch, not only at the end.
        track_n_images: How many: the first ones of the validation part.
        animation: The stages over training, where every epoch is tracked.
    """

    track_processing: bool = False
    track_processing_gradients: bool = False
    track_predictions: bool = False
    track_differences: bool = False
    track_save_tensors: bool = False
    track_every_epoch: bool = False
    track_n_images: int = 4
    animation: Animation = "gif"

    def __post_init__(self) -> None:
        """Refuse what cannot be kept."""
        if self.track_n_images < 1:
            raise InputError(f"--track-n-images must be at least 1, got {self.track_n_images}")

    @property
    def keeps_images(self) -> bool:
        """Whether anything is kept at all."""
        return (
            self.track_processing
            or self.track_processing_gradients
            or self.track_predictions
            or self.track_differences
            or self.track_save_tensors
        )
