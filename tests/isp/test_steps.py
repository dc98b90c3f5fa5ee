"""The contract of a step, run over every step that there is."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from raw2logit import InputError
from raw2logit.camera import Camera
from raw2logit.cfa import CFA_NAMES
from raw2logit.isp import FAMILIES, Step, steps
from tests.isp.data import OTHER_CAMERA
from tests.tolerance import DEVICES, DTYPES, assert_near

DELTA = ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))
NEUTRAL = Camera(name="neutral")


@dataclass(frozen=True)
class Case:
    """How to build a step, what goes in, and, where there is one, its identity setting."""

    build: Callable[[Camera, torch.dtype | None], Step]
    takes_mosaic: bool
    gives_mosaic: bool
    parameters: tuple[int, ...]
    identity: Callable[[], Step] | None = None


STEPS = {
    "black_level": Case(steps.BlackLevel, True, True, (4,), lambda: steps.BlackLevel(NEUTRAL)),
    "bilinear": Case(lambda c, d: steps.BilinearDemosaic(c.cfa, d), True, False, (27,)),
    "malvar": Case(lambda c, d: steps.MalvarDemosaic(c.cfa, d), True, False, (100,)),
    "menon": Case(lambda c, d: steps.MenonDemosaic(c.cfa, d), True, False, ()),
    "white_balance": Case(
        steps.WhiteBalance, False, False, (3,), lambda: steps.WhiteBalance(NEUTRAL)
    ),
    "white_balance_of_mosaic": Case(
        steps.WhiteBalance, True, True, (3,), lambda: steps.WhiteBalance(NEUTRAL)
    ),
    "colour_matrix": Case(
        steps.ColourMatrix, False, False, (9,), lambda: steps.ColourMatrix(NEUTRAL)
    ),
    "sharpen_filter": Case(
        lambda c, d: steps.SharpenFilter(dtype=d),
        False,
        False,
        (9,),
        lambda: steps.SharpenFilter(DELTA),
    ),
    "unsharp_mask": Case(
        lambda c, d: steps.UnsharpMask(dtype=d),
        False,
        False,
        (1, 1),
        lambda: steps.UnsharpMask(amount=0.0),
    ),
    "median": Case(lambda c, d: steps.MedianDenoise(), False, False, ()),
    "gaussian": Case(
        lambda c, d: steps.GaussianDenoise(dtype=d),
        False,
        False,
        (1,),
        lambda: steps.GaussianDenoise(1e-3),
    ),
    "gamma": Case(lambda c, d: steps.Gamma(dtype=d), False, False, (1,), lambda: steps.Gamma(1.0)),
}

every_step = pytest.mark.parametrize("name", STEPS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_cfa = pytest.mark.parametrize("cfa", CFA_NAMES)


def build(name: str, dtype: torch.dtype | None = None, camera: Camera = OTHER_CAMERA) -> Step:
    return STEPS[name].build(camera, dtype)


def inputs(
    name: str, dtype: torch.dtype, batch: int = 2, height: int = 6, width: int = 8
) -> Tensor:
    shape = (height, width) if STEPS[name].takes_mosaic else (3, height, width)
    generator = torch.Generator().manual_seed(5)
    values = torch.rand((batch, *shape), generator=generator, dtype=torch.float64)
    return (0.1 + 0.8 * values).to(dtype)


def perturb(step: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in step.parameters():
            parameter += 0.1 * torch.rand(
                parameter.shape, generator=generator, dtype=parameter.dtype
            )


@every_dtype
@every_step
@pytest.mark.parametrize("shape", [(2, 2), (4, 6), (12, 10)])
@pytest.mark.parametrize("device", DEVICES)
def test_shape_dtype_and_device(
    device: str, shape: tuple[int, int], name: str, dtype: torch.dtype
) -> None:
    values = inputs(name, dtype, 3, *shape).to(device)
    before = values.clone()
    result = build(name, dtype).to(device)(values)
    assert result.shape == ((3, *shape) if STEPS[name].gives_mosaic else (3, 3, *shape))
    assert result.dtype == dtype
    assert result.device == values.device
    assert result.isfinite().all()
    assert torch.equal(values, before)


@every_dtype
@every_cfa
@every_step
def test_batch_equals_loop(name: str, cfa: str, dtype: torch.dtype) -> None:
    step = build(name, dtype, replace(OTHER_CAMERA, cfa=cfa))  # type: ignore[arg-type]
    values = inputs(name, dtype, batch=3)
    assert_near(step(values), torch.cat([step(one[None]) for one in values]))


@pytest.mark.parametrize("name", STEPS)
def test_empty_batch(name: str) -> None:
    values = inputs(name, torch.float32)
    result = build(name)(values[:0])
    assert result.shape == (0, *build(name)(values).shape[1:])


@every_step
def test_memory_layout_does_not_matter(name: str) -> None:
    step, values = build(name, torch.float64), inputs(name, torch.float64)
    strided = values.mT.contiguous().mT
    assert not strided.is_contiguous()
    assert_near(step(strided), step(values))


@every_cfa
@every_step
def test_gradcheck(name: str, cfa: str) -> None:
    step = build(name, torch.float64, replace(OTHER_CAMERA, cfa=cfa))  # type: ignore[arg-type]
    perturb(step)
    names = [key for key, _ in step.named_parameters()]
    values = inputs(name, torch.float64, batch=1, height=4, width=6).requires_grad_()

    def call(image: Tensor, *parameters: Tensor) -> Tensor:
        result = functional_call(step, dict(zip(names, parameters, strict=True)), (image,))
        assert isinstance(result, Tensor)
        return result

    assert torch.autograd.gradcheck(call, (values, *step.parameters()))


@every_step
def test_number_of_parameters(name: str) -> None:
    step = build(name)
    assert tuple(parameter.numel() for parameter in step.parameters()) == STEPS[name].parameters
    assert all(parameter.requires_grad for parameter in step.parameters())
    assert step.family in FAMILIES


@every_step
def test_parameters_take_the_dtype(name: str) -> None:
    for dtype in (None, *DTYPES):
        found = {tensor.dtype for tensor in build(name, dtype).state_dict().values()}
        assert found <= {dtype or torch.get_default_dtype()}


@every_step
def test_state_dict_round_trip_and_deepcopy(name: str) -> None:
    changed, values = build(name, torch.float64), inputs(name, torch.float64)
    perturb(changed)
    restored = build(name, torch.float64)
    restored.load_state_dict(changed.state_dict())
    assert torch.equal(restored(values), changed(values))
    copied = copy.deepcopy(changed)
    assert torch.equal(copied(values), changed(values))
    assert {id(tensor) for tensor in copied.parameters()}.isdisjoint(
        id(tensor) for tensor in changed.parameters()
    )


@pytest.mark.parametrize("name", [name for name, case in STEPS.items() if case.identity])
def test_identity_setting_is_the_identity(name: str) -> None:
    identity = STEPS[name].identity
    assert identity is not None
    values = inputs(name, torch.float32)
    assert torch.equal(identity()(values), values)


@every_step
def test_repr_names_the_step(name: str) -> None:
    text = repr(build(name))
    assert type(build(name)).__name__ in text
    if name in ("bilinear", "malvar", "menon"):
        assert OTHER_CAMERA.cfa in text


def test_natural_units_stay_positive_while_they_learn() -> None:
    sharpen, denoise, gamma = steps.UnsharpMask(1.5), steps.GaussianDenoise(0.7), steps.Gamma(2.2)
    assert sharpen.radius_px.item() == pytest.approx(1.5)
    assert sharpen.amount.item() == 1.0
    assert sharpen.support_px == 6
    assert denoise.sigma_px.item() == pytest.approx(0.7)
    assert denoise.support_px == 3
    assert gamma.gamma.item() == pytest.approx(2.2)
    with torch.no_grad():
        for parameter in (sharpen.log_radius_px, denoise.log_sigma_px, gamma.log_gamma):
            parameter -= 20.0
    assert math.exp(-20) < sharpen.radius_px < 1e-8
    assert 0 < denoise.sigma_px < 1e-8
    assert 0 < gamma.gamma < 1e-8


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_what_must_be_positive_is_refused(value: float) -> None:
    with pytest.raises(
        ValueError, match=f"radius_px of the unsharp mask must be positive.*{value}"
    ):
        steps.UnsharpMask(value)
    with pytest.raises(ValueError, match=f"sigma_px of the gaussian must be positive.*{value}"):
        steps.GaussianDenoise(value)
    with pytest.raises(InputError, match=f"gamma must be positive.*{value}"):
        steps.Gamma(value)


def test_white_level_is_a_buffer_that_saves_and_moves() -> None:
    step = steps.BlackLevel(OTHER_CAMERA)
    assert set(step.state_dict()) == {"black_level", "white_level"}
    assert set(steps.BlackLevel(NEUTRAL).state_dict()) == {"black_level"}
    assert step.double().white_level is not None
    assert step.white_level.dtype == torch.float64
