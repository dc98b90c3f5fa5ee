"""A training that was killed goes on as if nothing had happened; others may look on."""

from __future__ import annotations

import dataclasses
import pickle
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from raw2logit.datasets import make_splits
from raw2logit.errors import InputError
from raw2logit.tasks import training
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.fitting import Observer, choose_device
from raw2logit.tasks.training import train_or_load
from tests.tasks.data import Levels, MeanModel, PixelModel

CONFIG = TrainingConfig(
    epochs=5, batch_size=8, lr=0.1, accelerator="cpu", checkpoint_s=0, augmentation="strong"
)


class Forgetful(MeanModel):
    """What is random inside of a model, and statistics: both must survive a kill."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, view: Tensor) -> Tensor:
        return self.head(self.dropout(self.norm(view).mean(dim=(2, 3))))


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: Forgetful(n))
    monkeypatch.setattr(training, "build_segmenter", lambda name, pretrained: PixelModel())


class Killed(Exception):
    """What stands for the end of a process: nothing is tidied up."""


@dataclasses.dataclass
class Watcher:
    """Writes down the epochs that it sees, and ends the training at one of them."""

    end_at: int | None = None
    by: type[BaseException] = Killed
    seen: list[int] = dataclasses.field(default_factory=list)

    def on_epoch(self, task: RawTask, epoch: int) -> None:
        if epoch == self.end_at:
            raise self.by
        self.seen.append(epoch)


def train(
    folder: Path, observer: Observer | None, config: TrainingConfig = CONFIG, task: str = "classes"
) -> RawTask:
    kind = "segmentation" if task == "masks" else "classification"
    data = Levels(kind).loaded()  # type: ignore[arg-type]
    split = make_splits(data.dataset, 1, seed=0)[0]
    return train_or_load(
        data, split, "bi,s,ga", config, folder, seed=0, learn_pipeline=True, observer=observer
    )


def assert_same(one: RawTask, other: RawTask) -> None:
    assert one.history == other.history
    state = other.state_dict()
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("task", ["classes", "masks"])
@pytest.mark.parametrize("end_at", [1, 2, 3, 5])
def test_goes_on_from_the_last_checkpoint(tmp_path: Path, end_at: int, task: str) -> None:
    undisturbed = train(tmp_path / "a", None, task=task)
    with pytest.raises(Killed):
        train(tmp_path / "b", Watcher(end_at), task=task)
    torch.manual_seed(99)  # another process has other global random numbers
    second = Watcher()
    assert_same(undisturbed, train(tmp_path / "b", second, task=task))
    assert second.seen == list(range(end_at if end_at > 1 else 0, CONFIG.epochs + 1))
    assert [place.suffix for place in (tmp_path / "b").iterdir()] == [""]


def test_ctrl_c_comes_through_and_the_training_goes_on(tmp_path: Path) -> None:
    undisturbed = train(tmp_path / "a", None)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", Watcher(3, KeyboardInterrupt))
    assert signal.getsignal(signal.SIGINT) is handler
    assert_same(undisturbed, train(tmp_path / "b", None))


def test_a_kill_just_before_the_end_leaves_no_checkpoint(tmp_path: Path) -> None:
    train(tmp_path, None)
    (kept,) = tmp_path.iterdir()
    left = tmp_path / f"{kept.name}.unfinished"
    left.mkdir()
    (left / "last.ckpt").write_bytes(b"large")
    train(tmp_path, None)
    assert list(tmp_path.iterdir()) == [kept]


def test_killed_again_and_again(tmp_path: Path) -> None:
    undisturbed = train(tmp_path / "a", None)
    for end_at in (2, 2, 3, 5):
        with pytest.raises(Killed):
            train(tmp_path / "b", Watcher(end_at))
    assert_same(undisturbed, train(tmp_path / "b", None))


def test_without_checkpoints_a_kill_costs_the_whole_training(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, checkpoint_s=1000)
    with pytest.raises(Killed):
        train(tmp_path, Watcher(4), config)
    assert not list(tmp_path.iterdir())
    again = Watcher()
    train(tmp_path, again, config)
    assert again.seen == [0, 1, 2, 3, 4, 5]


def test_how_often_checkpoints_are_written_decides_nothing(tmp_path: Path) -> None:
    train(tmp_path, None)
    kept = list(tmp_path.iterdir())
    train(tmp_path, None, dataclasses.replace(CONFIG, checkpoint_s=7))
    assert list(tmp_path.iterdir()) == kept


def test_a_broken_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path, Watcher(3))
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"last\.ckpt: a checkpoint that cannot be read .* delete"):
        train(tmp_path, None)


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_pickle_in_place_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path, Watcher(3))
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    mark = tmp_path / "mark"
    for trap in (pickle.dumps(_Trap(str(mark))), None):
        if trap is None:
            torch.save({"state_dict": _Trap(str(mark))}, checkpoint)
        else:
            checkpoint.write_bytes(trap)
        with pytest.raises(InputError, match="cannot be read"):
            train(tmp_path, None)
        assert not mark.exists()


def test_looking_on_changes_nothing(tmp_path: Path) -> None:
    watcher = Watcher()
    assert_same(train(tmp_path / "a", None), train(tmp_path / "b", watcher))
    assert watcher.seen == [0, 1, 2, 3, 4, 5]
    kept = Watcher()
    train(tmp_path / "b", kept)
    assert kept.seen == []


def test_the_validation_part_is_looked_at_as_often_as_asked(tmp_path: Path) -> None:
    task = train(tmp_path, None, dataclasses.replace(CONFIG, check_val_every=2))
    assert [row["epoch"] for row in task.history] == [2, 4]


def test_half_precision_trains(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, precision="bf16-mixed", augmentation="none")
    task = train(tmp_path, None, config)
    assert all(value.dtype == torch.float32 for value in task.model.parameters())
    assert task.history[-1]["val_loss"] < task.history[0]["val_loss"]
    with pytest.raises(InputError, match="16-mixed: needs a GPU"):
        train(tmp_path, None, dataclasses.replace(CONFIG, precision="16-mixed"))


def test_a_frozen_task_model_stays_statistics_and_all(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, freeze_model=True)
    seen: list[dict[str, Tensor]] = []

    class Copies:
        def on_epoch(self, task: RawTask, epoch: int) -> None:
            seen.append({name: value.clone() for name, value in task.state_dict().items()})

    train(tmp_path, Copies(), config)
    first, last = seen[0], seen[-1]
    moved = {name for name in first if not torch.equal(first[name], last[name])}
    assert moved
    assert all(name.startswith("pipeline.") for name in moved)


def test_nothing_to_learn(tmp_path: Path) -> None:
    data = Levels("classification").loaded()
    split = make_splits(data.dataset, 1, seed=0)[0]
    config = dataclasses.replace(CONFIG, freeze_model=True)
    with pytest.raises(InputError, match="nothing can learn"):
        train_or_load(data, split, "bi,s,ga", config, tmp_path, seed=0)


@pytest.mark.parametrize("devices", ["2", "-1", "", "a", "0", ","])
def test_one_device(devices: str) -> None:
    with pytest.raises(InputError, match="--devices"):
        TrainingConfig(devices=devices)


def test_which_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(TrainingConfig()) == torch.device("cuda", 0)
    assert choose_device(TrainingConfig(devices="1,")) == torch.device("cuda", 1)
    assert choose_device(TrainingConfig(accelerator="cpu")) == torch.device("cpu")
    with pytest.raises(InputError, match=r"--devices 2,: PyTorch sees 2 GPU"):
        choose_device(TrainingConfig(devices="2,"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="sees no GPU"):
        choose_device(TrainingConfig(accelerator="gpu"))
