"""What every step must do, as checks that run on any step class, one's own included.

Example:
    >>> import raw2logit as r2l
    >>> from raw2logit.isp import check_step
    >>> from raw2logit.isp.steps import GaussianDenoise
    >>> check_step(GaussianDenoise)
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from raw2logit.camera import Camera
from raw2logit.cfa import CFA_NAMES
from raw2logit.isp.functional.convolution import convolve_kernel
from raw2logit.isp.functional.demosaic_bilinear import (
    bilinear_kernels,
    bilinear_weights,
    demosaic_bilinear,
)
from raw2logit.isp.functional.luma import luma_of
from raw2logit.isp.linear import LinearMap
from raw2logit.isp.steps import FAMILIES, KernelStep, LinearStep, LumaStep, Step, registered_steps

Build = Callable[[torch.dtype | None], Step]
"""Makes a step anew, at its defaults, with parameters of a dtype."""

_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
_LARGE = 1000
"""A step with more parameters is a network: gradients are then checked in a random direction."""
_CAMERA = Camera(
    name="contract",
    cfa="GBRG",
    black_level=(0.03, 0.031, 0.033, 0.03),
    white_balance=(1.9, 1.0, 1.5),
    colour_matrix=((1.6, -0.4, -0.2), (-0.3, 1.5, -0.2), (0.05, -0.55, 1.5)),
    white_level=0.9,
)


def check_step(step: type[Step]) -> None:
    """Run `STEP_CHECKS` on a step class, for each of the four colour filter arrays.

    Raises:
        AssertionError: A check failed; the message says which and how.
    """
    for cfa in CFA_NAMES:
        camera = Camera.from_dict({**_CAMERA.to_dict(), "cfa": cfa})
        for name, check in STEP_CHECKS.items():
            try:
                check(partial(step.for_camera, camera))
            except Exception as error:  # whatever a step raises, it is the check that failed
                raise AssertionError(f"{step.__name__}, {cfa}, {name}: {error}") from error


def _shape_and_dtype(build: Build) -> None:
    for dtype in _TOLERANCE:
        for height, width in ((2, 2), (4, 6), (12, 10)):
            step = build(dtype).eval()
            values = _input(step, dtype, 3, height, width)
            before = values.clone()
            result = step(values)
            image = step.gives_image or values.dim() == 4
            wanted = (3, 3, height, width) if image else (3, height, width)
            _require(result.shape == wanted, f"shape {tuple(result.shape)}, expected {wanted}")
            _require(result.dtype == dtype, f"gives {result.dtype} for {dtype}")
            _require(bool(result.isfinite().all()), "gives numbers that are not finite")
            _require(torch.equal(values, before), "changes its input")


def _batch_equals_loop(build: Build) -> None:
    for dtype in _TOLERANCE:
        step = build(dtype).eval()
        values = _input(step, dtype, batch=3)
        _near(step(values), torch.cat([step(one[None]) for one in values]), "batch and loop")
        empty = step(values[:0])
        _require(empty.shape == (0, *step(values).shape[1:]), f"empty batch: {tuple(empty.shape)}")


def _memory_layout(build: Build) -> None:
    step = build(torch.float64).eval()
    values = _input(step, torch.float64)
    _near(step(values.mT.contiguous().mT), step(values), "two memory layouts")


def _gradients(build: Build) -> None:
    step = build(torch.float64).eval()
    values = _input(step, torch.float64, batch=1, height=4, width=6).requires_grad_()
    names = [name for name, _ in step.named_parameters()]
    if sum(map(torch.numel, step.parameters())) > _LARGE:
        _require(torch.autograd.gradcheck(step, (values,), fast_mode=True), "gradcheck of input")
        return
    _perturb(step)

    def call(image: Tensor, *parameters: Tensor) -> Tensor:
        result = functional_call(step, dict(zip(names, parameters, strict=True)), (image,))
        if not isinstance(result, Tensor):
            raise AssertionError("gives no tensor")
        return result

    _require(torch.autograd.gradcheck(call, (values, *step.parameters())), "gradcheck")


def _rebuilt(build: Build) -> None:
    changed = build(torch.float64).eval()
    values = _input(changed, torch.float64)
    _perturb(changed)
    wanted = changed(values)
    options = json.loads(json.dumps(changed.options))
    for_camera = build.func if isinstance(build, partial) else type(changed).for_camera
    camera = build.args[0] if isinstance(build, partial) else _CAMERA
    restored = for_camera(camera, torch.float64, **options).eval()
    restored.load_state_dict(changed.state_dict())
    _require(torch.equal(restored(values), wanted), "differs after state_dict and options")
    copied = copy.deepcopy(changed)
    _require(torch.equal(copied(values), wanted), "differs after deepcopy")
    _require(type(changed).__name__ in repr(changed), "repr does not name it")
    arguments = list(inspect.signature(type(changed)).parameters)
    wanted_options = set(arguments[changed.takes != "nothing" :]) - {"dtype"}
    _require(
        wanted_options == set(changed.options),
        f"options {sorted(changed.options)} are not its arguments {sorted(wanted_options)}",
    )
    _require(
        isinstance(changed.family, str) and changed.family.isidentifier(),
        f"family {changed.family!r}: one of {', '.join(FAMILIES)} or an identifier",
    )


def _parameter_dtypes(build: Build) -> None:
    for dtype in (None, *_TOLERANCE):
        floating = {t.dtype for t in build(dtype).state_dict().values() if t.is_floating_point()}
        _require(floating <= {dtype or torch.get_default_dtype()}, f"holds {floating} for {dtype}")
    _require(all(p.requires_grad for p in build(None).parameters()), "has a frozen parameter")


def _reach(build: Build) -> None:
    step = build(torch.float64).eval()
    if step.reach_px is None:
        return
    size = 2 * step.reach_px + 16
    values = _input(step, torch.float64, batch=1, height=size, width=size)
    before = step(values)
    for row, column in ((0, 0), (size - 1, 1), (size // 2, size // 2)):
        changed = values.clone()
        changed[..., row, column] += 0.05
        differs = (step(changed) - before).abs().amax(dim=tuple(range(before.dim() - 2)))
        rows, columns = (differs > 1e-12).nonzero(as_tuple=True)
        far = torch.maximum((rows - row).abs(), (columns - column).abs())
        if far.numel():
            _require(
                int(far.max()) <= step.reach_px,
                f"a pixel changes one {int(far.max())} px away, reach_px is {step.reach_px}",
            )
    cut, inner = step(values[..., 8:, 8:]), step.reach_px
    _near(cut[..., inner:, inner:], before[..., 8 + inner :, 8 + inner :], "a frame and a part")


def _folds(build: Build) -> None:
    step = build(torch.float64).eval()
    _perturb(step)
    values = _input(step, torch.float64)
    if isinstance(step, LinearStep):
        for inputs in (values, values[:, 0]) if step.domain == "either" else (values,):
            _check_fold(step, inputs)
    if isinstance(step, LumaStep):
        plane = values[:, :1]
        _near(step.prepare()(plane), step.filter(plane), "prepare and filter")
        if isinstance(step, KernelStep):
            filtered = convolve_kernel(plane, step.luma_kernel())
            _near(filtered, step.filter(plane), "luma_kernel and filter")
        luma = luma_of(values)
        _near(step(values) - values, (step.filter(luma) - luma).expand_as(values), "luma filter")


def _check_fold(step: LinearStep, values: Tensor) -> None:
    on_mosaic = values.dim() == 3
    folded = step.fold(LinearMap.identity(values, takes_mosaic=on_mosaic))
    wanted = step(values)
    if on_mosaic and not folded.gives_image:
        kernels = bilinear_kernels(values.dtype)
        folded = folded.demosaic(bilinear_weights(kernels, _CAMERA.cfa))
        wanted = demosaic_bilinear(wanted, kernels, _CAMERA.cfa)
    _near(folded.prepare()(values), wanted, "fold and forward")


def _traces(build: Build) -> None:
    step = build(torch.float64).eval()
    values = _input(step, torch.float64)
    torch.compiler.reset()  # torch stops after eight versions of one function in a process
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    _near(compiled(values), step(values), "compiled and eager")


STEP_CHECKS: dict[str, Callable[[Build], None]] = {
    "dtype of parameters": _parameter_dtypes,
    "shape and dtype": _shape_and_dtype,
    "batch equals loop": _batch_equals_loop,
    "memory layout": _memory_layout,
    "gradients": _gradients,
    "rebuilt from options and state": _rebuilt,
    "reach": _reach,
    "folds": _folds,
    "traces": _traces,
}
"""Each takes a function that builds the step, and raises `AssertionError`."""


def step_classes() -> list[type[Step]]:
    """Return every registered step class: what the checks are meant to run over."""
    return [step for family in registered_steps().values() for step in family.values()]


def _input(
    step: Step, dtype: torch.dtype, batch: int = 2, height: int = 6, width: int = 8
) -> Tensor:
    shape = (height, width) if step.domain == "mosaic" else (3, height, width)
    generator = torch.Generator().manual_seed(5)
    values = torch.rand((batch, *shape), generator=generator, dtype=torch.float64)
    return (0.1 + 0.8 * values).to(dtype)


def _perturb(step: Step) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in step.parameters():
            noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise.to(parameter))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _near(left: Tensor, right: Tensor, what: str) -> None:
    tolerance = _TOLERANCE[left.dtype]
    torch.testing.assert_close(
        left, right, atol=tolerance, rtol=tolerance, msg=lambda text: f"{what} differ: {text}"
    )
