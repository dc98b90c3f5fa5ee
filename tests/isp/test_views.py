"""The twelve views, each against a second implementation and over everything a view must do."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from raw2logit import VIEWS, Camera, Pipeline, parametrized_pipeline, static_pipeline
from tests.isp import reference
from tests.isp.data import (
    CAMERAS,
    as_image,
    mid_grey_raw,
    photograph,
    random_mosaic,
    sample,
)
from tests.tolerance import DEVICES, DTYPES, TOLERANCE, assert_near

RAWS = ("random", "mid_grey", "astronaut", "flower", "dark", "2x2", "4x6")

every_view = pytest.mark.parametrize("view", VIEWS)
every_camera = pytest.mark.parametrize("camera_name", CAMERAS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def raw_of(case: str, camera: Camera) -> Tensor:
    """Return ``(H, W)`` raw data in float32 digits, without ties that rounding could decide."""
    if case == "mid_grey":
        values = mid_grey_raw(camera, 20, 24)[0].numpy()
    elif case in ("2x2", "4x6"):
        height, width = map(int, case.split("x"))
        values = mid_grey_raw(camera, height, width)[0].numpy()
    elif case == "random":
        values = random_mosaic(20, 24)
    elif case == "dark":  # noise around black, half of it below
        values = np.mean(camera.black_level) + (random_mosaic(20, 24) - 0.5) * 1e-3
    else:
        noise = random_mosaic(48, 48, seed=1) * 1e-2
        values = 0.06 + 0.25 * sample(photograph(case, 48), camera.cfa) + noise
    return torch.from_numpy(values).float()


@every_dtype
@every_view
@every_camera
@pytest.mark.parametrize("case", RAWS)
@pytest.mark.parametrize("device", DEVICES)
def test_view_equals_the_reference(
    device: str, case: str, camera_name: str, view: str, dtype: torch.dtype
) -> None:
    camera = CAMERAS[camera_name]
    raw = raw_of(case, camera)
    isp = static_pipeline(camera, view, dtype=dtype).to(device)
    with isp.capture() as stages:
        result = isp(raw[None].to(device, dtype))
    linear, encoded = reference.process(raw.double().numpy(), camera, view)
    assert result.dtype == dtype
    assert_near(stages["denoise"], as_image(linear, torch.float64))
    # Near black the slope of gamma has no bound, so that equal digits in linear light differ
    # in encoded light: compare there in linear light only.
    assert_near(result**2.2, as_image(np.clip(linear, 0, 1), torch.float64))
    rounding = TOLERANCE[dtype] * max(1.0, float(np.abs(linear).max()))
    flat = (linear <= -rounding) | (linear > 0.05)
    own = result.cpu()[as_image(flat.astype(float), torch.float64).bool()]
    assert_near(own, encoded.transpose(2, 0, 1)[flat.transpose(2, 0, 1)])


@every_camera
def test_reference_is_neither_black_nor_white(camera_name: str) -> None:
    camera = CAMERAS[camera_name]
    linear, _ = reference.process(mid_grey_raw(camera, 20, 24)[0].numpy(), camera, "bi,s,ga")
    assert 0.1 < linear.min() < linear.max() < 0.9


@every_view
@pytest.mark.parametrize("camera_name", ["microscopy", "other"])
def test_white_balance_first_equals_the_reference(camera_name: str, view: str) -> None:
    camera = CAMERAS[camera_name]
    order = ("black_level", "white_balance", "demosaic", *reference.ORDER[3:])
    raw = raw_of("random", camera)
    isp = static_pipeline(camera, view, order=order, dtype=torch.float64)
    with isp.capture() as stages:
        isp(raw[None].double())
    linear, _ = reference.process(raw.double().numpy(), camera, view, order)
    assert_near(stages["denoise"], as_image(linear, torch.float64))


@every_dtype
@every_view
@every_camera
def test_static_equals_parametrized(camera_name: str, view: str, dtype: torch.dtype) -> None:
    raw = raw_of("random", CAMERAS[camera_name])[None].to(dtype)
    static = static_pipeline(CAMERAS[camera_name], view, dtype=dtype)
    learned = parametrized_pipeline(CAMERAS[camera_name], view, dtype=dtype)
    assert type(static) is type(learned) is Pipeline
    assert not any(parameter.requires_grad for parameter in static.parameters())
    assert all(parameter.requires_grad for parameter in learned.parameters())
    # To float precision: in linear light, as near black the slope of gamma has no bound.
    assert_near(static(raw) ** 2.2, learned(raw) ** 2.2)
    with torch.no_grad():
        assert torch.equal(static(raw), learned(raw))


@every_view
@every_camera
def test_gradcheck(camera_name: str, view: str) -> None:
    camera = CAMERAS[camera_name]
    isp = parametrized_pipeline(camera, view, dtype=torch.float64)
    raw = mid_grey_raw(camera, 4, 6, seed=3).requires_grad_()
    with isp.capture() as stages:
        isp(raw)
    assert stages["denoise"].min() > 0.05
    assert stages["denoise"].max() < 0.95
    names = [name for name, _ in isp.named_parameters()]

    def call(mosaic: Tensor, *parameters: Tensor) -> Tensor:
        result = functional_call(isp, dict(zip(names, parameters, strict=True)), (mosaic,))
        assert isinstance(result, Tensor)
        return result

    assert torch.autograd.gradcheck(call, (raw, *isp.parameters()))


@every_view
@every_camera
def test_every_parameter_and_the_raw_get_a_finite_gradient(camera_name: str, view: str) -> None:
    camera = CAMERAS[camera_name]
    isp = parametrized_pipeline(camera, view)
    for case in ("mid_grey", "random", "dark"):
        raw = raw_of(case, camera)[None].requires_grad_()
        isp.zero_grad()
        isp(raw).square().sum().backward()
        for tensor in (raw, *isp.parameters()):
            assert tensor.grad is not None
            assert tensor.grad.isfinite().all()
            assert case != "mid_grey" or tensor.grad.abs().max() > 0


@every_dtype
@every_view
def test_batch_equals_loop(view: str, dtype: torch.dtype) -> None:
    camera = CAMERAS["other"]
    raw = mid_grey_raw(camera, 8, 10, batch=3).to(dtype)
    isp = static_pipeline(camera, view, dtype=dtype)
    assert_near(isp(raw), torch.cat([isp(one[None]) for one in raw]))


@every_view
def test_parameters_take_the_dtype(view: str) -> None:
    for dtype in (None, *DTYPES):
        isp = static_pipeline(CAMERAS["other"], view, dtype=dtype)
        tensors = isp.state_dict().values()
        assert {tensor.dtype for tensor in tensors} == {dtype or torch.float32}


@every_view
def test_deepcopy_is_equal_and_independent(view: str) -> None:
    isp = parametrized_pipeline(CAMERAS["drone"], view)
    raw = raw_of("mid_grey", CAMERAS["drone"])[None]
    before = isp(raw)
    copied = copy.deepcopy(isp)
    assert torch.equal(copied(raw), before)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter += 0.05
    assert torch.equal(isp(raw), before)
    assert not torch.equal(copied(raw), before)


@every_view
@torch.no_grad()
def test_state_dict_round_trip_through_a_file(view: str) -> None:
    raw = raw_of("mid_grey", CAMERAS["other"])[None]
    changed = parametrized_pipeline(CAMERAS["other"], view)
    for parameter in changed.parameters():
        parameter += 0.05
    file = io.BytesIO()
    torch.save(changed.state_dict(), file)
    file.seek(0)
    restored = static_pipeline(CAMERAS["other"], view)
    assert not torch.equal(restored(raw), changed(raw))
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored(raw), changed(raw))


@every_view
def test_compiles_without_graph_breaks(view: str) -> None:
    torch.compiler.reset()  # torch stops after eight versions of one function in a process
    isp = parametrized_pipeline(CAMERAS["drone"], view, dtype=torch.float64)
    compiled = torch.compile(isp, fullgraph=True, backend="eager")
    raw = mid_grey_raw(CAMERAS["drone"], 6, 8)
    result = compiled(raw)
    assert_near(result, isp(raw))
    own = torch.autograd.grad(result.sum(), list(isp.parameters()))
    eager = torch.autograd.grad(isp(raw).sum(), list(isp.parameters()))
    for left, right in zip(own, eager, strict=True):
        assert_near(left, right)


@pytest.mark.parametrize("view", ["bi,s,ga", "ma,u,me", "me,s,me"])
def test_exports(view: str) -> None:
    isp = static_pipeline(CAMERAS["drone"], view).eval()
    raw = mid_grey_raw(CAMERAS["drone"], 8, 10, batch=2).float()
    batch = torch.export.Dim("batch")
    program = torch.export.export(isp, (raw,), dynamic_shapes=({0: batch},))
    assert_near(program.module()(raw), isp(raw))
    more = mid_grey_raw(CAMERAS["drone"], 8, 10, batch=5).float()
    assert_near(program.module()(more), isp(more))
