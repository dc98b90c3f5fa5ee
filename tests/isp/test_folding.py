"""Running steps together, in slices and in tiles gives what the steps give one by one."""

import copy
import pickle
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.func import functional_call, jacfwd, jacrev, jvp, vmap
from torch.nn.utils.parametrize import register_parametrization

from raw2logit import VIEWS, Pipeline, parametrized_pipeline, static_pipeline
from raw2logit.isp import FAMILIES, registered_steps, steps
from raw2logit.isp.functional import slices
from raw2logit.isp.functional.convolution import CellConvolution
from raw2logit.isp.linear import LinearMap
from tests.isp.data import CAMERAS, mid_grey_raw, random_mosaic
from tests.tolerance import assert_near

# PyTorch loads this deprecated part of itself on the first use of forward-mode derivatives.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

DRONE = CAMERAS["drone"]
OTHER = CAMERAS["other"]
# In float32 each of the two ways is within 1e-6 of float64, so they may differ by twice that.
LIMIT = {torch.float32: 2e-6, torch.float64: 1e-13}
EVERY_VIEW = [
    *VIEWS,
    *(f"ma,u,{code}" for code in registered_steps()["denoise"] if code not in ("me", "ga")),
]

ORDERS = (
    FAMILIES,
    ("black_level", "white_balance", "demosaic", *FAMILIES[3:]),
    ("black_level", "demosaic", "sharpen", "denoise", "white_balance", "colour_matrix", "gamma"),
    ("black_level", "demosaic", "denoise", "colour_matrix", "sharpen", "white_balance", "gamma"),
    ("white_balance", "black_level", "demosaic", "gamma", "colour_matrix", "sharpen", "denoise"),
)


def assert_equal_in_float(actual: Tensor, expected: Tensor) -> None:
    """Compare at `LIMIT`, relative to the largest value above 1."""
    limit = LIMIT[actual.dtype] * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual, expected, atol=limit, rtol=0.0)


def one_by_one(isp: Pipeline, raw: Tensor) -> Tensor:
    with isp.capture():
        view = isp(raw)
    assert isinstance(view, Tensor)
    return view


def unequal(isp: Pipeline, seed: int = 2) -> Pipeline:
    """Move every parameter a little, so that no kernel is symmetric and no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in isp.parameters():
            noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += (0.02 * (noise - 0.5)).to(parameter)
    return isp


@pytest.mark.parametrize("dtype", LIMIT, ids=str)
@pytest.mark.parametrize("camera_name", CAMERAS)
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_values_in_linear_light(view: str, camera_name: str, dtype: torch.dtype) -> None:
    camera = CAMERAS[camera_name]
    isp = unequal(parametrized_pipeline(camera, view, dtype=dtype).removed("gamma"))
    raw = mid_grey_raw(camera, 18, 22, batch=2).to(dtype)
    expected = one_by_one(isp, raw)
    assert_equal_in_float(isp(raw), expected)
    with torch.no_grad():
        assert_equal_in_float(isp(raw), expected)


@pytest.mark.parametrize("dtype", LIMIT, ids=str)
@pytest.mark.parametrize("shape", [(18, 22), (16, 24), (2, 8), (4, 6)])
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_values_of_static_views(view: str, shape: tuple[int, int], dtype: torch.dtype) -> None:
    isp = static_pipeline(OTHER, view, dtype=dtype).removed("gamma")
    raw = mid_grey_raw(OTHER, *shape, batch=2).to(dtype)
    assert_equal_in_float(isp(raw), one_by_one(isp, raw))
    with torch.no_grad():
        assert_equal_in_float(isp(raw), one_by_one(isp, raw))


@pytest.mark.parametrize("camera_name", CAMERAS)
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_float32_is_within_1e_6_of_float64(view: str, camera_name: str) -> None:
    camera = CAMERAS[camera_name]
    raw = mid_grey_raw(camera, 18, 22, batch=2)
    exact = static_pipeline(camera, view, dtype=torch.float64)(raw)
    torch.testing.assert_close(
        static_pipeline(camera, view)(raw.float()).double(), exact, atol=1e-6, rtol=0.0
    )


@pytest.mark.parametrize("camera_name", CAMERAS)
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_gradients(view: str, camera_name: str) -> None:
    camera = CAMERAS[camera_name]
    isp = unequal(parametrized_pipeline(camera, view, dtype=torch.float64))
    raw = mid_grey_raw(camera, 10, 12, batch=2).requires_grad_()
    weights = torch.rand(2, 3, 10, 12, generator=torch.Generator().manual_seed(0)).double()
    wanted = torch.autograd.grad((one_by_one(isp, raw) * weights).sum(), [raw, *isp.parameters()])
    own = torch.autograd.grad((isp(raw) * weights).sum(), [raw, *isp.parameters()])
    for left, right in zip(own, wanted, strict=True):
        limit = 1e-6 * max(1.0, right.abs().max().item())
        torch.testing.assert_close(left, right, atol=limit, rtol=0.0)
        assert right.abs().max() > 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("view", ["bi,s,ga", "ma,u,me", "me,u,ga"])
def test_orders(view: str, order: Sequence[str]) -> None:
    isp = unequal(parametrized_pipeline(OTHER, view, order=order, dtype=torch.float64))
    raw = torch.from_numpy(random_mosaic(12, 14))[None]
    assert_equal_in_float(isp(raw).abs() ** 2.2, one_by_one(isp, raw).abs() ** 2.2)


@pytest.mark.parametrize("shape", [(2, 2), (2, 12), (4, 6), (16, 8), (18, 10)])
@pytest.mark.parametrize("view", VIEWS)
def test_shapes(view: str, shape: tuple[int, int]) -> None:
    isp = unequal(parametrized_pipeline(DRONE, view, dtype=torch.float64)).removed("gamma")
    raw = torch.from_numpy(random_mosaic(*shape))[None]
    assert_equal_in_float(isp(raw), one_by_one(isp, raw))


@pytest.fixture
def convolutions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list that fills with the shapes of the filters that mosaics are convolved with."""
    shapes: list[tuple[int, ...]] = []
    original = LinearMap.convolution

    def convolution(self: LinearMap) -> CellConvolution:
        shapes.append(tuple(self.weights.shape))
        return original(self)

    monkeypatch.setattr(LinearMap, "convolution", convolution)
    return shapes


