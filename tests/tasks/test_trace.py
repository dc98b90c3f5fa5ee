"""Traces: the right gradients, and a training that does not notice being looked at."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from raw2logit.camera import Camera
from raw2logit.isp import Pipeline, parametrized_pipeline, static_pipeline
from raw2logit.isp.steps import Step
from raw2logit.quiet import quiet
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.classification import ClassificationTask
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.regression import RegressionTask
from raw2logit.tasks.segmentation import SegmentationTask
from raw2logit.tasks.trace import Trace, take_trace, trace_metrics

CAMERA = Camera(
    "trace",
    cfa="GRBG",
    black_level=(0.03, 0.031, 0.033, 0.03),
    white_balance=(1.9, 1.0, 1.5),
    colour_matrix=((1.6, -0.4, -0.2), (-0.3, 1.5, -0.2), (0.05, -0.55, 1.5)),
)
CONFIG = TrainingConfig(epochs=3, batch_size=4, lr=0.05, pipeline_lr=0.02, accelerator="cpu")
N, SIDE = 3, 8


class Network(nn.Module):
    """Batch statistics and dropout: what evaluation mode is for."""

    def __init__(self, n_outputs: int, *, dense: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Conv2d(6, n_outputs, 1)
        self.dense = dense

    def forward(self, view: Tensor) -> Tensor:
        features = self.drop(self.norm(self.first(view)).tanh())
        logits: Tensor = self.last(features)
        return logits if self.dense else logits.mean((2, 3))


def build(kind: str, pipeline: Pipeline) -> RawTask:
    make, model = {
        "classification": (ClassificationTask, lambda: Network(4)),
        "segmentation": (SegmentationTask, lambda: Network(1, dense=True)),
        "regression": (RegressionTask, lambda: Network(1)),
    }[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        task: RawTask = make(pipeline, model(), CONFIG)
        with torch.no_grad():
            task.model.norm.running_mean.normal_()
            task.view_mean.fill_(0.4)
            task.view_std.fill_(0.2)
    if isinstance(task, RegressionTask):
        task.fit_targets(torch.tensor([3900.0, 4100.0]))
    return task


def samples(kind: str, n: int = N) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(8)
    raw = 0.05 + 0.4 * torch.rand(n, SIDE, SIDE, generator=generator)
    targets = {
        "classification": torch.arange(n) % 4,
        "segmentation": (torch.rand(n, SIDE, SIDE, generator=generator) > 0.6).float(),
        "regression": 4000 + 50 * torch.randn(n, generator=generator),
    }[kind]
    return raw, targets


def trace_of(kind: str, pipeline: Pipeline | None = None) -> tuple[RawTask, Trace]:
    task = build(kind, pipeline or parametrized_pipeline(CAMERA))
    return task, take_trace(task, static_pipeline(CAMERA), *samples(kind))


def tail_loss(task: RawTask, first: int, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the mean loss as a function of what the steps before `first` give."""
    steps = [step for _, step in task.pipeline.named_steps()][first:]

    def loss(image: Tensor) -> Tensor:
        for step in steps:
            image = step(image)
        logits = task.classify_view(image)
        each = [task.loss(logits[i : i + 1], targets[i : i + 1]) for i in range(len(targets))]
        return torch.stack(each).mean()

    return loss


@pytest.mark.parametrize("kind", ["classification", "segmentation", "regression"])
@pytest.mark.parametrize("view", ["bi,s,ga", "me,u,me", "none", "neural", "static"])
def test_gradients_equal_those_of_the_tail_and_finite_differences(kind: str, view: str) -> None:
    pipeline = (
        static_pipeline(CAMERA, "ma,u,ga", dtype=torch.float64)
        if view == "static"
        else parametrized_pipeline(CAMERA, view, dtype=torch.float64)
    )
    task = build(kind, pipeline).double()
    raw, targets = (each.double() if each.is_floating_point() else each for each in samples(kind))
    trace = take_trace(task, static_pipeline(CAMERA), raw, targets)
    task.eval()
    inputs = [trace.raw, *trace.stages.values()]
    gradients = [trace.raw_gradient, *trace.gradients.values()]
    assert len(inputs) == len(task.pipeline.steps) + 1
    for first, (image, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        loss = tail_loss(task, first, targets)
        expected = torch.func.grad(loss)(image)
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-12)
        direction = 1e-6 * gradient / gradient.norm()
        with torch.no_grad():
            slope = loss(image + direction) - loss(image - direction)
        along = 2 * (gradient * direction).sum()
        torch.testing.assert_close(slope, along, rtol=2e-3, atol=1e-13)
        assert gradient.abs().max() > 0


