import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.color import rgb2yuv
from skimage.filters import unsharp_mask as skimage_unsharp_mask

from raw2logit.isp.functional import (
    LUMA_WEIGHTS,
    SHARPEN_KERNEL,
    convolve_kernel,
    filter_luma,
    gaussian_blur,
    median_3x3,
    unsharp_mask,
)
from raw2logit.isp.functional.gaussian import gaussian_radius
from tests.isp import reference
from tests.isp.data import EDGE_CASES, as_batch, as_image, mosaic, photograph, random_mosaic
from tests.tolerance import DTYPES, assert_near

CASES = ("random", "random_float", "astronaut", "china", *EDGE_CASES)

every_case = pytest.mark.parametrize("case", CASES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
@every_case
@pytest.mark.parametrize("sigma_px", [0.3, 0.5, 1.0, 2.3])
def test_gaussian_equals_scipy(sigma_px: float, case: str, dtype: torch.dtype) -> None:
    values = mosaic(case, "RGGB")
    expected = ndimage.gaussian_filter(values, sigma_px, mode="mirror", truncate=4.0)
    blurred = gaussian_blur(
        as_batch(values, dtype)[None],
        torch.tensor(sigma_px, dtype=dtype),
        gaussian_radius(sigma_px),
    )
    assert_near(blurred[0, 0], expected)


@every_dtype
@every_case
def test_median_equals_scipy(case: str, dtype: torch.dtype) -> None:
    values = mosaic(case, "RGGB")
    expected = ndimage.median_filter(values, size=3, mode="mirror")
    assert_near(median_3x3(as_batch(values, dtype)[None])[0, 0], expected)


def test_median_network_is_right_for_every_input() -> None:
    # A network of exchanges that is right for all zeros and ones is right for all numbers.
    patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=9)))
    middle = median_3x3(patterns.reshape(-1, 1, 3, 3))[:, 0, 1, 1]
    assert torch.equal(middle, (patterns.sum(dim=1) >= 5).float())


def test_median_passes_the_gradient_to_the_median() -> None:
    plane = torch.tensor([[0.1, 0.9, 0.4], [0.8, 0.5, 0.2], [0.3, 0.7, 0.6]], requires_grad=True)
    median_3x3(plane[None, None])[0, 0, 1, 1].backward()
    assert plane.grad is not None
    assert torch.equal(plane.grad, (plane == 0.5).float())


@every_dtype
@every_case
@pytest.mark.parametrize("size", [1, 3, 5])
def test_kernel_equals_scipy(size: int, case: str, dtype: torch.dtype) -> None:
    values = mosaic(case, "RGGB")
    kernel = np.array(SHARPEN_KERNEL) if size == 3 else random_mosaic(size, size, seed=3) - 0.5
    expected = ndimage.correlate(values, kernel, mode="mirror")
    filtered = convolve_kernel(as_batch(values, dtype)[None], torch.from_numpy(kernel).to(dtype))
    assert_near(filtered[0, 0], expected)


def test_kernel_is_correlated_not_convolved() -> None:
    plane = torch.zeros(1, 1, 5, 5)
    plane[0, 0, 2, 2] = 1.0
    kernel = torch.arange(9.0).reshape(3, 3)
    assert torch.equal(convolve_kernel(plane, kernel)[0, 0, 1:4, 1:4], kernel.flip(0, 1))


@every_dtype
@pytest.mark.parametrize("case", ["random_float", "astronaut", "coffee", "flower"])
@pytest.mark.parametrize(("radius_px", "amount"), [(1.0, 1.0), (0.6, 2.5), (2.0, 0.4)])
def test_unsharp_mask_equals_skimage_inside(
    radius_px: float, amount: float, case: str, dtype: torch.dtype
) -> None:
    values = mosaic(case, "RGGB")
    expected = skimage_unsharp_mask(values, radius=radius_px, amount=amount, preserve_range=True)
    support_px = gaussian_radius(radius_px)
    masked = unsharp_mask(
        as_batch(values, dtype)[None],
        torch.tensor(radius_px, dtype=dtype),
        torch.tensor(amount, dtype=dtype),
        support_px,
    )
    inside = slice(support_px, -support_px)
    assert_near(masked[0, 0, inside, inside], expected[inside, inside])


@every_dtype
@every_case
def test_unsharp_mask_equals_scipy_up_to_the_border(case: str, dtype: torch.dtype) -> None:
    values = mosaic(case, "RGGB")
    blurred = ndimage.gaussian_filter(values, 1.0, mode="mirror", truncate=4.0)
    one = torch.ones((), dtype=dtype)
    masked = unsharp_mask(as_batch(values, dtype)[None], one, 0.7 * one, 4)
    assert_near(masked[0, 0], values + 0.7 * (values - blurred))


@every_dtype
@pytest.mark.parametrize("case", ["astronaut", "hubble", "china"])
@pytest.mark.parametrize("filter_name", ["gaussian", "sharpen", "median"])
def test_luma_filter_equals_skimage_yuv(filter_name: str, case: str, dtype: torch.dtype) -> None:
    image = photograph(case) * 2 - 0.5  # outside [0, 1] too: nothing may clip
    sigma_px = torch.tensor(0.5, dtype=dtype)
    kernel = torch.tensor(SHARPEN_KERNEL, dtype=dtype)
    own = {
        "gaussian": lambda luma: gaussian_blur(luma, sigma_px, 2),
        "sharpen": lambda luma: convolve_kernel(luma, kernel),
        "median": median_3x3,
    }[filter_name]
    other = {
        "gaussian": lambda luma: reference.gaussian(luma, 0.5),
        "sharpen": lambda luma: ndimage.correlate(luma, np.array(SHARPEN_KERNEL), mode="mirror"),
        "median": lambda luma: ndimage.median_filter(luma, size=3, mode="mirror"),
    }[filter_name]
    filtered = filter_luma(as_image(image, dtype), own)
    expected = reference.on_luma(image, other)
    assert_near(filtered, as_image(expected, torch.float64))
    colour_difference = rgb2yuv(filtered[0].permute(1, 2, 0).double().numpy())[..., 1:]
    assert_near(torch.from_numpy(colour_difference).to(dtype), rgb2yuv(image)[..., 1:])


def test_luma_weights_are_those_of_skimage() -> None:
    assert rgb2yuv(np.eye(3))[:, 0] == pytest.approx(LUMA_WEIGHTS, abs=1e-12)
    assert sum(LUMA_WEIGHTS) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_identity_settings_are_the_identity(dtype: torch.dtype) -> None:
    image = as_image(photograph("rocket"), dtype)
    delta = torch.zeros(3, 3, dtype=dtype)
    delta[1, 1] = 1.0
    one, zero = torch.ones((), dtype=dtype), torch.zeros((), dtype=dtype)
    narrow = torch.tensor(1e-3, dtype=dtype)
    for luma_filter in (
        lambda luma: luma,
        lambda luma: convolve_kernel(luma, delta),
        lambda luma: unsharp_mask(luma, one, zero, 4),
        lambda luma: gaussian_blur(luma, narrow, 2),
    ):
        assert torch.equal(filter_luma(image, luma_filter), image)
