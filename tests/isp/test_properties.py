"""What holds for every shape, CFA, camera, view and order."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raw2logit import VIEWS, Camera, static_pipeline
from raw2logit.cfa import CFA_NAMES
from raw2logit.isp import registered_steps
from raw2logit.isp.functional import mosaic_of
from tests.isp.data import CAMERAS
from tests.tolerance import assert_near

sizes = st.integers(1, 12).map(lambda half: 2 * half)
views = st.sampled_from(VIEWS)
codes = {family: st.sampled_from(sorted(known)) for family, known in registered_steps().items()}
every_view = st.tuples(codes["demosaic"], codes["sharpen"], codes["denoise"]).map(",".join)
cameras = st.builds(
    lambda camera, cfa: replace(camera, cfa=cfa),
    st.sampled_from(list(CAMERAS.values())),
    st.sampled_from(CFA_NAMES),
)


@st.composite
def orders(draw: st.DrawFn) -> tuple[str, ...]:
    """Draw an order: black level and perhaps white balance on the mosaic, gamma at the end."""
    on_mosaic = ["black_level"]
    on_image = ["colour_matrix", "sharpen", "denoise"]
    draw(st.sampled_from((on_mosaic, on_image))).append("white_balance")
    first, second = draw(st.permutations(on_mosaic)), draw(st.permutations(on_image))
    return (*first, "demosaic", *second, "gamma")


@st.composite
def raws(draw: st.DrawFn) -> Tensor:
    """Draw ``(B, H, W)`` raw data: fine noise, or few levels with many ties and clips."""
    shape = draw(st.tuples(st.integers(1, 3), sizes, sizes))
    levels = draw(st.sampled_from((2, 3, 4096)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return torch.randint(levels, shape, generator=generator).double() / (levels - 1)


@given(raw=raws(), camera=cameras, view=views, order=orders())
def test_view_has_its_shape_and_range(
    raw: Tensor, camera: Camera, view: str, order: tuple[str, ...]
) -> None:
    batch, height, width = raw.shape
    result = static_pipeline(camera, view, order=order)(raw.float())
    assert result.shape == (batch, 3, height, width)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 1


@given(raw=raws(), camera=cameras, view=views, order=orders())
def test_batch_equals_loop(raw: Tensor, camera: Camera, view: str, order: tuple[str, ...]) -> None:
    isp = static_pipeline(camera, view, order=order, dtype=torch.float64)
    with isp.capture() as together:
        isp(raw)
    for index, one in enumerate(raw):
        with isp.capture() as alone:
            isp(one[None])
        # In linear light: near black the slope of gamma has no bound.
        for name in order[:-1]:
            assert_near(alone[name][0], together[name][index])


@given(raw=raws(), camera=cameras, view=every_view, order=orders())
def test_folded_equals_one_by_one(
    raw: Tensor, camera: Camera, view: str, order: tuple[str, ...]
) -> None:
    isp = static_pipeline(camera, view, order=order, dtype=torch.float64).removed("gamma")
    with isp.capture():
        expected = isp(raw)
    assert_near(isp(raw), expected)
    assert_near(isp.unfreeze()(raw), expected)


@given(raw=raws(), camera=cameras, view=views)
def test_demosaic_keeps_the_samples(raw: Tensor, camera: Camera, view: str) -> None:
    step = static_pipeline(camera, view, dtype=torch.float64).steps["demosaic"]
    assert_near(mosaic_of(step(raw), camera.cfa), raw)


@given(raw=raws(), camera=cameras, view=views, order=orders())
def test_gradients_are_finite_everywhere(
    raw: Tensor, camera: Camera, view: str, order: tuple[str, ...]
) -> None:
    isp = static_pipeline(camera, view, order=order).unfreeze()
    raw = raw.float().requires_grad_()
    isp(raw).sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    for parameter in isp.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@given(value=st.floats(0, 1), camera=cameras, view=views, order=orders(), height=sizes, width=sizes)
def test_flat_scene_gives_a_flat_view(
    value: float, camera: Camera, view: str, order: tuple[str, ...], height: int, width: int
) -> None:
    black = torch.tensor(camera.black_level, dtype=torch.float64).reshape(2, 2)
    white = 1.0 if camera.white_level is None else camera.white_level - black
    raw = (value * white + black).repeat(height // 2, width // 2)[None]
    isp = static_pipeline(camera, view, order=order, dtype=torch.float64)
    with isp.capture() as stages:
        isp(raw)
    linear = stages[order[-2]]
    assert_near(linear, linear[..., :1, :1].expand_as(linear))
