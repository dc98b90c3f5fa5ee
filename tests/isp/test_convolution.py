"""Convolution in cells, and its own gradient, against the library's convolution."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, vmap
from torch.nn import functional as F

from raw2logit.isp.functional import convolve_kernel, mirror_pad
from raw2logit.isp.functional.convolution import as_cells, is_whole_cells, phase_convolution
from tests.tolerance import DTYPES, assert_near

SHAPES = [(2, 1, 4, 6), (1, 1, 6, 16), (2, 1, 5, 9), (1, 1, 2, 2)]
KERNELS = [(1, 1), (3, 3), (5, 5), (1, 9), (9, 1), (3, 5)]

# PyTorch loads this deprecated part of itself on the first use of forward-mode derivatives.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain(plane: Tensor, kernel: Tensor) -> Tensor:
    padded = mirror_pad(plane, (kernel.shape[0] // 2, kernel.shape[1] // 2))
    return F.conv2d(padded, kernel[None, None])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(
    shape: tuple[int, ...], size: tuple[int, int], dtype: torch.dtype
) -> None:
    plane = random(*shape, dtype=dtype).requires_grad_()
    kernel = random(*size, dtype=dtype, seed=1).requires_grad_()
    result, wanted = convolve_kernel(plane, kernel), plain(plane, kernel)
    assert_near(result, wanted)
    with torch.no_grad():
        assert_near(convolve_kernel(plane, kernel), wanted)
    weights = random(*shape, dtype=dtype, seed=2)
    own = torch.autograd.grad(result, (plane, kernel), weights)
    for left, right in zip(own, torch.autograd.grad(wanted, (plane, kernel), weights), strict=True):
        assert_near(left, right)


@pytest.mark.parametrize("size", [(3, 3), (1, 9), (5, 3)])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_first_and_second_derivatives(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    inputs = (random(*shape).requires_grad_(), random(*size, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(convolve_kernel, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(convolve_kernel, inputs)


def test_only_the_gradient_that_is_asked_for() -> None:
    plane, kernel = random(1, 1, 6, 8), random(3, 3, seed=1)
    for wanted in (plane, kernel):
        wanted.requires_grad_()
        (result,) = torch.autograd.grad(convolve_kernel(plane, kernel).sum(), wanted)
        assert_near(result, torch.autograd.grad(plain(plane, kernel).sum(), wanted)[0])
        wanted.requires_grad_(False)


def test_function_transforms() -> None:
    planes, kernel = random(3, 2, 1, 6, 8), random(3, 3, seed=1)

    def loss(plane: Tensor, kernel: Tensor) -> Tensor:
        return convolve_kernel(plane, kernel).square().sum()

    each = vmap(grad(loss, argnums=1), (0, None))(planes, kernel)
    assert_near(each, torch.stack([grad(loss, argnums=1)(plane, kernel) for plane in planes]))

    def filtered(kernel: Tensor) -> Tensor:
        return convolve_kernel(planes[0], kernel)

    assert_near(jacrev(filtered)(kernel), jacfwd(filtered)(kernel))


@pytest.mark.parametrize("shape", [(2, 6, 8), (1, 8, 24), (1, 4, 10), (1, 2, 2)])
def test_each_site_has_its_own_filter(shape: tuple[int, int, int]) -> None:
    mosaic, weights, bias = random(*shape)[:, None], random(3, 4, 3, 3, seed=1), random(3, 4)
    result = phase_convolution(weights, bias)(mosaic)
    for site in range(4):
        rows, columns = slice(site // 2, None, 2), slice(site % 2, None, 2)
        wanted = F.conv2d(mirror_pad(mosaic, 1), weights[:, site, None], bias[:, site])
        assert_near(result[..., rows, columns], wanted[..., rows, columns])


def test_cells_are_a_view_of_the_image() -> None:
    mosaic, weights = random(2, 1, 6, 16), random(3, 4, 3, 3, seed=1)
    convolve = phase_convolution(weights)
    image = torch.empty(2, 3, 6, 16, dtype=torch.float64)
    as_cells(image).copy_(convolve.cells(mosaic))
    assert_near(image, convolve(mosaic))
    assert is_whole_cells(6, 16)
    assert not is_whole_cells(6, 12)
    assert not is_whole_cells(5, 16)
