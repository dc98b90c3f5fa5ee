import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp.functional.total_variation import denoise_total_variation
from tests.isp.data import EDGE_CASES, as_batch, mosaic, photograph
from tests.tolerance import DEVICES, DTYPES, assert_near

Array = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])
CASES = ("random", "random_float", *EDGE_CASES)
PHOTOGRAPHS = ("astronaut", "china", "hubble")

every_case = pytest.mark.parametrize("case", [*CASES, *PHOTOGRAPHS])
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def plane_of(case: str) -> Array:
    return photograph(case) @ LUMA if case in PHOTOGRAPHS else mosaic(case, "RGGB")


def random_planes(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=dtype)


def scalar(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype)


def total_variation(plane: Array) -> float:
    down = np.diff(plane, axis=0, append=plane[-1:])
    right = np.diff(plane, axis=1, append=plane[:, -1:])
    return float(np.hypot(down, right).sum())


class Denoise(nn.Module):
    def forward(self, plane: Tensor, weight: Tensor) -> Tensor:
        return denoise_total_variation(plane, weight)


@every_dtype
@every_case
@pytest.mark.parametrize(("weight", "iterations"), [(0.02, 20), (0.2, 2), (0.2, 60), (5.0, 7)])
def test_equals_skimage(weight: float, iterations: int, case: str, dtype: torch.dtype) -> None:
    values = plane_of(case)
    expected = denoise_tv_chambolle(values, weight, eps=0, max_num_iter=iterations)
    denoised = denoise_total_variation(
        as_batch(values, dtype)[None], scalar(weight, dtype), iterations
    )
    assert_near(denoised[0, 0], expected)


def test_two_flat_regions_move_by_weight_times_border_over_area() -> None:
    # The known minimum: a region of n columns beside another moves by weight / n towards it.
    values = torch.zeros(1, 1, 5, 12, dtype=torch.float64)
    values[..., 4:] = 1.0
    expected = values.clone()
    expected[..., :4] += 0.1 / 4
    expected[..., 4:] -= 0.1 / 8
    assert_near(denoise_total_variation(values, scalar(0.1), 2000), expected)


def test_default_iterations_reach_most_of_the_change() -> None:
    planes = as_batch(plane_of("astronaut"), torch.float64)[None]
    weight = scalar(0.01)
    minimum = denoise_total_variation(planes, weight, 1000)
    missing = (denoise_total_variation(planes, weight) - minimum).norm()
    assert missing < 0.15 * (planes - minimum).norm()


@pytest.mark.parametrize("case", PHOTOGRAPHS)
def test_objective_falls_with_the_iterations(case: str) -> None:
    values = plane_of(case)
    planes = as_batch(values, torch.float64)[None]
    objective = []
    for iterations in (1, 5, 20, 80):
        denoised = denoise_total_variation(planes, scalar(0.05), iterations)[0, 0].numpy()
        objective.append(total_variation(denoised) + ((denoised - values) ** 2).sum() / 0.1)
    assert objective == sorted(objective, reverse=True)


@every_dtype
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (5, 2), (4, 6), (7, 9), (12, 11)])
def test_batch_equals_loop(shape: tuple[int, int], device: str, dtype: torch.dtype) -> None:
    planes, weight = random_planes(3, 1, *shape, dtype=dtype).to(device), scalar(0.1, dtype)
    before = planes.clone()
    denoised = denoise_total_variation(planes, weight.to(device))
    alone = [denoise_total_variation(one[None], weight) for one in planes.cpu()]
    assert denoised.dtype == dtype
    assert denoised.device == planes.device
    assert_near(denoised, torch.cat(alone))
    assert torch.equal(planes, before)
    assert denoise_total_variation(planes[:0], weight.to(device)).shape == (0, 1, *shape)


@pytest.mark.parametrize("shape", [(2, 2), (4, 5)])
@pytest.mark.parametrize("iterations", [1, 2, 3, 20])
def test_gradcheck(iterations: int, shape: tuple[int, int]) -> None:
    planes = random_planes(2, 1, *shape).requires_grad_()
    weight = scalar(0.15).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w: denoise_total_variation(x, w, iterations), (planes, weight)
    )