class TestWhatIsFolded:
    raw = mid_grey_raw(DRONE, 16, 16).float()

    def test_kernels_of_the_luma_where_all_are_symmetric(
        self, convolutions: list[tuple[int, ...]]
    ) -> None:
        static_pipeline(DRONE, "bi,s,ga")(self.raw)
        assert convolutions == [(3, 4, 3, 3), (1, 4, 9, 9)]
        convolutions.clear()
        static_pipeline(DRONE, "ma,u,me")(self.raw)
        assert convolutions == [(3, 4, 5, 5), (1, 4, 13, 13)]
        convolutions.clear()
        static_pipeline(DRONE, "me,s,ga")(self.raw)
        assert convolutions == []

    def test_not_where_something_learns(self, convolutions: list[tuple[int, ...]]) -> None:
        isp = parametrized_pipeline(DRONE, "bi,s,ga")
        isp(self.raw)
        assert convolutions == [(3, 4, 3, 3), (1, 4, 3, 3)]
        convolutions.clear()
        isp.freeze()(self.raw.clone().requires_grad_())
        assert convolutions == [(3, 4, 3, 3), (1, 4, 3, 3)]

    def test_not_beyond_a_kernel_that_is_not_symmetric(
        self, convolutions: list[tuple[int, ...]]
    ) -> None:
        isp = static_pipeline(DRONE, "bi,s,ga")
        isp.steps["sharpen"].kernel[0, 0] += 0.1
        isp(self.raw)
        assert convolutions == [(3, 4, 3, 3), (1, 4, 3, 3)]
        convolutions.clear()
        isp = static_pipeline(DRONE, "bi,s,ga")
        isp.steps["demosaic"].kernels[0, 0, 0] += 0.1
        isp(self.raw)
        assert convolutions == [(3, 4, 3, 3), (1, 4, 3, 3)]

    def test_once_as_long_as_nothing_changes(self, convolutions: list[tuple[int, ...]]) -> None:
        isp = static_pipeline(DRONE, "bi,s,ga")
        first = isp(self.raw)
        with torch.inference_mode():
            assert torch.equal(isp(self.raw), first)
        assert len(convolutions) == 2
        for number, change in enumerate(
            (
                lambda: isp.steps["sharpen"].kernel.data.mul_(1.1),  # no version counter sees this
                lambda: isp.load_state_dict(static_pipeline(OTHER, "bi,s,ga").state_dict(), False),
                lambda: isp.double(),
                lambda: isp.steps.update({"gamma": steps.Gamma(1.8, torch.float64)}),
            )
        ):
            change()
            raw = self.raw.to(isp.steps["gamma"].log_gamma.dtype)
            assert_equal_in_float(isp(raw), one_by_one(isp, raw))
            assert len(convolutions) == 2 * (number + 2)

    @pytest.mark.parametrize("name", ["demosaic", "white_balance", "sharpen", "denoise"])
    def test_a_step_with_a_hook_is_called(self, name: str) -> None:
        isp = static_pipeline(DRONE, "bi,s,ga")
        wanted = isp(self.raw)
        seen = []
        hook = isp.steps[name].register_forward_hook(
            lambda step, inputs, output: seen.append(output.shape)
        )
        assert_equal_in_float(isp(self.raw), wanted)
        assert seen == [(1, 3, 16, 16)]
        hook.remove()
        isp(self.raw)
        assert len(seen) == 1

    def test_a_parametrization_and_another_dtype_are_seen(self) -> None:
        class Double(torch.nn.Module):
            def forward(self, kernel: Tensor) -> Tensor:
                return 2 * kernel

        isp = static_pipeline(DRONE, "bi,s,ga")
        isp(self.raw)
        register_parametrization(isp.steps["sharpen"], "kernel", Double())
        assert_equal_in_float(isp(self.raw), one_by_one(isp, self.raw))
        plain = Pipeline({"demosaic": steps.MenonDemosaic("RGGB")}, DRONE)
        assert plain(self.raw).dtype == torch.float32
        assert plain(self.raw.double()).dtype == torch.float64

    def test_copies_and_pickles_fold_for_themselves(self) -> None:
        isp = static_pipeline(DRONE, "bi,s,ga")
        first = isp(self.raw)
        for copied in (copy.deepcopy(isp), pickle.loads(pickle.dumps(isp))):
            assert torch.equal(copied(self.raw), first)
            copied.steps["gamma"].log_gamma += 0.3
            assert not torch.equal(copied(self.raw), first)
            assert torch.equal(isp(self.raw), first)


