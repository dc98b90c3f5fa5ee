"""Options of a training; free of heavy imports, so that the command line can show them fast."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from raw2logit.errors import InputError

Augmentation = Literal["none", "weak", "strong"]
Accelerator = Literal["auto", "cpu", "gpu"]


Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Distance = Literal["l2", "ssim"]
Animation = Literal["gif", "mp4", "both", "none"]

ATTACKED_FAMILIES = (
    *("black_level", "demosaic", "white_balance", "colour_matrix", "sharpen", "denoise", "gamma"),
    "additive_layer",
)
"""What an attack may change: the settings of the pipeline, and a layer that is added to images."""


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
        freeze_model: Leave the task model as it is; only the pipeline learns.
        check_val_every: Epochs from one look at the validation part to the next.
        accelerator: Where it runs; auto: on the GPU if there is one.
        devices: Which GPU: 1 for the first one, or N, with a comma for the one with that index.
        precision: Of the task model while it learns; the pipeline computes in 32 bits.
        checkpoint_s: Seconds of training from one checkpoint to the next, which is what a kill can
            cost; 0: one after every epoch.
    """

    model: str = "resnet18"
    pretrained: bool = False
    epochs: int = 20
    batch_size: int = 32
    lr: float = 1e-3
    pipeline_lr: float = 1e-4
    weight_decay: float = 1e-2
    augmentation: Augmentation = "weak"
    freeze_model: bool = False
    check_val_every: int = 1
    accelerator: Accelerator = "auto"
    devices: str = "1"
    precision: Precision = "32-true"
    checkpoint_s: float = 30.0

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
        for option, value in (
            ("weight-decay", self.weight_decay),
            ("checkpoint-s", self.checkpoint_s),
        ):
            if not 0 <= value < math.inf:
                raise InputError(f"--{option} must be 0 or more and finite, got {value}")
        if not 1 <= self.check_val_every <= self.epochs:
            raise InputError(
                f"--check-val-every must be from 1 to the number of epochs, {self.epochs}, got "
                f"{self.check_val_every}"
            )
        index = self.devices.removesuffix(",")
        if not index.isdecimal() or (index == self.devices and index != "1"):
            raise InputError(
                f"--devices {self.devices}: a training runs on one device: 1 for the first GPU, or "
                "its index and a comma, as in 0,"
            )

    @property
    def device_index(self) -> int:
        """Which GPU, from 0."""
        return int(self.devices[:-1]) if self.devices.endswith(",") else 0

    def identity(self) -> dict[str, Any]:
        """Return the options that decide what is learned: plain values."""
        no_matter = ("devices", "checkpoint_s")
        return {key: value for key, value in asdict(self).items() if key not in no_matter}


@dataclass(frozen=True, kw_only=True)
class AttackConfig:
    """How the pipeline is turned against a trained task model.

    Attributes:
        attack: Train the task model, then freeze it and let the pipeline learn to mislead it.
        attack_weight: Of the distance to the default view, which the attack keeps small.
        attack_distance: l2: mean squared difference; ssim: 1 minus the structural similarity.
        attack_parameters: What may change: all settings, or families of them.
        attack_layer: Also learn a layer that is added to every image before gamma; to learn
            nothing else, --attack-parameters additive_layer.
    """

    attack: bool = False
    attack_weight: float = 1.0
    attack_distance: Distance = "ssim"
    attack_parameters: tuple[str, ...] = ("all",)
    attack_layer: bool = False

    def __post_init__(self) -> None:
        """Refuse options that cannot attack."""
        if not 0 <= self.attack_weight < math.inf:
            raise InputError(
                f"--attack-weight must be 0 or more and finite, got {self.attack_weight}"
            )
        for name in self.attack_parameters:
            if name not in ("all", *ATTACKED_FAMILIES):
                raise InputError(
                    f"--attack-parameters {name}: choose from all {' '.join(ATTACKED_FAMILIES)}"
                )
        if not self.attack_parameters:
            raise InputError("--attack-parameters: name what may change, or all")
        if "additive_layer" in self.attack_parameters and not self.attack_layer:
            raise InputError("--attack-parameters additive_layer needs --attack-layer")

    def changes(self, family: str) -> bool:
        """Tell whether a family of steps learns."""
        if family == "additive_layer" and self.attack_layer:
            return True
        return "all" in self.attack_parameters or family in self.attack_parameters


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """What a run keeps of its images.

    Attributes:
        track_processing: Keep images of each stage of the pipeline.
        track_processing_gradients: Keep the gradient of the loss at each stage.
        track_predictions: Keep predictions beside targets.
        track_differences: Keep differences to the default pipeline.
        track_save_tensors: Keep all of it as tensors too (safetensors): 12 MB an epoch for each
            image of 256 pixels a side.
        track_every_epoch: After every epoch, not only at the end; the pictures of an image of 256
            pixels a side take up to 3 MB.
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