@every_dtype
@pytest.mark.parametrize("weight", [1e-9, 0.1, 1e9])
@pytest.mark.parametrize("value", [0.0, 0.3125, 1.0])
def test_constant_stays_constant(value: float, weight: float, dtype: torch.dtype) -> None:
    planes = torch.full((2, 1, 6, 7), value, dtype=dtype, requires_grad=True)
    strength = scalar(weight, dtype).requires_grad_()
    denoised = denoise_total_variation(planes, strength)
    assert torch.equal(denoised, planes)
    denoised.square().sum().backward()
    assert planes.grad is not None
    assert strength.grad is not None
    # The gradient that vanishes on a zero slope is that of the identity.
    assert_near(planes.grad, 2 * planes)
    assert strength.grad == 0


@every_dtype
@pytest.mark.parametrize("case", ["saturated", "bright_pixel", "black"])
def test_gradients_are_finite_beside_flat_regions(case: str, dtype: torch.dtype) -> None:
    planes = as_batch(mosaic(case, "RGGB"), dtype)[None].requires_grad_()
    weight = scalar(0.1, dtype).requires_grad_()
    denoise_total_variation(planes, weight).square().sum().backward()
    for leaf in (planes, weight):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@every_dtype
def test_tiny_weight_and_single_iteration_are_the_identity(dtype: torch.dtype) -> None:
    planes = as_batch(plane_of("astronaut"), dtype)[None]
    assert_near(denoise_total_variation(planes, scalar(1e-12, dtype)), planes)
    assert torch.equal(denoise_total_variation(planes, scalar(0.5, dtype), 1), planes)
    assert (denoise_total_variation(planes, scalar(0.5, dtype), 2) - planes).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_to_float32(dtype: torch.dtype) -> None:
    planes, weight = random_planes(2, 1, 10, 13, dtype=torch.float32).to(dtype), scalar(0.1)
    denoised = denoise_total_variation(planes, weight)
    assert denoised.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(
        denoised.float(), denoise_total_variation(planes.float(), weight), rtol=eps, atol=eps
    )


def test_compiles_and_exports_with_free_sizes() -> None:
    planes, weight = random_planes(3, 1, 9, 12), scalar(0.2)
    expected = denoise_total_variation(planes, weight)
    compiled = torch.compile(denoise_total_variation, fullgraph=True, backend="eager")
    assert_near(compiled(planes, weight), expected)
    batch, height, width = (torch.export.Dim(name) for name in ("batch", "height", "width"))
    program = torch.export.export(
        Denoise(),
        (random_planes(2, 1, 6, 7), scalar(0.3)),
        dynamic_shapes=({0: batch, 2: height, 3: width}, None),
    )
    assert_near(program.module()(planes, weight), expected)


@pytest.mark.parametrize("iterations", [0, -3])
def test_no_iteration_is_an_error(iterations: int) -> None:
    with pytest.raises(InputError, match=rf"^iterations={iterations}: at least 1"):
        denoise_total_variation(random_planes(1, 1, 4, 4), scalar(0.2), iterations)


@given(
    shape=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    weight=st.floats(1e-3, 10),
    iterations=st.integers(1, 30),
    offset=st.floats(-2, 2),
    factor=st.floats(0.1, 10),
    seed=st.integers(0, 2**31),
)
def test_mean_is_kept_and_units_do_not_matter(
    shape: tuple[int, int], weight: float, iterations: int, offset: float, factor: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand((1, 1, *shape), generator=generator, dtype=torch.float64)
    denoised = denoise_total_variation(planes, scalar(weight), iterations)
    assert_near(denoised.mean(), planes.mean())
    transposed = denoise_total_variation(planes.mT, scalar(weight), iterations)
    assert_near(transposed.mT, denoised)
    rescaled = denoise_total_variation(
        factor * planes + offset, scalar(factor * weight), iterations
    )
    assert_near(rescaled, factor * denoised + offset)
