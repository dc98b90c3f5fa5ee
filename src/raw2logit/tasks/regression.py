"""Regression of one number from raw images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raw2logit.isp import Pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.config import TrainingConfig


class RegressionTask(RawTask):
    """Squared error of standardised numbers; R squared, and errors in the label's own unit.

    Numbers are standardised with mean and standard deviation of the training part. A logit is a
    standardised number.
    """

    primary_metric = "r2"
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self, pipeline: Pipeline, model: nn.Module, config: TrainingConfig, *, seed: int = 0
    ) -> None:
        """Put the parts together; see `RawTask`."""
        super().__init__(pipeline, model, config, seed=seed)
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_std", torch.ones(()))

    @torch.no_grad()
    def fit_targets(self, target: Tensor) -> None:
        """Take mean and standard deviation of ``(N,)`` numbers; all equal: they are only moved."""
        exact = target.double()
        std = exact.std(correction=0)
        self.target_mean.copy_(exact.mean())
        self.target_std.copy_(std if std > 0 else torch.ones_like(std))

    def predict(self, logits: Tensor) -> Tensor:
        """Map ``(B, 1)`` logits to ``(B,)`` numbers in the label's unit."""
        return logits[:, 0] * self.target_std.to(logits) + self.target_mean.to(logits)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error of ``(B, 1)`` logits and ``(B,)`` numbers, standardised."""
        return F.mse_loss(logits[:, 0], (target - self.target_mean) / self.target_std)

    def metrics(self, logits: Tensor, target: Tensor) -> dict[str, float]:
        """Return R squared, mean absolute and root mean square error.

        R squared is 1 minus the squared error over that of the part's own mean: 1 at best, 0 for
        the mean, without bound below. Of equal numbers it is 1 if all are met, else 0, as in
        scikit-learn.
        """
        truth = target.double()
        error = self.predict(logits.double()) - truth
        squared = float(error.square().sum())
        around_mean = float((truth - truth.mean()).square().sum())
        equal = 1.0 if squared == 0 else 0.0
        return {
            "r2": 1 - squared / around_mean if around_mean > 0 else equal,
            "mae": float(error.abs().mean()),
            "rmse": float(error.square().mean().sqrt()),
        }
