"""Task modules: metrics, normalisation, augmentation, models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, jaccard_score

from raw2logit.errors import InputError
from raw2logit.isp import static_pipeline
from raw2logit.tasks.classification import ClassificationTask
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.segmentation import SegmentationTask
from tests.tasks.data import CAMERA, Levels, MeanModel, PixelModel


def classifier() -> ClassificationTask:
    return ClassificationTask(static_pipeline(CAMERA), MeanModel(4), TrainingConfig())


def segmenter() -> SegmentationTask:
    return SegmentationTask(static_pipeline(CAMERA), PixelModel(), TrainingConfig())


def test_classification_metrics_equal_a_direct_count() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 4, generator=generator)
    target = torch.randint(0, 4, (200,), generator=generator)
    metrics = classifier().metrics(logits, target)
    predicted = logits.argmax(1)
    assert metrics["accuracy"] == pytest.approx((predicted == target).float().mean().item())
    expected = balanced_accuracy_score(target.numpy(), predicted.numpy())
    assert metrics["balanced_accuracy"] == pytest.approx(expected)


def test_balanced_accuracy_leaves_absent_classes_out() -> None:
    logits = torch.eye(4)[torch.tensor([0, 0, 1, 3])]
    metrics = classifier().metrics(logits, torch.tensor([0, 0, 1, 1]))
    assert metrics == {"accuracy": 0.75, "balanced_accuracy": 0.75}


def test_iou_equals_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 16, 16, generator=generator)
    mask = (torch.rand(3, 16, 16, generator=generator) > 0.7).float()
    expected = jaccard_score(mask.numpy().ravel(), (logits.numpy() > 0).ravel().astype(np.float32))
    assert segmenter().metrics(logits, mask)["iou"] == pytest.approx(expected)
    assert segmenter().metrics(torch.full((1, 1, 4, 4), -1.0), torch.zeros(1, 4, 4)) == {"iou": 1.0}


def test_segmentation_loss_falls_towards_the_truth() -> None:
    mask = (torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    right = (mask[:, None] - 0.5) * 20
    task = segmenter()
    assert task.loss(right, mask) < 0.01
    assert task.loss(-right, mask) > task.loss(torch.zeros_like(right), mask) > 0.5


def test_normalisation_makes_training_views_standard() -> None:
    data = Levels("classification").loaded()
    task = classifier()
    task.fit_normalisation(data.raw)
    views = (task.pipeline(data.raw) - task.view_mean) / task.view_std
    torch.testing.assert_close(views.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(views.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_forward_is_pipeline_then_model() -> None:
    task = classifier().eval()
    raw = torch.rand(3, 8, 8)
    torch.testing.assert_close(task(raw), task.classify_view(task.pipeline(raw)))


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"pipeline_lr": -1.0},
        {"weight_decay": -0.1},
    ],
)
def test_options_that_cannot_train(changes: dict[str, float]) -> None:
    option = next(iter(changes)).replace("_", "-")
    with pytest.raises(InputError, match=f"--{option} must be"):
        TrainingConfig(**changes)  # type: ignore[arg-type]
