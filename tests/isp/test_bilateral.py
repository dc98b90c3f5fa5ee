import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_bilateral as skimage_denoise_bilateral
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp.functional.bilateral import denoise_bilateral
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


def pixel_by_pixel(plane: Array, sigma_px: float, sigma_value: float, radius_px: int) -> Array:
    """Filter as the paper says it: every pixel on its own, from its whole window."""
    padded = np.pad(plane, radius_px, mode="reflect")
    offsets = np.arange(-radius_px, radius_px + 1)
    square_px = offsets[:, None] ** 2 + offsets**2
    result = np.empty_like(plane)
    for row, column in np.ndindex(plane.shape):
        window = padded[row : row + len(offsets), column : column + len(offsets)]
        square_value = (window - plane[row, column]) ** 2
        weights = np.exp(-square_px / (2 * sigma_px**2) - square_value / (2 * sigma_value**2))
        result[row, column] = (weights * window).sum() / weights.sum()
    return result


class Denoise(nn.Module):
    def forward(self, plane: Tensor, sigma_px: Tensor, sigma_value: Tensor) -> Tensor:
        return denoise_bilateral(plane, sigma_px, sigma_value, 2)


@every_dtype
@every_case
@pytest.mark.parametrize(
    ("sigma_px", "sigma_value", "radius_px"), [(0.8, 0.1, 2), (1.5, 0.02, 1), (2.0, 0.5, 4)]
)
def test_equals_numpy_pixel_by_pixel(
    sigma_px: float, sigma_value: float, radius_px: int, case: str, dtype: torch.dtype
) -> None:
    values = plane_of(case)[:40, :38]
    denoised = denoise_bilateral(
        as_batch(values, dtype)[None],
        scalar(sigma_px, dtype),
        scalar(sigma_value, dtype),
        radius_px,
    )
    assert_near(denoised[0, 0], pixel_by_pixel(values, sigma_px, sigma_value, radius_px))


@pytest.mark.parametrize("case", ["random", *PHOTOGRAPHS])
def test_weights_in_value_are_those_of_skimage(case: str) -> None:
    # scikit-image reads the weights in value from a table, here of so many bins that 1e-5 holds.
    # Its weights in place (0.26: an even table read with an odd stride for odd windows) are wrong
    # unless all are equal, hence the huge spatial sigma; `test_large_sigma_value_is_a_gaussian`
    # has the weights in place.
    values = plane_of(case)
    expected = skimage_denoise_bilateral(
        values, win_size=5, sigma_color=0.1, sigma_spatial=1e6, bins=1_000_000, mode="reflect"
    )
    denoised = denoise_bilateral(as_batch(values, torch.float64)[None], scalar(1e6), scalar(0.1), 2)
    np.testing.assert_allclose(denoised[0, 0], expected, rtol=0, atol=1e-5)


@every_dtype
@every_case
@pytest.mark.parametrize(("sigma_px", "radius_px"), [(0.5, 2), (1.3, 3)])
def test_large_sigma_value_is_a_gaussian(
    sigma_px: float, radius_px: int, case: str, dtype: torch.dtype
) -> None:
    values = plane_of(case)
    expected = ndimage.gaussian_filter(values, sigma_px, mode="mirror", radius=radius_px)
    denoised = denoise_bilateral(
        as_batch(values, dtype)[None], scalar(sigma_px, dtype), scalar(1e6, dtype), radius_px
    )
    assert_near(denoised[0, 0], expected)


@every_dtype
def test_small_sigma_or_radius_is_the_identity(dtype: torch.dtype) -> None:
    planes = as_batch(plane_of("random"), dtype)[None]  # differences are 0 or at least 1 / 4096
    one, tiny = scalar(1.0, dtype), scalar(1e-6, dtype)
    assert_near(denoise_bilateral(planes, one, tiny, 2), planes)
    assert torch.equal(denoise_bilateral(planes, tiny, one, 2), planes)
    assert torch.equal(denoise_bilateral(planes, one, one, 0), planes)
    assert (denoise_bilateral(planes, one, one, 1) - planes).abs().max() > 0.1


@every_dtype
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (5, 2), (4, 6), (7, 9), (12, 11)])
@pytest.mark.parametrize("radius_px", [1, 3])
def test_batch_equals_loop(
    radius_px: int, shape: tuple[int, int], device: str, dtype: torch.dtype
) -> None:
    planes = random_planes(3, 1, *shape, dtype=dtype)
    sigmas = scalar(1.2, dtype), scalar(0.3, dtype)
    alone = [denoise_bilateral(one[None], *sigmas, radius_px) for one in planes]
    planes, before = planes.to(device), planes.to(device, copy=True)
    sigmas = sigmas[0].to(device), sigmas[1].to(device)
    denoised = denoise_bilateral(planes, *sigmas, radius_px)
    assert denoised.dtype == dtype
    assert denoised.device == planes.device
    assert_near(denoised, torch.cat(alone))
    assert torch.equal(planes, before)
    assert denoise_bilateral(planes[:0], *sigmas, radius_px).shape == (0, 1, *shape)


