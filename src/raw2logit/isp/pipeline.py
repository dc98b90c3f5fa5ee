"""The one pipeline class: ordered steps from raw to view."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raw2logit.camera import Camera
from raw2logit.errors import InputError
from raw2logit.isp.folding import fold, has_hooks
from raw2logit.isp.functional.borders import require_even
from raw2logit.isp.functional.slices import in_slices, is_watched, wants_gradient
from raw2logit.isp.steps import LinearStep, LumaStep, Step


@dataclass(frozen=True)
class _Fold:
    """Folded steps, and what they were folded of."""

    run: Callable[[Tensor], Tensor]
    steps: list[Step]
    kinds: list[object]
    values: list[Tensor]

    def is_of(self, steps: list[Step], kinds: list[object], values: list[Tensor]) -> bool:
        """Return whether these are the steps and the values of their parameters still."""
        return (
            len(steps) == len(self.steps)
            and all(map(operator.is_, steps, self.steps))
            and kinds == self.kinds
            and len(values) == len(self.values)
            and all(map(_same, values, self.values))
        )


def _same(left: Tensor, right: Tensor) -> bool:
    return left.dtype == right.dtype and left.device == right.device and torch.equal(left, right)


class Pipeline(nn.Module):
    """An image signal processor: steps in order, from a mosaic to a view.

    Its meaning is its steps, one after the other, and that is how it runs under `capture`.
    Otherwise neighbouring linear steps run as one and luma filters see the luma alone, which gives
    the same values and gradients up to rounding; and on a CPU, where no gradient is asked for,
    large batches and frames are processed a cacheful at a time, so that memory stays bounded.

    Mixed precision (``torch.autocast``) is left outside: a view is computed in the raw's dtype. On
    CUDA, PyTorch by default rounds convolutions of float32 to TF32, three digits; set
    ``torch.backends.cudnn.allow_tf32 = False`` for all of them.

    Example:
        >>> import torch, raw2logit as r2l
        >>> isp = r2l.static_pipeline(r2l.Camera.preset("drone"), "bi,s,ga")
        >>> isp(torch.full((1, 4, 4), 0.5)).shape
        torch.Size([1, 3, 4, 4])

    ``torch.compile`` and ``torch.export`` take every view without graph breaks, so that a model
    may hold a pipeline; by itself, on a CPU, it is faster as it is. PyTorch compiles one method at
    most eight times a process: call ``torch.compiler.reset()`` before the ninth pipeline.

    Attributes:
        camera: The camera that the steps were made for.
        view: The view's name, or None for a pipeline of one's own steps.
        steps: The steps by name, in order.
    """

    def __init__(
        self, steps: Mapping[str, Step], camera: Camera, *, view: str | None = None
    ) -> None:
        """Chain steps.

        Args:
            steps: Name to step, in the order of execution.
            camera: The camera whose raw data goes in.
            view: Name for messages and reports.

        Raises:
            InputError: A step is none, was made for another colour filter array, or comes where it
                cannot work; or nothing makes an image of the mosaic.
        """
        super().__init__()
        _check_order(steps, camera)
        self.camera = camera
        self.view = view
        self.steps = nn.ModuleDict(dict(steps))
        self._stages: dict[str, Tensor] | None = None
        self._last_fold: _Fold | None = None

    def forward(self, raw: Tensor) -> Tensor:
        """Process raw data.

        Args:
            raw: ``(B, H, W)`` mosaic, linear, fraction of full scale in [0, 1], black level still
                in, H and W even.

        Returns:
            ``(B, 3, H, W)`` view: what the last step gives, encoded RGB in [0, 1] after gamma.

        Raises:
            InputError: `raw` has another shape, holds integers, or is of another type than the
                parameters.
        """
        check_mosaic(raw)
        for parameter in self.parameters():
            if raw.dtype != parameter.dtype:
                raise InputError(
                    f"raw is {raw.dtype}, but the pipeline {parameter.dtype}: convert one of them, "
                    "raw.float() or pipeline.double()"
                )
        kind = raw.device.type
        if kind != "meta" and torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._run(raw)
        return self._run(raw)

    @contextmanager
    def capture(self) -> Iterator[dict[str, Tensor]]:
        """Keep what each step puts out.

        Yields:
            A dictionary that the next calls fill, step name to output, in order. Where a gradient
            is asked for, each output keeps its own in ``.grad`` after ``backward()``.
        """
        stages: dict[str, Tensor] = {}
        before, self._stages = self._stages, stages
        try:
            yield stages
        finally:
            self._stages = before

    @property
    def reach_px(self) -> int | None:
        """How far away a raw pixel can be that changes a pixel of the view; None: anywhere."""
        reaches = [step.reach_px for step in self._chain()]
        known = [reach for reach in reaches if reach is not None]
        return sum(known) if len(known) == len(reaches) else None

    def inserted(self, name: str, step: Step, *, before: str | None = None) -> Pipeline:
        """Return a pipeline that shares these steps and has one more.

        Args:
            name: Of the new step.
            step: It.
            before: Name of the step that it comes before; None: it comes last.

        Raises:
            InputError: There is a step `name`, or none `before`, or the order cannot work.
        """
        if name in self.steps:
            raise InputError(f"step {name!r} is there already: replace it, or choose another name")
        if before is not None:
            self._check_name(before)
        names = list(self.steps)
        names.insert(len(names) if before is None else names.index(before), name)
        steps = {**dict(self.named_steps()), name: step}
        return Pipeline({known: steps[known] for known in names}, self.camera)

    def removed(self, name: str) -> Pipeline:
        """Return a pipeline that shares these steps but one.

        Raises:
            InputError: There is no step `name`, or the pipeline cannot do without.
        """
        self._check_name(name)
        return Pipeline({n: step for n, step in self.named_steps() if n != name}, self.camera)

    def replaced(self, name: str, step: Step) -> Pipeline:
        """Return a pipeline that shares these steps but has another one in the place of `name`.

        Raises:
            InputError: There is no step `name`, or the new one cannot work in its place.
        """
        self._check_name(name)
        steps = {n: step if n == name else old for n, old in self.named_steps()}
        return Pipeline(steps, self.camera)

    def reordered(self, names: Sequence[str]) -> Pipeline:
        """Return a pipeline that shares these steps in another order.

        Raises:
            InputError: `names` are not exactly the names of the steps, or the order cannot work.
        """
        if sorted(names) != sorted(self.steps):
            raise InputError(
                f"order {list(names)} must name each of {list(self.steps)} exactly once"
            )
        known = dict(self.named_steps())
        return Pipeline({name: known[name] for name in names}, self.camera, view=self.view)

    def freeze(self) -> Self:
        """Stop learning of every parameter; the pipeline is then static."""
        return self.requires_grad_(False).train(self.training)

    def unfreeze(self) -> Self:
        """Let every parameter learn."""
        return self.requires_grad_(True).train(self.training)

    def named_steps(self) -> list[tuple[str, Step]]:
        """Return name and step in the order of execution."""
        return list(self.steps.items())  # type: ignore[arg-type]

    def parameters_by_family(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of each family of steps (see `raw2logit.isp.steps.FAMILIES`)."""
        families: dict[str, list[nn.Parameter]] = {}
        for step in self._chain():
            if parameters := list(step.parameters()):
                families.setdefault(step.family, []).extend(parameters)
        return families

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what a copy makes for itself."""
        return {**self.__dict__, "_stages": None, "_last_fold": None}

    def _run(self, raw: Tensor) -> Tensor:
        if self._stages is not None:
            return self._run_captured(raw, self._stages)
        folded = self._folded(raw)
        if any(isinstance(module, _BatchNorm) and module.training for module in self.modules()):
            return folded(raw)  # its statistics are those of the whole batch
        return in_slices(
            lambda part, _: folded(part),
            raw,
            (*self.parameters(), *self.buffers()),
            reach_px=self.reach_px,
        )

    def _folded(self, raw: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the steps folded, the same as last time while the parameters are the same."""
        steps = self._chain()
        learns = wants_gradient(raw, *self.parameters(), *self.buffers())
        # In the place of parameters, `torch.func.functional_call` puts tensors that may be watched.
        own = all(isinstance(parameter, nn.Parameter) for parameter in self.parameters())
        changing = learns or not own or is_watched(raw) or any(map(has_hooks, steps))
        if changing or raw.device.type != "cpu":
            return fold(steps, raw)
        # Of other steps nothing is computed beforehand; a network's weights would be many.
        folded_steps = [step for step in steps if isinstance(step, LinearStep | LumaStep)]
        values = [t for step in folded_steps for t in (*step.parameters(), *step.buffers())]
        known = self._last_fold
        # A parametrization changes a module's type.
        kinds = [raw.dtype, *((type(s), s.training, getattr(s, "cfa", None)) for s in steps)]
        if known is None or not known.is_of(steps, kinds, values):
            with torch.no_grad():
                folded = fold(steps, raw, look_at_values=True)
                known = _Fold(folded, steps, kinds, [value.clone() for value in values])
            self._last_fold = known
        return known.run

    def _run_captured(self, raw: Tensor, stages: dict[str, Tensor]) -> Tensor:
        image = raw
        for name, step in self.named_steps():
            image = step(image)
            if image.requires_grad and not is_watched(raw):
                image.retain_grad()
            stages[name] = image
        return image

    def _chain(self) -> list[Step]:
        return list(self.steps.values())  # type: ignore[arg-type]

    def _check_name(self, name: str) -> None:
        if name not in self.steps:
            raise InputError(f"no step {name!r}: the pipeline has {', '.join(self.steps)}")


