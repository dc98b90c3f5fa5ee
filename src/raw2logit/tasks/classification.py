"""Classification of raw images."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, recall_score
from torch import Tensor
from torch.nn import functional as F

from raw2logit.tasks.base import RawTask


class ClassificationTask(RawTask):
    """Cross-entropy; accuracy, and balanced accuracy (mean recall of the classes present)."""

    primary_metric = "accuracy"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of ``(B, C)`` logits and ``(B,)`` class indices."""
        return F.cross_entropy(logits, target)

    def metrics(self, logits: Tensor, target: Tensor) -> dict[str, float]:
        """Return accuracy and balanced accuracy, in [0, 1]."""
        predicted = logits.argmax(dim=1).cpu().numpy()
        truth = target.cpu().numpy()
        balanced = recall_score(
            truth, predicted, labels=np.unique(truth), average="macro", zero_division=0
        )
        return {
            "accuracy": float(accuracy_score(truth, predicted)),
            "balanced_accuracy": float(balanced),
        }