@pytest.mark.parametrize("shape", [(2, 2), (4, 5)])
@pytest.mark.parametrize("radius_px", [0, 1, 2, 5])
def test_gradcheck(radius_px: int, shape: tuple[int, int]) -> None:
    planes = random_planes(2, 1, *shape).requires_grad_()
    sigmas = scalar(0.9).requires_grad_(), scalar(0.3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, s, v: denoise_bilateral(x, s, v, radius_px), (planes, *sigmas)
    )


@every_dtype
@pytest.mark.parametrize("sigma_value", [1e-9, 0.1, 1e9])
@pytest.mark.parametrize("value", [0.0, 0.3125, 1.0])
def test_constant_stays_constant(value: float, sigma_value: float, dtype: torch.dtype) -> None:
    planes = torch.full((2, 1, 6, 7), value, dtype=dtype, requires_grad=True)
    sigmas = scalar(0.8, dtype).requires_grad_(), scalar(sigma_value, dtype).requires_grad_()
    denoised = denoise_bilateral(planes, *sigmas, 2)
    assert torch.equal(denoised, planes)
    denoised.sum().backward()
    assert planes.grad is not None
    # Where nothing differs, the filter is a gaussian: a plane's gradients sum to its pixels.
    assert planes.grad.isfinite().all()
    assert_near(planes.grad.sum(), scalar(2 * 6 * 7))
    for sigma in sigmas:
        assert sigma.grad is not None
        assert sigma.grad == 0


@every_dtype
@pytest.mark.parametrize("case", ["saturated", "bright_pixel", "random"])
def test_gradients_are_finite_where_all_weights_vanish(case: str, dtype: torch.dtype) -> None:
    planes = as_batch(mosaic(case, "RGGB"), dtype)[None].requires_grad_()
    sigmas = scalar(1e-6, dtype).requires_grad_(), scalar(1e-6, dtype).requires_grad_()
    denoise_bilateral(planes, *sigmas, 2).sum().backward()
    for leaf in (planes, *sigmas):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_to_float32(dtype: torch.dtype) -> None:
    planes = random_planes(2, 1, 10, 13, dtype=torch.float32).to(dtype)
    sigmas = scalar(0.8), scalar(0.1)
    denoised = denoise_bilateral(planes, *sigmas, 2)
    assert denoised.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(
        denoised.float(), denoise_bilateral(planes.float(), *sigmas, 2), rtol=eps, atol=eps
    )


def test_compiles_and_exports_with_free_sizes() -> None:
    planes, sigmas = random_planes(3, 1, 9, 12), (scalar(0.9), scalar(0.2))
    expected = denoise_bilateral(planes, *sigmas, 2)
    compiled = torch.compile(denoise_bilateral, fullgraph=True, backend="eager")
    assert_near(compiled(planes, *sigmas, 2), expected)
    batch = torch.export.Dim("batch")
    # From 3 on the borders are padded in one way: below, `mirror_pad` takes another path.
    height, width = (torch.export.Dim(name, min=3) for name in ("height", "width"))
    program = torch.export.export(
        Denoise(),
        (random_planes(2, 1, 6, 7), scalar(1.0), scalar(0.1)),
        dynamic_shapes=({0: batch, 2: height, 3: width}, None, None),
    )
    assert_near(program.module()(planes, *sigmas), expected)


def test_negative_radius_is_an_error() -> None:
    with pytest.raises(InputError, match=r"^radius_px=-1: .*at least 0$"):
        denoise_bilateral(random_planes(1, 1, 4, 4), scalar(1.0), scalar(0.2), -1)


@given(
    shape=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    sigma_px=st.floats(0.1, 10),
    sigma_value=st.floats(1e-3, 10),
    radius_px=st.integers(0, 5),
    seed=st.integers(0, 2**31),
)
def test_flips_commute_and_range_is_kept(
    shape: tuple[int, int], sigma_px: float, sigma_value: float, radius_px: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.rand((1, 1, *shape), generator=generator, dtype=torch.float64)
    sigmas = scalar(sigma_px), scalar(sigma_value)
    denoised = denoise_bilateral(planes, *sigmas, radius_px)
    assert planes.min() - 1e-12 <= denoised.min()
    assert denoised.max() <= planes.max() + 1e-12
    for axes in ((-2,), (-1,), (-2, -1)):
        flipped = denoise_bilateral(planes.flip(axes), *sigmas, radius_px)
        assert_near(flipped.flip(axes), denoised)
    assert_near(denoise_bilateral(planes.mT, *sigmas, radius_px).mT, denoised)
