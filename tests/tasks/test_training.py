"""Training: it learns, repeats, keeps what it trained, and never looks at the test part."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from raw2logit.datasets import make_splits
from raw2logit.errors import InputError
from raw2logit.isp import static_pipeline
from raw2logit.tasks import training
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.evaluation import blind_baseline, evaluate
from raw2logit.tasks.runs import run_training
from raw2logit.tasks.training import LoadedData, build_task, train_or_load
from tests.tasks.data import Levels, MeanModel, PixelModel, two_splits

CONFIG = TrainingConfig(epochs=4, batch_size=8, lr=0.3, accelerator="cpu")


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: MeanModel(n))
    monkeypatch.setattr(training, "build_segmenter", lambda name, pretrained: PixelModel())


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_learns_what_is_there_to_learn(task: str, tmp_path: Path) -> None:
    data = Levels(task).loaded()  # type: ignore[arg-type]
    split = make_splits(data.dataset, 1, seed=0)[0]
    trained = train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path, seed=0)
    metrics = evaluate({"m": trained}, trained.pipeline, data, split.test)["m"]
    assert metrics[trained.primary_metric] > 0.95
    assert len(trained.history) == CONFIG.epochs
    assert not trained.training
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    weights = [
        train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path / str(i), seed=seed).state_dict()
        for i, seed in enumerate((0, 0, 1))
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["model.head.weight"], weights[2]["model.head.weight"])


def test_training_does_not_touch_the_global_generator(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    build_task(data.dataset, "bi,s,ga", CONFIG, learn_pipeline=False, seed=3)
    assert torch.equal(before, torch.get_rng_state())


def test_a_trained_model_is_kept_and_found_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Levels("classification").loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    first = train_or_load(data, split, "ma,u,ga", CONFIG, tmp_path, seed=0)
    monkeypatch.setattr(training, "_fit", lambda *_: pytest.fail("trained again"))
    told: list[int] = []
    again = train_or_load(
        data,
        split,
        "ma,u,ga",
        CONFIG,
        tmp_path,
        seed=0,
        progress=lambda epochs, where: told.append(epochs),
    )
    assert told == [CONFIG.epochs]
    assert again.history == first.history
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())
    for changed in (
        lambda: train_or_load(data, split, "bi,u,ga", CONFIG, tmp_path, seed=0),
        lambda: train_or_load(data, split, "ma,u,ga", CONFIG, tmp_path, seed=1),
        lambda: train_or_load(
            data, split, "ma,u,ga", dataclasses.replace(CONFIG, lr=0.1), tmp_path, seed=0
        ),
        lambda: train_or_load(
            dataclasses.replace(data, fingerprint="other"),
            split,
            "ma,u,ga",
            CONFIG,
            tmp_path,
            seed=0,
        ),
    ):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            changed()


def test_a_killed_training_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Levels("classification").loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]

    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(training, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path, seed=0)
    assert not list(tmp_path.iterdir())


def test_the_test_part_has_no_influence(tmp_path: Path) -> None:
    dataset = Levels("classification")
    data = dataset.loaded()
    split = make_splits(dataset, 1, seed=0)[0]
    raw = data.raw.clone()
    raw[list(split.test)] = torch.rand(len(split.test), *raw.shape[1:])
    other = LoadedData(dataset, raw, data.targets, "changed")
    first = train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path, seed=0).state_dict()
    second = train_or_load(other, split, "bi,s,ga", CONFIG, tmp_path, seed=0).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_static_stays_and_parametrized_learns(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    start = static_pipeline(data.dataset.camera, "bi,u,ga").state_dict()
    for learn in (False, True):
        task = train_or_load(data, split, "bi,u,ga", CONFIG, tmp_path, seed=0, learn_pipeline=learn)
        end = task.pipeline.state_dict()
        moved = {name for name in start if not torch.equal(start[name], end[name])}
        assert bool(moved) == learn
        if learn:
            assert {"steps.gamma.log_gamma", "steps.white_balance.gains"} <= moved


def test_a_diverging_training_says_so(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    broken = LoadedData(data.dataset, torch.full_like(data.raw, torch.nan), data.targets, "nan")
    with pytest.raises(InputError, match=r"diverged.*lower --lr"):
        train_or_load(broken, split, "bi,s,ga", CONFIG, tmp_path, seed=0)


def test_images_too_small(tmp_path: Path) -> None:
    data = Levels("classification", size=16).loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    with pytest.raises(InputError, match="16 x 16 pixels do not fit"):
        train_or_load(data, split, "bi,s,ga", CONFIG, tmp_path, seed=0)


def test_evaluate_makes_each_view_once_whatever_the_number_of_models() -> None:
    data = Levels("classification", n=70).loaded()
    tasks = {
        str(seed): build_task(data.dataset, "bi,s,ga", CONFIG, learn_pipeline=False, seed=seed)
        for seed in range(3)
    }
    pipeline = static_pipeline(data.dataset.camera)
    calls: list[int] = []
    pipeline.register_forward_hook(lambda module, args, output: calls.append(len(output)))
    together = evaluate(tasks, pipeline, data, range(70))
    assert sum(calls) == 70
    for name, task in tasks.items():
        assert evaluate({name: task}, pipeline, data, range(70))[name] == together[name]
        direct = (task(data.raw).argmax(1) == data.targets).float().mean().item()
        assert together[name]["accuracy"] == pytest.approx(direct)


def test_blind_baseline() -> None:
    data = Levels("classification").loaded()
    assert blind_baseline(data, [1, 3, 5, 6]) == 0.75
    masks = Levels("segmentation").loaded()
    assert blind_baseline(masks, [1, 2]) == 0.5


def test_run_training_measures_each_split_on_its_own_test_part(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    told: list[tuple[int, int]] = []
    result = run_training(
        data,
        "bi,s,ga",
        CONFIG,
        tmp_path,
        two_splits(data),
        seed=0,
        progress=lambda task, done, total: told.append((done, total)),
    )
    assert {total for _, total in told} == {8}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {done for done, _ in told} == set(range(9))
    assert {(row.split, row.n_test) for row in result.measurements} == {
        (i, len(split.test)) for i, split in enumerate(result.splits)
    }
    numbers = [row.value for row in result.measurements if row.metric == "accuracy"]
    assert result.metrics()["accuracy"]["mean"] == pytest.approx(sum(numbers) / 2)