@pytest.fixture
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_PX", 64 * 64)
    monkeypatch.setattr(slices, "_TILE_PX", (32, 32))


@pytest.mark.usefixtures("_small_slices")
@pytest.mark.parametrize("shape", [(7, 40, 44), (1, 70, 130), (2, 66, 64), (3, 2, 3000)])
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_slices_and_tiles_have_no_seams(view: str, shape: tuple[int, int, int]) -> None:
    isp = static_pipeline(OTHER, view, dtype=torch.float64).removed("gamma")
    raw = torch.stack(
        [torch.from_numpy(random_mosaic(*shape[1:], seed=s)) for s in range(shape[0])]
    )
    assert_equal_in_float(isp(raw), one_by_one(isp, raw))


@pytest.mark.usefixtures("_small_slices")
def test_a_frame_is_cut_only_where_every_step_says_its_reach() -> None:
    sizes = []

    def process(part: Tensor, _: Tensor | None) -> Tensor:
        sizes.append(tuple(part.shape))
        return part[:, None].expand(-1, 3, -1, -1)

    raw = torch.rand(2, 100, 66)
    assert torch.equal(
        slices.in_slices(process, raw, reach_px=3), raw[:, None].expand(-1, 3, -1, -1)
    )
    assert max(height for _, height, _ in sizes) == 32 + 2 * 8
    sizes.clear()
    slices.in_slices(process, raw)
    assert sizes == [(1, 100, 66)] * 2
    assert static_pipeline(DRONE, "bi,s,ga").reach_px == 1 + 1 + 2
    assert static_pipeline(DRONE, "me,u,me").reach_px == 10 + 4 + 1
    assert static_pipeline(DRONE, "bi,s,ff").reach_px is None


def test_autocast_is_left_outside() -> None:
    isp = parametrized_pipeline(DRONE, "ma,u,ga")
    raw = mid_grey_raw(DRONE, 12, 14).float()
    with torch.autocast("cpu", torch.bfloat16):
        view = isp(raw)
    assert view.dtype == torch.float32
    assert torch.equal(view, isp(raw))


