"""Attacks: the pipeline learns to mislead a task model that stays as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from raw2logit.camera import Camera
from raw2logit.errors import InputError
from raw2logit.isp import load_pipeline, parametrized_pipeline, save_pipeline, static_pipeline
from raw2logit.isp.steps import AdditiveLayer
from raw2logit.similarity import ssim
from raw2logit.tasks import training
from raw2logit.tasks.attack import Attack, attacking_pipeline
from raw2logit.tasks.config import ATTACKED_FAMILIES, AttackConfig, TrainingConfig
from raw2logit.tasks.runs import ATTACKED, TrainingResult, run_training
from raw2logit.tasks.training import Start
from tests.tasks.data import Levels, MeanModel, two_splits

CAMERA = Camera.preset("drone")
CONFIG = TrainingConfig(epochs=4, batch_size=8, lr=0.3, pipeline_lr=0.05, accelerator="cpu")


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: MeanModel(n))


def attacked(folder: Path, **options: object) -> TrainingResult:
    attack = AttackConfig(attack=True, **{"attack_weight": 0.0, **options})  # type: ignore[arg-type]
    data = Levels("classification").loaded()
    return run_training(data, "bi,s,ga", CONFIG, folder, two_splits(data), attack=attack)


def test_the_objective_is_minus_the_loss_plus_the_weighted_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = 0.2 + 0.3 * torch.rand(3, 16, 18, generator=generator, dtype=torch.float64)
    default = static_pipeline(CAMERA, dtype=torch.float64)
    view = (default(raw) + 0.05).clamp(0, 1)
    loss = torch.tensor(0.7, dtype=torch.float64)
    for distance, expected in (
        ("l2", ((view - default(raw)) ** 2).mean()),
        ("ssim", 1 - ssim(view, default(raw)).mean()),
    ):
        config = AttackConfig(attack=True, attack_weight=3.0, attack_distance=distance)  # type: ignore[arg-type]
        value = Attack(default, config).objective(loss, view, raw)
        torch.testing.assert_close(value, 3 * expected - 0.7)


def test_a_model_is_trained_first_and_then_misled(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    data = Levels("classification").loaded()
    result = run_training(
        data,
        "bi,s,ga",
        CONFIG,
        tmp_path,
        two_splits(data),
        attack=AttackConfig(attack=True, attack_weight=0.0),
        progress=lambda *words: told.append(words),
    )
    assert result.shown == ["bi,s,ga", ATTACKED]
    clean, broken = (result.metrics(shown)["accuracy"]["mean"] for shown in result.shown)
    assert clean is not None and broken is not None  # noqa: PT018
    assert clean > 0.95
    assert broken < 0.6
    assert result.metrics() == result.metrics(ATTACKED)
    works = dict.fromkeys(what.partition(",")[0] for what, _, _ in told)
    assert list(works) == [
        f"split {n}/2: {what}" for n in (1, 2) for what in ("training on bi", "attacking bi")
    ]
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert {done for _, done, _ in told} == set(range(17))
    for task in result.tasks:
        assert task.attack is not None
        assert {"val_distance", "val_task_loss"} <= set(task.history[-1])
        row = task.history[-1]
        assert row["val_loss"] == pytest.approx(-row["val_task_loss"])


def test_the_attacked_model_is_the_one_that_was_trained(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    plain = run_training(data, "bi,s,ga", CONFIG, tmp_path / "plain", two_splits(data))
    result = attacked(tmp_path / "attack")
    for before, after in zip(plain.tasks, result.tasks, strict=True):
        state = after.state_dict()
        for name, value in before.state_dict().items():
            if not name.startswith("pipeline."):
                assert torch.equal(value, state[name]), name
    # And one that is given is not trained again.
    again = run_training(
        data,
        "bi,s,ga",
        CONFIG,
        tmp_path / "given",
        two_splits(data)[:1],
        start=Start.at(plain.tasks[0]),
        attack=AttackConfig(attack=True, attack_weight=0.0),
    )
    assert len(list((tmp_path / "given").iterdir())) == 1
    assert again.measurements == [row for row in result.measurements if row.split == 0]


def test_a_heavy_weight_keeps_the_view(tmp_path: Path) -> None:
    light = attacked(tmp_path / "a", attack_weight=0.0)
    heavy = attacked(tmp_path / "b", attack_weight=1e4)
    near, far = (result.tasks[0].history[-1]["val_distance"] for result in (heavy, light))
    assert near < 0.2 * far


@pytest.mark.parametrize("family", [name for name in ATTACKED_FAMILIES if name != "additive_layer"])
def test_only_what_is_named_may_change(family: str) -> None:
    default = parametrized_pipeline(CAMERA, "bi,u,ga")
    config = AttackConfig(attack=True, attack_parameters=(family,))
    families = attacking_pipeline(default, config).parameters_by_family()
    learns = {name for name, values in families.items() if any(v.requires_grad for v in values)}
    assert learns == {family}
    assert all(parameter.requires_grad for parameter in default.parameters())


def test_nothing_that_may_change() -> None:
    config = AttackConfig(attack=True, attack_parameters=("denoise",))
    with pytest.raises(InputError, match="nothing of that to change: it has black_level"):
        attacking_pipeline(static_pipeline(CAMERA, "bi,s,me"), config)


def test_the_additive_layer_lies_before_gamma_and_can_be_saved(tmp_path: Path) -> None:
    default = static_pipeline(CAMERA)
    config = AttackConfig(
        attack=True, attack_layer=True, attack_parameters=("additive_layer", "gamma")
    )
    pipeline = attacking_pipeline(default, config, (6, 8))
    assert list(pipeline.steps)[-2:] == ["additive_layer", "gamma"]
    raw = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pipeline(raw), default(raw))
    layer = pipeline.steps["additive_layer"]
    assert isinstance(layer, AdditiveLayer)
    torch.nn.init.uniform_(layer.layer, 0, 0.1)
    assert not torch.allclose(pipeline(raw), default(raw))
    again = load_pipeline(save_pipeline(pipeline, tmp_path / "p.safetensors"))
    torch.testing.assert_close(again(raw), pipeline(raw))
    with pytest.raises(InputError, match=r"images of \(6, 8\) pixels, got \(8, 6\)"):
        pipeline(raw.mT)


def test_a_layer_that_is_asked_for_learns_whatever_else_may_change() -> None:
    config = AttackConfig(attack=True, attack_layer=True, attack_parameters=("gamma",))
    pipeline = attacking_pipeline(static_pipeline(CAMERA), config, (6, 8))
    families = pipeline.parameters_by_family()
    learns = {name for name, values in families.items() if any(v.requires_grad for v in values)}
    assert learns == {"gamma", "additive_layer"}
    # A second attack goes on with the layer of the first.
    again = attacking_pipeline(pipeline, config, (6, 8))
    assert list(again.steps) == list(pipeline.steps)
    gamma = dataclasses.replace(config, attack_layer=False)
    families = attacking_pipeline(pipeline, gamma).parameters_by_family()
    assert not any(value.requires_grad for value in families["additive_layer"])


@pytest.mark.parametrize("distance", ["l2", "ssim"])
def test_mixed_precision_is_kept_from_the_distance(distance: str) -> None:
    raw = 0.3 + 0.2 * torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    default = static_pipeline(CAMERA)
    config = AttackConfig(attack=True, attack_distance=distance)  # type: ignore[arg-type]
    attack = Attack(default, config)
    view = default(raw) + 1e-3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = attack.distance(view, raw)
    torch.testing.assert_close(mixed, attack.distance(view, raw), rtol=0, atol=0)


def test_what_cannot_be_attacked_shows_before_anything_is_trained() -> None:
    attack = AttackConfig(attack=True, attack_parameters=("denoise",))
    with pytest.raises(InputError, match="nothing of that to change"):
        training.check_model(Levels("classification"), CONFIG, "bi,s,me", attack=attack)
    frozen = dataclasses.replace(CONFIG, freeze_model=True)
    with pytest.raises(InputError, match="nothing can learn"):
        training.check_model(Levels("classification"), frozen)
    training.check_model(Levels("classification"), frozen, learn_pipeline=True)


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    task = run_training(data, "bi,s,ga", CONFIG, tmp_path, two_splits(data)[:1]).tasks[0]
    start = Start.at(task)
    assert start.model is not None
    wrong = dataclasses.replace(start, model={**start.model, "model.head.bias": torch.zeros(3)})
    with pytest.raises(InputError, match=r"does not fit .* \(model.head.bias differs\)"):
        run_training(data, "bi,s,ga", CONFIG, tmp_path, two_splits(data), start=wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"attack_weight": -1.0},
        {"attack_parameters": ("sharpness",)},
        {"attack_parameters": ()},
        {"attack_parameters": ("additive_layer",)},
    ],
)
def test_options(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="--attack-"):
        AttackConfig(attack=True, **options)  # type: ignore[arg-type]