def _check_order(steps: Mapping[str, Step], camera: Camera) -> None:
    """Raise `InputError` unless each step gets what it works on and an image comes out."""
    at_hand = "mosaic"
    for name, step in steps.items():
        if not isinstance(step, Step):
            raise InputError(f"step {name!r} is a {type(step).__name__}: derive it from Step")
        if (cfa := getattr(step, "cfa", camera.cfa)) != camera.cfa:
            raise InputError(
                f"step {name!r} is for {cfa} mosaics, but camera {camera.name!r} gives {camera.cfa}"
            )
        if step.domain not in (at_hand, "either"):
            wants, side = ("an image", "after") if at_hand == "mosaic" else ("a mosaic", "before")
            raise InputError(
                f"step {name!r} works on {wants}, which it does not get in the order "
                f"{', '.join(steps)}: put it {side} the demosaic step"
            )
        if step.gives_image:
            at_hand = "image"
    if at_hand == "mosaic":
        raise InputError(f"no step among {list(steps)} demosaics: a pipeline needs one")


def check_mosaic(raw: Tensor) -> None:
    """Raise `InputError` unless `raw` can be a batch of Bayer mosaics."""
    if raw.dim() != 3:
        raise InputError(f"raw must be (B, H, W), got {tuple(raw.shape)}")
    if not raw.is_floating_point():
        raise InputError(
            f"raw must be floating point, a fraction of full scale in [0, 1], got {raw.dtype}: "
            "divide by 2^bits - 1, or use read_raw"
        )
    require_even(raw)
