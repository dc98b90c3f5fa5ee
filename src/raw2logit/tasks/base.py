"""What all task modules share: raw in, logits out, with the pipeline inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import lightning
import torch
from torch import Tensor, nn

from raw2logit.isp import Pipeline
from raw2logit.tasks.attack import Attack
from raw2logit.tasks.augmentation import augment
from raw2logit.tasks.config import TrainingConfig

Batch = tuple[Tensor, Tensor]


class RawTask(lightning.LightningModule, ABC):
    """Pipeline, normalisation and task model as one module.

    The view is normalised with the mean and standard deviation of the training part's views,
    which stay as they are when other views are shown: a deployed model does the same.

    Attributes:
        pipeline: From ``(B, H, W)`` raw to ``(B, 3, H, W)`` view.
        model: From normalised view to logits.
        attack: What the pipeline minimises where it is turned against the task model.
        primary_metric: The metric that reports lead with.
        history: One row a look at the validation part: ``epoch`` (from 1), ``train_loss``, and
            the part's loss and metrics.
    """

    primary_metric: str
    attack: Attack | None
    view_mean: Tensor
    view_std: Tensor

    def __init__(
        self, pipeline: Pipeline, model: nn.Module, config: TrainingConfig, *, seed: int = 0
    ) -> None:
        """Put the parts together.

        Args:
            pipeline: Frozen or learnable.
            model: Takes ``(B, 3, H, W)``.
            config: Optimiser and augmentation.
            seed: Of the augmentation.
        """
        super().__init__()
        self.pipeline = pipeline
        self.model = model
        self.config = config
        self.register_buffer("view_mean", torch.zeros(3, 1, 1))
        self.register_buffer("view_std", torch.ones(3, 1, 1))
        self.history: list[dict[str, float]] = []
        self.augmentation = torch.Generator().manual_seed(seed)
        self.attack = None
        self._train_losses: list[Tensor] = []
        self._outputs: list[Batch] = []
        self._distances: list[Tensor] = []
        if config.freeze_model:
            model.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Go to training mode; a frozen task model stays in evaluation mode, statistics and all."""
        super().train(mode)
        if self.config.freeze_model:
            self.model.eval()
        if self.attack is not None:
            self.attack.eval()
        return self

    def forward(self, raw: Tensor) -> Tensor:
        """Map ``(B, H, W)`` raw to logits."""
        return self.classify_view(self.pipeline(raw))

    def classify_view(self, view: Tensor) -> Tensor:
        """Map a ``(B, 3, H, W)`` view, whatever made it, to logits."""
        logits: Tensor = self.model((view - self.view_mean) / self.view_std)
        return logits

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the training loss, a scalar."""

    @abstractmethod
    def metrics(self, logits: Tensor, target: Tensor) -> dict[str, float]:
        """Return the metrics of a whole part."""

    @torch.no_grad()
    def fit_normalisation(self, raw: Tensor) -> None:
        """Take mean and standard deviation, a channel each, from the views of ``(N, H, W)`` raw."""
        total = torch.zeros(3, dtype=torch.float64)
        squares = torch.zeros(3, dtype=torch.float64)
        for batch in torch.split(raw, self.config.batch_size):
            view = self.pipeline(batch.to(self.view_mean.device)).double().cpu()
            total += view.sum((0, 2, 3))
            squares += view.square().sum((0, 2, 3))
        mean = total / raw.numel()
        std = (squares / raw.numel() - mean.square()).clamp_min(0).sqrt()
        self.view_mean.copy_(mean.reshape(3, 1, 1))
        self.view_std.copy_(std.clamp_min(1e-3).reshape(3, 1, 1))

    def fit_targets(self, target: Tensor) -> None:
        """Take from the training part's targets what the task needs to know of them."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        raw, target = batch
        view = self.pipeline(raw)
        mask = target if target.dim() == 3 else None
        shown, moved = augment(view, mask, self.config.augmentation, self.augmentation)
        target = target if moved is None else moved
        loss = self.loss(self.classify_view(shown), target)
        if self.attack is not None:
            loss = self.attack.objective(loss, view, raw)
        self._train_losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the logits of a batch for the end of the epoch."""
        raw, target = batch
        view = self.pipeline(raw)
        self._outputs.append((self.classify_view(view), target))
        if self.attack is not None:
            self._distances.append(len(raw) * self.attack.distance(view, raw))

    def on_validation_epoch_end(self) -> None:
        """Add a row to the history."""
        logits = torch.cat([logits for logits, _ in self._outputs])
        target = torch.cat([target for _, target in self._outputs])
        self._outputs.clear()
        row = {"epoch": self.current_epoch + 1, "val_loss": float(self.loss(logits, target))}
        if self.attack is not None:
            row["val_task_loss"] = row["val_loss"]
            row["val_distance"] = float(torch.stack(self._distances).sum() / len(target))
            row["val_loss"] = (
                self.attack.config.attack_weight * row["val_distance"] - row["val_task_loss"]
            )
            self._distances.clear()
        if self._train_losses:
            row["train_loss"] = float(torch.stack(self._train_losses).mean())
            self._train_losses.clear()
        row |= {f"val_{name}": value for name, value in self.metrics(logits, target).items()}
        self.history.append(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put history and state of the augmentation into a checkpoint: plain values."""
        checkpoint["history"] = self.history
        checkpoint["augmentation"] = self.augmentation.get_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.history = checkpoint["history"]
        self.augmentation.set_state(checkpoint["augmentation"].cpu())

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning takes many forms
        """Give the pipeline a learning rate of its own, without weight decay."""
        groups = [group for group in self._parameter_groups() if group["params"]]
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _parameter_groups(self) -> Iterator[dict[str, Any]]:
        yield {
            "params": [p for p in self.model.parameters() if p.requires_grad],
            "lr": self.config.lr,
            "weight_decay": self.config.weight_decay,
        }
        yield {
            "params": [p for p in self.pipeline.parameters() if p.requires_grad],
            "lr": self.config.pipeline_lr,
            "weight_decay": 0.0,
        }