@pytest.mark.parametrize("view", EVERY_VIEW)
def test_empty_batch(view: str) -> None:
    assert static_pipeline(DRONE, view)(torch.rand(0, 4, 6)).shape == (0, 3, 4, 6)


@pytest.mark.usefixtures("_small_slices")
def test_batch_statistics_are_those_of_the_whole_batch() -> None:
    isp = parametrized_pipeline(DRONE, "neural")
    raw = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(isp(raw), one_by_one(isp, raw))
    frozen = isp.freeze()
    before = {name: value.clone() for name, value in frozen.named_buffers()}
    frozen.train()(raw)
    assert all(torch.equal(value, before[name]) for name, value in frozen.named_buffers())
    assert isp.unfreeze().train().steps["neural"].network.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("view", EVERY_VIEW)
def test_half_precision(view: str, dtype: torch.dtype) -> None:
    raw = mid_grey_raw(OTHER, 16, 18)
    wanted = static_pipeline(OTHER, view, dtype=torch.float64)(raw)
    isp = static_pipeline(OTHER, view, dtype=torch.float64).to(dtype)
    result = isp(raw.to(dtype))
    assert result.dtype == dtype
    worst = (result.double() - wanted).abs().max()
    # Digits that the raw itself loses, amplified by white level, gains, matrix and sharpening.
    assert worst < {torch.float16: 0.02, torch.bfloat16: 0.15}[dtype]


class TestFunctionTransforms:
    raw = mid_grey_raw(DRONE, 8, 16, batch=2)

    @pytest.mark.parametrize("view", ["bi,s,ga", "ma,u,me", "me,u,ga"])
    def test_jacobians_of_parameters(self, view: str) -> None:
        isp = static_pipeline(DRONE, view, dtype=torch.float64)
        isp(self.raw)  # so that there is something known of last time
        for name in ("steps.gamma.log_gamma", "steps.white_balance.gains"):

            def of(value: Tensor, name: str = name) -> Tensor:
                result = functional_call(isp, {name: value}, (self.raw,))
                assert isinstance(result, Tensor)
                return result

            value = isp.get_parameter(name).detach()
            forward, reverse = jacfwd(of)(value), jacrev(of)(value)
            assert_near(forward, reverse)
            assert forward.abs().max() > 0.01
            batched = vmap(of)(torch.stack([value, 1.1 * value]))
            assert_near(batched, torch.stack([of(value), of(1.1 * value)]))

    @pytest.mark.parametrize("view", ["bi,s,ga", "ma,u,me", "me,u,ga"])
    @pytest.mark.usefixtures("_small_slices")
    def test_of_the_raw(self, view: str) -> None:
        isp = static_pipeline(DRONE, view, dtype=torch.float64)
        raw = mid_grey_raw(DRONE, 70, 72)
        change = torch.rand(raw.shape, generator=torch.Generator().manual_seed(0)).double() * 1e-3
        _, forward = jvp(isp, (raw,), (change,))
        with dual_level():
            assert_near(unpack_dual(isp(make_dual(raw, change))).tangent, forward)
            with torch.no_grad():
                assert_near(unpack_dual(isp(make_dual(raw, change))).tangent, forward)
        asked = raw.clone().requires_grad_()
        view_of_raw = isp(asked)
        weights = torch.rand_like(view_of_raw)
        (reverse,) = torch.autograd.grad(view_of_raw, asked, weights)
        assert_near((forward * weights).sum(), (reverse * change).sum())
        raws = mid_grey_raw(DRONE, 8, 16, batch=3)[:, None]
        assert_near(vmap(isp)(raws), torch.stack([isp(one) for one in raws]))

    @pytest.mark.usefixtures("_small_slices")
    def test_gradient_of_a_buffer(self) -> None:
        isp = static_pipeline(OTHER, "bi,s,ga", dtype=torch.float64)
        white = isp.get_buffer("steps.black_level.white_level").clone().requires_grad_()
        raw = mid_grey_raw(OTHER, 70, 72)
        functional_call(isp, {"steps.black_level.white_level": white}, (raw,)).sum().backward()
        assert white.grad is not None
        assert white.grad.abs() > 1
