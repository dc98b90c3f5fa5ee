"""Regression: the metrics, the standardised targets, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor

from raw2logit.datasets import make_splits
from raw2logit.drift.synthesis import run_synthesis
from raw2logit.isp import static_pipeline
from raw2logit.report import common
from raw2logit.report.synthesis import report_synthesis
from raw2logit.report.training import report_training
from raw2logit.tasks import training
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.evaluation import blind_baseline, evaluate
from raw2logit.tasks.models import build_classifier
from raw2logit.tasks.regression import RegressionTask
from raw2logit.tasks.runs import run_training
from raw2logit.tasks.training import TASKS, LoadedData, build_task, train_or_load
from tests.tasks.data import CAMERA, Levels, MeanModel, two_splits

CONFIG = TrainingConfig(epochs=12, batch_size=8, lr=0.3, accelerator="cpu")


class Brightness(Levels):
    """Uniform mosaics; the number tells how bright, in a unit of its own."""

    def __init__(self, n: int = 60) -> None:
        super().__init__("classification", n)
        self.task = "regression"
        self.classes = ()
        self.labels = [0] * n
        level = torch.linspace(0.2, 0.7, n)[torch.randperm(n, generator=generator(3))]
        self.raw = level[:, None, None].expand(n, 32, 32).clone()
        self.targets = 4000 + 100 * level**0.45

    def target(self, index: int) -> Tensor:
        return self.targets[index]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def regressor() -> RegressionTask:
    return RegressionTask(static_pipeline(CAMERA), MeanModel(1), TrainingConfig())


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: MeanModel(n))


def test_metrics_equal_scikit_learn() -> None:
    task = regressor()
    target = 50 + 7 * torch.randn(40, generator=generator(0))
    task.fit_targets(target[:20])
    logits = torch.randn(40, 1, generator=generator(1))
    predicted = (logits[:, 0] * target[:20].std(correction=0) + target[:20].mean()).numpy()
    metrics = task.metrics(logits, target)
    truth = target.numpy()
    assert metrics["r2"] == pytest.approx(r2_score(truth, predicted), abs=1e-5)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-5)


@pytest.mark.parametrize(("logit", "expected"), [(0.0, 1.0), (0.5, 0.0)])
def test_equal_numbers(logit: float, expected: float) -> None:
    metrics = regressor().metrics(torch.full((3, 1), logit), torch.zeros(3))
    assert metrics["r2"] == expected
    assert metrics["mae"] == metrics["rmse"] == logit


def test_loss_is_in_units_of_the_training_parts_spread() -> None:
    target = 1000 + 30 * torch.randn(500, generator=generator(0))
    task = regressor()
    task.fit_targets(target)
    assert task.loss(torch.zeros(500, 1), target).item() == pytest.approx(1, abs=1e-4)
    standard = (target - target.mean()) / target.std(correction=0)
    assert task.loss(standard[:, None], target).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(task.predict(standard[:, None]), target, rtol=1e-5, atol=0)


def test_equal_numbers_to_train_on_are_only_moved() -> None:
    task = regressor()
    task.fit_targets(torch.full((4,), 7.0))
    assert task.target_std == 1
    assert task.predict(torch.zeros(1, 1)).item() == 7


def test_the_model_has_one_output() -> None:
    data = Brightness(6)
    task = build_task(data, "bi,s,ga", CONFIG, learn_pipeline=False, seed=0).eval()
    assert isinstance(task, RegressionTask)
    assert task(data.raw).shape == (6, 1)
    assert build_classifier("resnet18", 1).eval()(torch.rand(2, 3, 32, 32)).shape == (2, 1)


@pytest.mark.usefixtures("small_models")
def test_learns_what_is_there_to_learn(tmp_path: Path) -> None:
    data = Brightness().loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    trained = train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path, seed=0)
    assert isinstance(trained, RegressionTask)
    part = data.targets[list(split.train)]
    assert trained.target_mean.item() == pytest.approx(part.mean().item())
    assert trained.target_std.item() == pytest.approx(part.std(correction=0).item(), rel=1e-4)
    metrics = evaluate({"m": trained}, trained.pipeline, data, split.test)["m"]
    assert metrics["r2"] > 0.95
    assert metrics["rmse"] < 0.25 * float(data.targets.std())
    assert set(trained.history[-1]) == {
        *("epoch", "train_loss", "val_loss", "val_r2", "val_mae", "val_rmse")
    }
    again = train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path, seed=0)
    assert isinstance(again, RegressionTask)
    assert torch.equal(again.target_mean, trained.target_mean)
    assert torch.equal(again.target_std, trained.target_std)


def test_the_blind_baseline_is_the_mean() -> None:
    data = Brightness().loaded()
    test = list(range(20))
    assert blind_baseline(data, test) == 0
    mean = data.targets[test].mean().expand(20)
    assert r2_score(data.targets[test].numpy(), mean.numpy()) == pytest.approx(0, abs=1e-6)


def test_every_kind_of_target_has_a_task() -> None:
    assert {name: kind.primary_metric for name, kind in TASKS.items()} == {
        "classification": "accuracy",
        "segmentation": "iou",
        "regression": "r2",
    }


@pytest.mark.usefixtures("small_models")
class TestReport:
    @pytest.fixture
    def data(self) -> LoadedData:
        return Brightness().loaded()

    def test_training(self, data: LoadedData, tmp_path: Path) -> None:
        result = run_training(data, "bi,s,ga", CONFIG, tmp_path / "models", two_splits(data))
        report_training(result, data, {"pipeline": "static"}, tmp_path)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        r2 = result.metrics()["r2"]
        assert f"R² on held-out groups: {r2['mean']:.3f}\N{NO-BREAK SPACE}±" in page
        assert "A model that never looks at the image: 0.000." in page
        assert "mean absolute error" in page
        assert " %" not in page.replace("\N{NO-BREAK SPACE}", " ").split("</style>")[1]

    def test_synthesis(self, data: LoadedData, tmp_path: Path) -> None:
        views = ("bi,s,ga", "me,u,me")
        result = run_synthesis(data, views, views, CONFIG, tmp_path / "models", two_splits(data))
        report_synthesis(result, data, {}, tmp_path)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        text = page.replace("\N{NO-BREAK SPACE}", " ").split("</style>")[1]
        assert "within 0.05 of R²" in text
        assert "points" not in text
        assert " %" not in text

    def test_samples_span_the_numbers(self, data: LoadedData) -> None:
        chosen = common.pick_samples(data, range(60), 4)
        numbers = data.targets[chosen]
        assert numbers.tolist() == sorted(numbers.tolist())
        assert numbers[0] == data.targets.min()
        assert numbers[-1] == data.targets.max()
        assert common.pick_samples(data, [5], 4) == [5]


@pytest.mark.parametrize(
    ("metric", "value", "spread", "text"),
    [
        ("accuracy", 0.831, 0.012, "83.1 ± 1.2 %"),
        ("r2", 0.8314, None, "0.831"),
        ("r2", -0.00001, 0.02, "0.000 ± 0.020"),
        ("mae", 1234.56, 7.89, "1235 ± 7.9"),
        ("mae", 0.012346, None, "0.01235"),
        ("r2", None, None, "–"),  # noqa: RUF001
    ],
)
def test_scores_as_text(metric: str, value: float | None, spread: float | None, text: str) -> None:
    assert common.score(metric, value, spread).replace("\N{NO-BREAK SPACE}", " ") == text


def test_differences_as_text() -> None:
    assert common.difference("iou", 0.042).replace("\N{NO-BREAK SPACE}", " ") == "4.2 points"
    assert common.difference("r2", 0.042) == "0.042"
