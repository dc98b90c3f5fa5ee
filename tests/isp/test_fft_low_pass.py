import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import fft
from skimage.filters import butterworth
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp.functional.fft_low_pass import fft_low_pass
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


class LowPass(nn.Module):
    def forward(self, plane: Tensor, cutoff: Tensor) -> Tensor:
        return fft_low_pass(plane, cutoff)


@every_dtype
@every_case
@pytest.mark.parametrize(("cutoff", "order"), [(0.05, 1), (0.2, 2), (0.3, 2), (0.5, 5)])
def test_equals_skimage_on_the_mirrored_plane(
    cutoff: float, order: int, case: str, dtype: torch.dtype
) -> None:
    values = plane_of(case)
    height, width = values.shape
    mirrored = np.pad(values, ((0, height - 2), (0, width - 2)), mode="reflect")
    expected = butterworth(mirrored, cutoff, high_pass=False, order=order)[:height, :width]
    filtered = fft_low_pass(as_batch(values, dtype)[None], scalar(cutoff, dtype), order)
    assert_near(filtered[0, 0], expected)


@every_dtype
@every_case
@pytest.mark.parametrize("cutoff", [1e-3, 0.25, 3.0])
def test_equals_weighted_cosine_transform(cutoff: float, case: str, dtype: torch.dtype) -> None:
    values = plane_of(case)
    height, width = values.shape
    down, right = np.ogrid[:height, :width]
    square = (down / (2 * (height - 1))) ** 2 + (right / (2 * (width - 1))) ** 2
    spectrum = fft.dctn(values, type=1) / (1 + (square / cutoff**2) ** 2)
    filtered = fft_low_pass(as_batch(values, dtype)[None], scalar(cutoff, dtype))
    assert_near(filtered[0, 0], fft.idctn(spectrum, type=1))


@every_dtype
def test_gain_is_one_half_at_the_cutoff(dtype: torch.dtype) -> None:
    # A cosine of 8 pixels a period, its crest on both borders, has one frequency only: 1/8.
    wave = torch.cos(2 * torch.pi * torch.arange(33, dtype=dtype) / 8).expand(1, 1, 5, 33)
    for order in (1, 2, 4):
        assert_near(fft_low_pass(wave, scalar(0.125, dtype), order), wave / 2)


@every_dtype
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (5, 2), (4, 6), (7, 9), (12, 11)])
def test_batch_equals_loop(shape: tuple[int, int], device: str, dtype: torch.dtype) -> None:
    planes, cutoff = random_planes(3, 1, *shape, dtype=dtype).to(device), scalar(0.2, dtype)
    before = planes.clone()
    filtered = fft_low_pass(planes, cutoff.to(device))
    assert filtered.dtype == dtype
    assert filtered.device == planes.device
    assert_near(filtered, torch.cat([fft_low_pass(one[None], cutoff) for one in planes.cpu()]))
    assert torch.equal(planes, before)
    assert fft_low_pass(planes[:0], cutoff.to(device)).shape == (0, 1, *shape)


@pytest.mark.parametrize("shape", [(2, 2), (4, 5)])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_gradcheck(order: int, shape: tuple[int, int]) -> None:
    planes = random_planes(2, 1, *shape).requires_grad_()
    cutoff = scalar(0.23).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, c: fft_low_pass(x, c, order), (planes, cutoff))


@every_dtype
@pytest.mark.parametrize("cutoff", [1e-20, 0.3, 1e20])
@pytest.mark.parametrize("value", [0.0, 0.3125, 1.0])
def test_constant_stays_constant(value: float, cutoff: float, dtype: torch.dtype) -> None:
    planes = torch.full((2, 1, 6, 7), value, dtype=dtype, requires_grad=True)
    limit = scalar(cutoff, dtype).requires_grad_()
    filtered = fft_low_pass(planes, limit, order=4)
    assert_near(filtered, planes)
    filtered.square().sum().backward()
    assert planes.grad is not None
    assert limit.grad is not None
    assert planes.grad.isfinite().all()
    # Along the constants the filter is the identity, whatever the cutoff.
    assert_near(planes.grad.sum(), 2 * planes.sum())
    assert_near(limit.grad, torch.zeros(()))


@every_dtype
def test_limits_of_the_cutoff(dtype: torch.dtype) -> None:
    planes = as_batch(plane_of("astronaut"), dtype)[None]
    assert_near(fft_low_pass(planes, scalar(1e6, dtype)), planes)
    weights = torch.ones(64, dtype=dtype)
    weights[[0, -1]] = 0.5  # inner pixels lie twice in a period of the mirrored plane
    weights = torch.outer(weights, weights) / weights.sum() ** 2
    flat = fft_low_pass(planes, scalar(1e-6, dtype))
    assert_near(flat, (weights * planes).sum().expand_as(planes))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_to_float32(dtype: torch.dtype) -> None:
    planes, cutoff = random_planes(2, 1, 10, 13, dtype=torch.float32).to(dtype), scalar(0.25)
    filtered = fft_low_pass(planes, cutoff)
    assert filtered.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(
        filtered.float(), fft_low_pass(planes.float(), cutoff), rtol=eps, atol=eps
    )


def test_compiles_and_exports_with_free_sizes() -> None:
    planes, cutoff = random_planes(3, 1, 9, 12), scalar(0.2)
    expected = fft_low_pass(planes, cutoff)
    compiled = torch.compile(fft_low_pass, fullgraph=True, backend="eager")
    assert_near(compiled(planes, cutoff), expected)
    batch = torch.export.Dim("batch")
    # At 2 the mirrored plane is the plane, which would be another program.
    height, width = (torch.export.Dim(name, min=3) for name in ("height", "width"))
    program = torch.export.export(
        LowPass(),
        (random_planes(2, 1, 6, 7), scalar(0.3)),
        dynamic_shapes=({0: batch, 2: height, 3: width}, None),
    )
    assert_near(program.module()(planes, cutoff), expected)


@pytest.mark.parametrize("order", [0, -1])
def test_order_below_one_is_an_error(order: int) -> None:
    with pytest.raises(InputError, match=rf"^order={order}: .*at least 1$"):
        fft_low_pass(random_planes(1, 1, 4, 4), scalar(0.2), order)


@given(
    shape=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    cutoff=st.floats(1e-3, 1e3),
    order=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_flips_commute_and_energy_falls(
    shape: tuple[int, int], cutoff: float, order: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand((1, 1, *shape), generator=generator, dtype=torch.float64)
    filtered = fft_low_pass(planes, scalar(cutoff), order)
    for axes in ((-2,), (-1,), (-2, -1)):
        assert_near(fft_low_pass(planes.flip(axes), scalar(cutoff), order).flip(axes), filtered)
    assert_near(fft_low_pass(planes.mT, scalar(cutoff), order).mT, filtered)
    period = [
        torch.nn.functional.pad(x, (0, shape[1] - 2, 0, shape[0] - 2), mode="reflect")
        for x in (planes, filtered)
    ]
    assert_near(period[1].mean(), period[0].mean())
    assert period[1].var(correction=0) <= period[0].var(correction=0) + 1e-10
