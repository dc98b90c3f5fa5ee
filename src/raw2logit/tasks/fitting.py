"""Fit a task module, with checkpoints from which a killed training goes on."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from raw2logit.errors import InputError
from raw2logit.files import atomic_path
from raw2logit.progress import PartProgress
from raw2logit.quiet import quiet
from raw2logit.tasks.base import Batch, RawTask
from raw2logit.tasks.config import TrainingConfig


class Observer(Protocol):
    """Looks on while a task module learns, and leaves it as it is."""

    def on_epoch(self, task: RawTask, epoch: int) -> None:
        """Look at the module after an epoch, counted from 1; 0: before the first one.

        An epoch is seen again if a kill made the training go back to an earlier checkpoint.
        """


def choose_device(config: TrainingConfig) -> torch.device:
    """Return where to compute.

    Raises:
        InputError: A GPU is asked for that is not there.
    """
    if config.accelerator == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.accelerator == "gpu" and not count:
        raise InputError("--accelerator gpu: PyTorch sees no GPU here; use auto or cpu")
    if config.device_index >= max(count, 1):
        raise InputError(f"--devices {config.devices}: PyTorch sees {count} GPU(s) here")
    return torch.device("cuda", config.device_index) if count else torch.device("cpu")


def fit(
    task: RawTask,
    train: Batch,
    validation: Batch,
    checkpoint: Path,
    *,
    seed: int,
    observer: Observer | None,
    progress: PartProgress,
) -> None:
    """Train a module and leave it with the weights of its best epoch on the validation part.

    Args:
        task: Normalisation and targets are fitted already.
        train: Raw ``(N, H, W)`` and targets.
        validation: The same of the validation part.
        checkpoint: Is written as often as ``config.checkpoint_s`` says; if it is there, the
            training goes on from it, as if nothing had happened.
        seed: Of batch order and of what is random in the model.
        observer: Called after every epoch.
        progress: Told after every batch and epoch, in epochs done.

    Raises:
        InputError: The training diverged, the checkpoint is broken, or nothing can learn.
    """
    config = task.config
    require_learnable(task)
    device = choose_device(config)
    if config.precision == "16-mixed" and device.type == "cpu":
        raise InputError("--precision 16-mixed: needs a GPU; use bf16-mixed or 32-true")
    size = min(config.batch_size, len(train[0]))
    order = torch.Generator().manual_seed(seed)
    # A last batch of one sample would break batch normalisation.
    batches = DataLoader(
        TensorDataset(*train), batch_size=size, shuffle=True, drop_last=True, generator=order
    )
    looks = DataLoader(
        # A generator of its own: it would draw from the global one at every look.
        TensorDataset(*validation),
        batch_size=config.batch_size,
        generator=torch.Generator(),
    )
    task.train()  # Lightning leaves the modes as they are
    keeper = _Keeper(order, checkpoint, config.checkpoint_s, observer, progress)
    devices = [device] if device.type == "cuda" else []
    with (
        quiet("lightning.pytorch"),
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=devices),
        _interruptible(),
    ):
        torch.manual_seed(seed)  # inside the fork: dropout has no generator argument
        # The data is in memory: workers would only copy it.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*number of training batches")
        # What is frozen is meant to be.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training")
        trainer = lightning.Trainer(
            max_epochs=config.epochs,
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index] if device.type == "cuda" else 1,
            precision=config.precision,
            logger=False,
            callbacks=[keeper],
            check_val_every_n_epoch=config.check_val_every,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        if checkpoint.is_file():
            _resume(trainer, task, batches, looks, checkpoint)
        else:
            trainer.fit(task, batches, looks)
    if not keeper.best:
        raise InputError(
            "the training diverged: no epoch had a finite validation loss; use a lower --lr"
        )
    task.load_state_dict(keeper.best)


def require_learnable(task: RawTask) -> None:
    """Raise `InputError` if every parameter is frozen."""
    if not any(parameter.requires_grad for parameter in task.parameters()):
        raise InputError(
            "nothing can learn: the task model is frozen and so is the pipeline; leave "
            "--freeze-model out, or use --pipeline parametrized"
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C through: Lightning makes an exit of it, and leaves the process deaf to it."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _resume(
    trainer: lightning.Trainer,
    task: RawTask,
    batches: DataLoader[Any],
    looks: DataLoader[Any],
    checkpoint: Path,
) -> None:
    try:
        # Read once more by Lightning; what is wrong with the file shows here, by its name.
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each have their own
        raise InputError(
            f"{checkpoint}: a checkpoint that cannot be read ({type(error).__name__}): delete it, "
            "and this training starts anew"
        ) from error
    trainer.fit(task, batches, looks, ckpt_path=checkpoint, weights_only=True)


class _Keeper(Callback):
    """Keep the best weights, write checkpoints, and tell others of each epoch."""

    def __init__(
        self,
        order: torch.Generator,
        checkpoint: Path,
        every_s: float,
        observer: Observer | None,
        progress: PartProgress,
    ) -> None:
        self.best: dict[str, Tensor] = {}
        self._lowest = float("inf")
        self._order = order
        self._checkpoint = checkpoint
        self._every_s = every_s
        self._written = time.monotonic()
        self._observer = observer
        self._progress = progress
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside weights and optimiser."""
        state = {"best": self.best, "lowest": self._lowest, "order": self._order.get_state()}
        state["global"] = torch.get_rng_state()
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a checkpoint holds; random numbers only when the next epoch begins."""
        self.best, self._lowest = state_dict["best"], state_dict["lowest"]
        self._order.set_state(state_dict["order"].cpu())
        self._restored = state_dict

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Show the module before it learns, unless it goes on."""
        if self._restored is None and self._observer is not None:
            self._observer.on_epoch(cast(RawTask, pl_module), 0)

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Go on with the random numbers of the checkpoint."""
        if self._restored is not None:
            torch.set_rng_state(self._restored["global"].cpu())
            if torch.cuda.is_available() and "cuda" in self._restored:
                torch.cuda.set_rng_state(self._restored["cuda"].cpu())
            self._restored = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: object
    ) -> None:
        """Tell of the batch."""
        batch = f"{trainer.fit_loop.batch_idx + 1}/{trainer.num_training_batches}"
        self._progress(trainer.current_epoch, f", batch {batch} of the epoch")

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the weights if they are the best so far."""
        loss = cast(RawTask, pl_module).history[-1]["val_loss"]
        if loss < self._lowest:
            self._lowest = loss
            self.best = {name: value.clone() for name, value in pl_module.state_dict().items()}

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Tell of the epoch, then keep it: what was told of is never lost by a kill."""
        epoch = trainer.current_epoch + 1
        if self._observer is not None:
            self._observer.on_epoch(cast(RawTask, pl_module), epoch)
        self._progress(epoch, "")
        last = trainer.max_epochs == epoch
        if not last and time.monotonic() - self._written >= self._every_s:
            with atomic_path(self._checkpoint) as temporary:
                trainer.save_checkpoint(temporary)
            self._written = time.monotonic()
