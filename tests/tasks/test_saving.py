"""A task model written to a file comes back the same, and a file cannot run code."""

from __future__ import annotations

import json
import random
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from raw2logit.datasets.base import Task
from raw2logit.errors import InputError, MissingDataError
from raw2logit.tasks.saving import TaskModel, load_task_file, save_task
from tests.lab.kept import a_dataset, a_task, mosaics

OWN = """
from pathlib import Path
import torch
from torch import nn

Path("was_imported").touch()

class Tiny(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.head = nn.Linear(3, n_outputs)
        self.tied = self.head  # safetensors refuses memory that is shared

    def forward(self, view):
        return self.head(view.mean((2, 3)))
"""
TASKS: tuple[Task, ...] = ("classification", "segmentation", "regression")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kept") / "task.safetensors"
    return save_task(a_task(), path, classes=("dark", "bright"))


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own_network_of_mine.py"
    path.write_text(OWN)
    return path


@pytest.mark.parametrize("kind", TASKS)
@torch.no_grad()
def test_round_trip(kind: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, classes = a_task(kind), a_dataset(kind).classes
    path = save_task(task, tmp_path / "task.safetensors", classes=classes)
    assert [file.name for file in tmp_path.iterdir()] == ["task.safetensors"]

    def refuse(*_: object) -> None:
        raise AssertionError("asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    generator = torch.get_rng_state()
    model = load_task_file(path)
    assert torch.equal(torch.get_rng_state(), generator)
    assert (model.task, model.classes, model.name) == (kind, tuple(classes), task.config.model)
    assert model.view == "me,u,ga"
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    view = task.pipeline(mosaics())
    assert torch.equal(model(view), task.classify_view(view))
    assert set(load_file(path)) == set(model.state_dict())


@torch.no_grad()
def test_what_the_models_say(tmp_path: Path) -> None:
    view = a_task().pipeline(mosaics())
    said = {kind: TaskModel.of(a_task(kind), ("x",)).predict(view) for kind in TASKS}
    tasks = {kind: a_task(kind) for kind in TASKS}
    logits = {kind: task.classify_view(view) for kind, task in tasks.items()}
    assert torch.equal(said["classification"], logits["classification"].argmax(1))
    assert said["segmentation"].dtype == torch.bool
    assert torch.equal(said["segmentation"], logits["segmentation"][:, 0] > 0)
    assert said["regression"].shape == (2,)
    assert torch.equal(said["regression"], tasks["regression"].predict(logits["regression"]))


def test_the_model_of_a_task_shares_its_memory() -> None:
    task = a_task("regression")
    model = TaskModel.of(task, ())
    assert model.model is task.model
    assert model.target_mean is task.target_mean
    assert model.view_std is task.view_std


def test_other_precision_comes_back(tmp_path: Path) -> None:
    task = a_task().double()
    model = load_task_file(save_task(task, tmp_path / "t.safetensors", classes=("a", "b")))
    view = task.pipeline(mosaics().double())
    assert torch.equal(model(view), task.classify_view(view))


def test_a_model_of_ones_own_is_not_run_on_the_file_s_word(own_file: Path) -> None:
    name = f"{own_file.name}:Tiny"
    task = a_task(model=name)
    path = save_task(task, own_file.parent / "task.safetensors", classes=("a", "b"))
    (own_file.parent / "was_imported").unlink()
    for module in [module for module in sys.modules if module.startswith(own_file.stem)]:
        del sys.modules[module]
    with pytest.raises(InputError, match=r"task.safetensors: .*own_network_of_mine.*pass model="):
        load_task_file(path)
    assert not (own_file.parent / "was_imported").exists()
    model = load_task_file(path, model=name)
    assert (own_file.parent / "was_imported").exists()
    view = task.pipeline(mosaics())
    assert torch.equal(model(view), task.classify_view(view))
    with pytest.raises(InputError, match=r"task.safetensors: .*no class or function 'Other'"):
        load_task_file(path, model=f"{own_file.name}:Other")


def rewritten(
    kept: Path, folder: Path, change: dict[str, Any], state: dict[str, torch.Tensor] | None = None
) -> Path:
    with safe_open(kept, framework="pt") as file:
        description = json.loads(file.metadata()["raw2logit.task"])
    path = folder / "task.safetensors"
    text = json.dumps({**description, **change})
    save_file(load_file(kept) if state is None else state, path, {"raw2logit.task": text})
    return path


def test_what_is_no_task_model(kept: Path, tmp_path: Path) -> None:
    path = tmp_path / "task.safetensors"
    with pytest.raises(MissingDataError, match=r"task.safetensors: no such file"):
        load_task_file(path)
    for content in (b"", b"<html>not found</html>", kept.read_bytes()[:-1], b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"task.safetensors: cannot be read as safetensors"):
            load_task_file(path)
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"task.safetensors: holds no task model"):
        load_task_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "task model format 99, this version reads 1"),
        ({"task": "magic"}, "holds no task model.*magic"),
        ({"task": "regression"}, "holds no task model.*2 outputs"),
        ({"classes": "ab"}, "holds no task model.*no list of names"),
        ({"classes": [1, 2]}, "holds no task model.*no list of names"),
        (
            {"classes": ["a", "b", "c"], "n_outputs": 3},
            r"holds no task model.*fc.weight.*expected \(3, 96\)",
        ),
        (
            {"classes": ["a"] * 10**6, "n_outputs": 10**6},
            "holds no task model.*for 1000000 classes",
        ),
        ({"n_outputs": 10**12}, "holds no task model.*1000000000000 outputs for 2 classes"),
        ({"model": 7}, "holds no task model.*no names"),
        ({"model": "no_such_net"}, "unknown task model 'no_such_net'"),
        ({"model": "no" * 10**5}, "unknown task model '(no){100}': .{,200}"),
        ({"model": "timm:vit_giant_patch14_224"}, "holds no task model.* of timm:vit_giant"),
        # Of as many classes as the file has room for, built in full it would take 2.5 GB.
        ({"model": "regnet_y_128gf"}, "holds no task model.* of regnet_y_128gf is missing"),
        ({"model": "os:system"}, "holds a model of .*pass model="),
        ({"model": "evil.py:Net"}, "holds a model of .*pass model="),
        ({"view": ["bi"]}, "holds no task model.*no names"),
    ],
)
def test_descriptions_that_do_not_fit(
    change: dict[str, Any], message: str, kept: Path, tmp_path: Path
) -> None:
    path = rewritten(kept, tmp_path, change)
    with pytest.raises(InputError, match=rf"(?s)^[^\n]*task.safetensors: {message}[^\n]*$"):
        load_task_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("view_mean"), "view_mean"),
        (lambda state: state.pop("model.fc.weight"), "fc.weight of timm:test_resnet is missing"),
        (lambda state: state.update({"more": torch.zeros(1)}), "more"),
        (
            lambda state: state.update({"model.fc.bias": torch.zeros(9)}),
            r"fc.bias of timm:test_resnet is \(9,\)",
        ),
        (lambda state: state.update({"view_std": torch.zeros(3, 1, 1)}), "view_std is"),
        (lambda state: state.update({"view_mean": torch.full((3, 1, 1), torch.nan)}), "view_mean"),
        (
            lambda state: state.update({"model.fc.weight": state["model.fc.weight"].int()}),
            "fc.weight is torch.int32",
        ),
    ],
)
def test_tensors_that_do_not_fit(
    change: Callable[[dict[str, torch.Tensor]], object], message: str, kept: Path, tmp_path: Path
) -> None:
    state = load_file(kept)
    change(state)
    path = rewritten(kept, tmp_path, {}, state)
    with pytest.raises(InputError, match=rf"task.safetensors: holds no task model.*{message}"):
        load_task_file(path)


def test_damaged_files_are_refused_or_load(kept: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    whole = kept.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    path = tmp_path / "task.safetensors"
    messages = []
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 4, 30])):
            content[chance.randrange(header)] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(whole), chance.randrange(len(whole))])])
        try:
            load_task_file(path)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 200
    assert all(str(path) in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("key", ["format", "task", "model", "n_outputs", "classes", "view"])
def test_odd_descriptions_are_refused(key: str, kept: Path, tmp_path: Path) -> None:
    odd = [[], {}, -1, 10**400, 1e308, float("nan"), "", ":", "\0", "../x", [[["a"]]], {"a": 1}]
    for value in odd:
        path = rewritten(kept, tmp_path, {key: value})
        if key == "view" and isinstance(value, str):
            assert load_task_file(path).view == value
            continue
        with pytest.raises(InputError, match=r"^[^\n]*task.safetensors: [^\n]*$"):
            load_task_file(path)


def test_a_classification_needs_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the names"):
        save_task(a_task(), tmp_path / "task.safetensors", classes=())
    assert not list(tmp_path.iterdir())