def test_stages_are_what_the_pipeline_gives_and_the_view_of_a_static_one_is_the_default() -> None:
    task, trace = trace_of("classification", static_pipeline(CAMERA))
    raw, _ = samples("classification")
    task.eval()
    names = [
        *("black_level", "demosaic", "white_balance", "colour_matrix", "sharpen", "denoise"),
        "gamma",
    ]
    assert list(trace.stages) == list(trace.gradients) == names
    assert trace.stages["black_level"].shape == trace.raw.shape == (N, SIDE, SIDE)
    assert trace.stages["demosaic"].shape == (N, 3, SIDE, SIDE)
    assert torch.equal(trace.raw, raw)
    assert trace.view is trace.stages["gamma"]
    assert trace.view_name == "gamma"
    assert trace.encoded == {"gamma"}
    assert torch.equal(trace.view, trace.default_view)
    torch.testing.assert_close(trace.view, task.pipeline(raw))
    torch.testing.assert_close(trace.logits, task(raw))
    for value in (trace.raw, trace.raw_gradient, trace.logits, *trace.stages.values()):
        assert not value.requires_grad
        assert value.device.type == "cpu"
        assert value.is_contiguous()
    assert trace_metrics(trace)["view_rmse_to_default"] == 0


def test_a_mosaic_stays_one_where_white_balance_comes_first() -> None:
    order = ["black_level", "white_balance", "demosaic", "colour_matrix", "gamma", "sharpen"]
    pipeline = static_pipeline(CAMERA, order=[*order, "denoise"])
    _, trace = trace_of("classification", pipeline)
    assert list(trace.stages) == [*order, "denoise"]
    assert trace.stages["white_balance"].shape == (N, SIDE, SIDE)
    assert trace.encoded == {"gamma", "sharpen", "denoise"}


def test_losses_are_those_of_each_sample_alone_and_predictions_what_a_user_reads() -> None:
    task, trace = trace_of("classification")
    assert trace.losses.shape == (N,)
    torch.testing.assert_close(trace.losses.mean(), task.loss(trace.logits, trace.targets))
    torch.testing.assert_close(trace.predictions, trace.logits.softmax(1))
    task, trace = trace_of("segmentation")
    for i in range(N):
        alone = task.loss(trace.logits[i : i + 1], trace.targets[i : i + 1])
        torch.testing.assert_close(trace.losses[i], alone)
    assert trace.predictions.shape == (N, SIDE, SIDE)
    assert torch.equal(trace.predictions > 0.5, trace.logits[:, 0] > 0)
    task, trace = trace_of("regression")
    torch.testing.assert_close(trace.predictions, 4000 + 100 * trace.logits[:, 0])


# --- What must not change -------------------------------------------------------------------


