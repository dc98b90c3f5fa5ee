"""Drift synthesis where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raw2logit.datasets import make_splits
from raw2logit.drift.synthesis import SynthesisResult, run_synthesis
from raw2logit.isp import static_pipeline
from raw2logit.tasks import training
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.evaluation import Measurement
from tests.tasks.data import BlindModel, Levels, MeanModel, two_splits

CONFIG = TrainingConfig(epochs=2, batch_size=8, lr=0.3, accelerator="cpu")
VIEWS = ("bi,s,ga", "ma,u,me", "me,s,me")


def rows(values: dict[tuple[str, str, int], float]) -> list[Measurement]:
    return [
        Measurement(train, test, split, split, "accuracy", value, 10)
        for (train, test, split), value in values.items()
    ]


def result(values: dict[tuple[str, str, int], float], n_splits: int) -> SynthesisResult:
    data = Levels("classification")
    trains = tuple(dict.fromkeys(train for train, _, _ in values))
    tests = tuple(dict.fromkeys(test for _, test, _ in values))
    splits = make_splits(data, n_splits, seed=0)
    return SynthesisResult(trains, tests, "accuracy", rows(values), splits, [0.5] * n_splits, {})


def test_summary_by_hand() -> None:
    values = {
        ("a", "a", 0): 0.9, ("a", "b", 0): 0.7, ("b", "a", 0): 0.6, ("b", "b", 0): 0.8,
        ("a", "a", 1): 0.7, ("a", "b", 1): 0.7, ("b", "a", 1): 0.4, ("b", "b", 1): 0.8,
    }  # fmt: skip
    made = result(values, 2)
    np.testing.assert_allclose(made.grid(), [[[0.9, 0.7], [0.6, 0.8]], [[0.7, 0.7], [0.4, 0.8]]])
    np.testing.assert_allclose(made.drops(), [[[0, 0.2], [0.2, 0]], [[0, 0], [0.4, 0]]])
    summary = made.summary()
    assert summary["own_view"]["mean"] == pytest.approx(0.8)
    assert summary["own_view"]["std"] == pytest.approx(np.std([0.85, 0.75], ddof=1))
    assert summary["mean_drop"]["mean"] == pytest.approx(0.2)
    assert summary["mean_drop"]["std"] == pytest.approx(0.0)
    worst = summary["worst"]
    assert (worst["train_view"], worst["test_view"]) == ("b", "a")
    assert worst["drop_mean"] == pytest.approx(0.3)
    assert worst["mean"] == pytest.approx(0.5)
    assert worst["own_mean"] == pytest.approx(0.8)
    assert worst["own_std"] == pytest.approx(0.0)
    assert summary["margins"] == pytest.approx({"a": 0.3, "b": 0.3})
    assert summary["n_drift_cells"] == 2
    assert worst["std"] == pytest.approx(np.std([0.6, 0.4], ddof=1))


def test_one_split_has_no_spread_and_one_view_no_drift() -> None:
    summary = result({("a", "a", 0): 0.9}, 1).summary()
    assert summary["own_view"] == {"mean": 0.9, "std": None}
    assert summary["worst"] is None
    assert summary["mean_drop"] == {"mean": None, "std": None}


def test_a_training_view_that_was_not_tested_has_no_drop() -> None:
    made = result(
        {("a", "b", 0): 0.5, ("b", "b", 0): 0.9, ("a", "c", 0): 0.4, ("b", "c", 0): 0.7}, 1
    )
    np.testing.assert_allclose(made.drops(), [[[np.nan, np.nan], [0.0, 0.2]]])
    summary = made.summary()
    assert summary["worst"]["train_view"] == "b"
    assert summary["mean_drop"]["mean"] == pytest.approx(0.2)


def test_a_model_that_is_blind_to_the_isp_shows_no_drop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: BlindModel(n))
    data = Levels("classification").loaded()
    made = run_synthesis(data, VIEWS, VIEWS, CONFIG, tmp_path, two_splits(data))
    assert np.all(made.drops() == 0)
    assert made.summary()["worst"]["drop_mean"] == 0


def test_a_model_of_one_statistic_drops_as_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: MeanModel(n))
    data = Levels("classification").loaded()
    # A class difference so small that the views' own mean levels decide.
    data.raw.copy_(0.3 + (data.raw - data.raw.mean((1, 2), keepdim=True)) * 3)
    data.raw.add_(data.targets[:, None, None] * 0.004).clamp_(0, 1)
    made = run_synthesis(data, VIEWS, VIEWS, CONFIG, tmp_path, two_splits(data))
    drops = made.drops()
    assert np.abs(drops).max() > 0.1  # there is something to predict
    for number, split in enumerate(made.splits):
        test = list(split.test)
        for row, train_view in enumerate(VIEWS):
            task = training.train_or_load(
                data, split, train_view, CONFIG, tmp_path, seed=training.training_seed(0, number)
            )
            weight = task.model.head.weight.detach()  # type: ignore[union-attr]
            bias = task.model.head.bias.detach()  # type: ignore[union-attr]
            for column, test_view in enumerate(VIEWS):
                means = static_pipeline(data.dataset.camera, test_view)(data.raw[test]).mean((2, 3))
                means = (means - task.view_mean.flatten()) / task.view_std.flatten()
                hits = (means @ weight.T + bias).argmax(1) == data.targets[test]
                expected = hits.double().mean().item()
                assert made.grid()[number, row, column] == pytest.approx(expected)


def test_progress_and_reuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: MeanModel(n))
    data = Levels("classification").loaded()
    told: list[tuple[int, int]] = []
    first = run_synthesis(
        data,
        VIEWS[:2],
        VIEWS[:2],
        CONFIG,
        tmp_path,
        two_splits(data),
        progress=lambda task, done, total: told.append((done, total)),
    )
    assert {total for _, total in told} == {12}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {done for done, _ in told} == set(range(13))
    monkeypatch.setattr(training, "_fit", lambda *_: pytest.fail("trained again"))
    second = run_synthesis(data, VIEWS[:2], VIEWS, CONFIG, tmp_path, two_splits(data))
    np.testing.assert_array_equal(second.grid()[:, :, :2], first.grid())
    assert second.grid().shape == (2, 2, 3)


def test_every_cell_is_measured_on_the_test_part_only() -> None:
    data = Levels("classification").loaded()
    splits = make_splits(data.dataset, 5, seed=0)
    tested = torch.tensor([index for split in splits for index in split.test])
    assert torch.equal(tested.sort().values, torch.arange(len(data.raw)))
