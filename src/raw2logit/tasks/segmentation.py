"""Segmentation of raw images into one class and background."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.tasks.base import RawTask


class SegmentationTask(RawTask):
    """Cross-entropy plus soft Dice loss; intersection over union of all pixels of a part."""

    primary_metric = "iou"

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``(B, 1, H, W)`` logits and a ``(B, H, W)`` mask of 0 and 1."""
        logits = logits[:, 0]
        probability = logits.sigmoid()
        overlap = (probability * target).sum()
        dice = 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
        return F.binary_cross_entropy_with_logits(logits, target) + dice

    def metrics(self, logits: Tensor, target: Tensor) -> dict[str, float]:
        """Return the intersection over union of the class, in [0, 1]; 1 if it is nowhere."""
        predicted, truth = logits[:, 0] > 0, target > 0
        union = torch.count_nonzero(predicted | truth).item()
        both = torch.count_nonzero(predicted & truth).item()
        return {"iou": both / union if union else 1.0}