class _Looking(Callback):
    """Takes a trace wherever Lightning lets it: with and without gradients, within an epoch."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    def _look(self, task: lightning.LightningModule) -> None:
        assert isinstance(task, RawTask)
        default = static_pipeline(CAMERA)  # also made where gradients are switched off
        self.traces.append(take_trace(task, default, *samples("classification")))

    def on_train_start(self, trainer: object, pl_module: lightning.LightningModule) -> None:
        self._look(pl_module)

    def on_train_batch_end(
        self, trainer: object, pl_module: lightning.LightningModule, *args: object
    ) -> None:
        self._look(pl_module)

    def on_after_backward(self, trainer: object, pl_module: lightning.LightningModule) -> None:
        self._look(pl_module)

    def on_validation_end(self, trainer: object, pl_module: lightning.LightningModule) -> None:
        assert not torch.is_grad_enabled()
        self._look(pl_module)


def train(callbacks: list[Callback]) -> tuple[dict[str, Tensor], list[dict[str, float]], Tensor]:
    task = build("classification", parametrized_pipeline(CAMERA))
    raw, targets = samples("classification", 12)
    task.train()
    with (
        torch.random.fork_rng(devices=[]),
        quiet("lightning.pytorch"),
        warnings.catch_warnings(),
    ):
        torch.manual_seed(0)
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*number of training batches")
        trainer = lightning.Trainer(
            max_epochs=CONFIG.epochs,
            accelerator="cpu",
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        data = TensorDataset(raw, targets)
        batches = DataLoader(
            data, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(1)
        )
        trainer.fit(task, batches, DataLoader(data, batch_size=4, generator=torch.Generator()))
        return task.state_dict(), task.history, torch.get_rng_state()


def test_a_training_that_is_looked_at_ends_bit_for_bit_the_same() -> None:
    looking = _Looking()
    weights, history, numbers = train([])
    seen_weights, seen_history, seen_numbers = train([looking])
    assert len(looking.traces) == 1 + CONFIG.epochs * (3 + 3 + 1)
    assert all(torch.equal(weights[name], seen_weights[name]) for name in weights)
    assert history == seen_history
    assert torch.equal(numbers, seen_numbers)
    first, last = looking.traces[0], looking.traces[-1]
    assert not torch.equal(first.view, last.view)
    assert torch.equal(first.default_view, last.default_view)


def test_gradients_are_there_in_inference_mode_too() -> None:
    task = build("classification", parametrized_pipeline(CAMERA))
    expected = take_trace(task, static_pipeline(CAMERA), *samples("classification"))
    with torch.inference_mode():
        # Data and default pipeline made here can otherwise not be differentiated.
        trace = take_trace(task, static_pipeline(CAMERA), *samples("classification"))
    for name, gradient in expected.gradients.items():
        assert torch.equal(gradient, trace.gradients[name])


class _NoisyNetwork(Network):
    """Draws random numbers in evaluation mode too."""

    def forward(self, view: Tensor) -> Tensor:
        return super().forward(view + 0.01 * torch.randn_like(view))


def test_random_numbers_gradients_and_flags_stay() -> None:
    task = build("classification", static_pipeline(CAMERA))
    task.model = _NoisyNetwork(4)
    for parameter in task.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = torch.get_rng_state()
    take_trace(task, static_pipeline(CAMERA), *samples("classification"))
    assert torch.equal(before, torch.get_rng_state())
    assert all(bool((p.grad == 1).all()) for p in task.model.parameters())
    assert all(p.grad is None and not p.requires_grad for p in task.pipeline.parameters())
    raw, targets = samples("classification")
    take_trace(task, static_pipeline(CAMERA), raw, targets)
    assert not raw.requires_grad
    assert raw.grad is None


class _BrokenNetwork(Network):
    def forward(self, view: Tensor) -> Tensor:
        assert not self.training
        assert not self.norm.training
        raise RuntimeError("broken on purpose")


@pytest.mark.parametrize("broken", [False, True])
def test_each_module_gets_its_own_mode_back(broken: bool) -> None:
    task = build("classification", parametrized_pipeline(CAMERA, "neural"))
    if broken:
        task.model = _BrokenNetwork(4)
    task.train()
    task.model.norm.eval()  # as where a part is frozen
    default = static_pipeline(CAMERA).train()
    modes = {name: part.training for name, part in task.named_modules()}
    assert len(set(modes.values())) == 2
    if broken:
        with pytest.raises(RuntimeError, match="broken on purpose"):
            take_trace(task, default, *samples("classification"))
    else:
        take_trace(task, default, *samples("classification"))
    assert {name: part.training for name, part in task.named_modules()} == modes
    assert all(part.training for part in default.modules())


def test_the_default_is_looked_at_in_evaluation_mode_too() -> None:
    task = build("classification", parametrized_pipeline(CAMERA))
    default = parametrized_pipeline(CAMERA, "neural").train()
    statistics = {name: value.clone() for name, value in default.named_buffers()}
    raw, targets = samples("classification")
    trace = take_trace(task, default, raw, targets)
    assert all(torch.equal(statistics[name], value) for name, value in default.named_buffers())
    torch.testing.assert_close(trace.default_view, default.eval()(raw).detach())


class _Cut(Step):
    """Lets no gradient through."""

    family = "denoise"

    def forward(self, image: Tensor) -> Tensor:
        return image.detach().clone()


def test_where_no_gradient_flows_it_is_zero() -> None:
    pipeline = parametrized_pipeline(CAMERA).replaced("denoise", _Cut())
    _, trace = trace_of("classification", pipeline)
    assert not trace.raw_gradient.any()
    assert not trace.gradients["sharpen"].any()
    assert not trace.gradients["denoise"].any()
    assert trace.gradients["sharpen"].shape == trace.stages["sharpen"].shape
    assert trace.gradients["gamma"].any()


class _Same(Step):
    """Gives back the very tensor that it gets."""

    family = "denoise"

    def forward(self, image: Tensor) -> Tensor:
        return image


def test_a_step_that_does_nothing_has_the_gradient_of_the_one_before() -> None:
    pipeline = parametrized_pipeline(CAMERA).replaced("denoise", _Same())
    _, trace = trace_of("classification", pipeline)
    assert torch.equal(trace.gradients["sharpen"], trace.gradients["denoise"])
    assert trace.gradients["sharpen"].any()
    assert trace.stages["sharpen"].data_ptr() != trace.stages["denoise"].data_ptr()


# --- Metrics --------------------------------------------------------------------------------


def test_metrics_are_norms_and_the_distance_to_the_default_view() -> None:
    pipeline = parametrized_pipeline(CAMERA)
    with torch.no_grad():
        pipeline.steps["gamma"].log_gamma += 0.2
    _, trace = trace_of("classification", pipeline)
    metrics = trace_metrics(trace)
    assert list(metrics) == [*(f"gradient_norm.{name}" for name in trace.stages), metrics_last()]
    gradient = trace.gradients["demosaic"].numpy()
    assert metrics["gradient_norm.demosaic"] == pytest.approx(float((gradient**2).sum()) ** 0.5)
    difference = (trace.view - trace.default_view).numpy()
    assert metrics[metrics_last()] == pytest.approx(float((difference**2).mean()) ** 0.5)
    assert metrics[metrics_last()] > 0.01


def metrics_last() -> str:
    return "view_rmse_to_default"


def test_metric_names_suit_a_lab_and_none_is_lost() -> None:
    pipeline = parametrized_pipeline(CAMERA)
    pipeline = pipeline.inserted("weiß:1", _Same(), before="denoise")
    pipeline = pipeline.inserted("weiß?1", _Same(), before="denoise")
    _, trace = trace_of("classification", pipeline)
    metrics = trace_metrics(trace)
    assert len(metrics) == len(trace.stages) + 1
    assert all(re.fullmatch(r"[0-9A-Za-z_\-. /]+", name) for name in metrics)
