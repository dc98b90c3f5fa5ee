import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp.functional.non_local_means import denoise_non_local_means
from tests.isp.data import EDGE_CASES, as_batch, as_image, mosaic, photograph
from tests.tolerance import DEVICES, DTYPES, assert_near

Array = NDArray[np.float64]

CASES = ("random", "random_float", "astronaut", "china", *EDGE_CASES)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def averaged(
    values: Array, strength: float, patch_px: int, search_px: int, *, as_skimage: bool = False
) -> Array:
    """Average by definition: every shift, every pixel of the patch, no symmetry, no box filter."""
    half = patch_px // 2
    # The fast mode of scikit-image misses the first row and column of each patch.
    offsets = range(-half + as_skimage, half + 1)
    pad = search_px + half
    height, width = values.shape
    padded = np.pad(values, pad, mode="reflect")

    def moved(down: int, right: int) -> Array:
        return padded[pad + down : pad + down + height, pad + right : pad + right + width]

    total, weights = np.zeros_like(values), np.zeros_like(values)
    for down in range(-search_px, search_px + 1):
        for right in range(-search_px, search_px + 1):
            distance = np.zeros_like(values)
            for row in offsets:
                for column in offsets:
                    distance += (moved(row, column) - moved(row + down, column + right)) ** 2
            distance /= (strength * patch_px) ** 2
            weight = fast_exp(-distance) if as_skimage else np.exp(-distance)
            weight[as_skimage & (distance > 5.0)] = 0.0
            total += weight * moved(down, right)
            weights += weight
    return total / weights


def averaged_batch(planes: Tensor, strength: float, patch_px: int, search_px: int) -> Array:
    each = planes[:, 0].double().numpy()
    return np.stack([averaged(values, strength, patch_px, search_px) for values in each])[:, None]


def fast_exp(exponent: Array) -> Array:
    """Return the exponential by which scikit-image weighs, 4 % off: N. N. Schraudolph 1999."""
    high = (1048576 / math.log(2) * exponent).astype(np.int64) + 1072693248 - 60801
    return (high << 32).view(np.float64)


def linear_luma(name: str, size: int = 64) -> Array:
    return photograph(name, size) ** 2.2 @ np.array([0.299, 0.587, 0.114])


def random_plane(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def scalar(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype)


@every_dtype
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("strength", "patch_px", "search_px"), [(0.1, 5, 3), (0.02, 3, 4), (0.6, 7, 2), (0.3, 1, 1)]
)
def test_equals_the_definition(
    strength: float, patch_px: int, search_px: int, case: str, dtype: torch.dtype
) -> None:
    values = mosaic(case, "RGGB")
    expected = averaged(values, strength, patch_px, search_px)
    plane = as_batch(values, dtype)[None]
    result = denoise_non_local_means(plane, scalar(strength, dtype), patch_px, search_px)
    assert_near(result[0, 0], expected)


@pytest.mark.parametrize("case", ["random", "astronaut", "bright_pixel", "4x6"])
def test_the_default_window_equals_the_definition(case: str) -> None:
    values = mosaic(case, "RGGB")
    result = denoise_non_local_means(as_batch(values, torch.float64)[None], scalar(0.1))
    assert_near(result[0, 0], averaged(values, 0.1, 5, 6))


@pytest.mark.parametrize("case", ["random", "astronaut", "flower", "bright_pixel"])
@pytest.mark.parametrize(
    ("strength", "patch_px", "search_px"), [(0.1, 5, 3), (0.02, 3, 4), (0.6, 7, 2)]
)
def test_skimage_is_the_definition_with_its_shortcuts(
    strength: float, patch_px: int, search_px: int, case: str
) -> None:
    # Up to the border. Its bits of exp are cut off at 2 ** -20, hence the tolerance.
    values = mosaic(case, "RGGB")
    skimages = denoise_nl_means(values, patch_px, search_px, strength, fast_mode=True)
    own = averaged(values, strength, patch_px, search_px, as_skimage=True)
    assert np.abs(own - skimages).max() < 1e-5


@pytest.mark.parametrize("name", ["astronaut", "china", "coffee", "rocket"])
@pytest.mark.parametrize("noise", [0.01, 0.02, 0.05])
def test_denoises_photographs_as_well_as_skimage(noise: float, name: str) -> None:
    clean = linear_luma(name)
    noisy = clean + noise * np.random.default_rng(1).standard_normal(clean.shape)
    own = denoise_non_local_means(as_batch(noisy, torch.float64)[None], scalar(1.2 * noise))
    # A strength that makes up for the 9 of 25 pixels that it does not count.
    skimages = denoise_nl_means(noisy, 5, 6, 1.2 * noise * 4 / 5, fast_mode=True)
    own_error, skimage_error, before = (
        10 * np.log10(np.mean((image - clean) ** 2))
        for image in (own[0, 0].numpy(), skimages, noisy)
    )
    # Decibels; the leaves of "china" are noise themselves.
    assert own_error < before - (0.4 if name == "china" else 2.0)
    assert abs(own_error - skimage_error) < 0.25


@every_dtype
def test_batch_equals_loop(dtype: torch.dtype) -> None:
    planes = torch.cat([as_image(photograph(name), dtype)[:, :1] for name in ("china", "rocket")])
    together = denoise_non_local_means(planes, scalar(0.05, dtype), 3, 3)
    for index, plane in enumerate(planes):
        assert_near(
            denoise_non_local_means(plane[None], scalar(0.05, dtype), 3, 3)[0], together[index]
        )


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 1, 2, 2), (1, 1, 6, 3)])
@pytest.mark.parametrize(("patch_px", "search_px"), [(3, 2), (1, 1), (5, 1)])
def test_gradients_equal_differences(shape: tuple[int, ...], patch_px: int, search_px: int) -> None:
    plane = random_plane(*shape).requires_grad_()
    strength = scalar(0.4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, s: denoise_non_local_means(p, s, patch_px, search_px), (plane, strength)
    )


@every_dtype
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0, -2.5])
@pytest.mark.parametrize("strength", [1e-6, 0.1, 10.0])
def test_constant_plane_stays_and_has_gradients(
    strength: float, value: float, dtype: torch.dtype
) -> None:
    plane = torch.full((2, 1, 6, 7), value, dtype=dtype, requires_grad=True)
    parameter = scalar(strength, dtype).requires_grad_()
    result = denoise_non_local_means(plane, parameter, 3, 2)
    assert torch.equal(result, plane)
    result.sum().backward()
    assert plane.grad is not None
    assert parameter.grad is not None
    assert plane.grad.isfinite().all()
    assert_near(plane.grad.sum(), torch.tensor(2.0 * 6 * 7))
    assert parameter.grad == 0


@every_dtype
def test_gradients_are_finite_where_every_weight_vanishes(dtype: torch.dtype) -> None:
    plane = random_plane(1, 1, 6, 7).to(dtype).requires_grad_()
    strength = scalar(1e-6, dtype).requires_grad_()
    denoise_non_local_means(plane, strength, 3, 2).sum().backward()
    assert plane.grad is not None
    assert strength.grad is not None
    assert torch.equal(plane.grad, torch.ones_like(plane))
    assert strength.grad == 0


@every_dtype
@pytest.mark.parametrize("case", ["random", "bright_pixel", "saturated"])
def test_tiny_strength_is_the_identity(case: str, dtype: torch.dtype) -> None:
    plane = as_batch(mosaic(case, "RGGB"), dtype)[None]
    assert torch.equal(denoise_non_local_means(plane, scalar(1e-6, dtype), 3, 3), plane)


@every_dtype
def test_huge_strength_is_the_mean_over_the_window(dtype: torch.dtype) -> None:
    plane = random_plane(1, 1, 9, 10).to(dtype)
    padded = np.pad(plane[0, 0].double().numpy(), 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    result = denoise_non_local_means(plane, scalar(1e6, dtype), 3, 2)
    assert_near(result[0, 0], windows.mean(axis=(-1, -2)))


class _Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(scalar(0.2))

    def forward(self, plane: Tensor) -> Tensor:
        return denoise_non_local_means(plane, self.strength, 3, 2)


def test_compiles_without_graph_breaks() -> None:
    torch.compiler.reset()  # torch stops after eight versions of one function in a process
    denoise = _Denoiser()
    plane = random_plane(2, 1, 7, 8).requires_grad_()
    result = torch.compile(denoise, fullgraph=True, backend="eager")(plane)
    assert_near(result, denoise(plane))
    inputs = [plane, denoise.strength]
    own = torch.autograd.grad((result**2).sum(), inputs)
    eager = torch.autograd.grad((denoise(plane) ** 2).sum(), inputs)
    for left, right in zip(own, eager, strict=True):
        assert_near(left, right)


def test_exports_with_a_free_batch() -> None:
    denoise = _Denoiser().eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        denoise, (random_plane(2, 1, 7, 8),), dynamic_shapes=({0: batch},)
    )
    for count in (2, 5):
        plane = random_plane(count, 1, 7, 8, seed=count)
        assert_near(program.module()(plane), denoise(plane))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)], ids=str
)
def test_half_precision_is_near(dtype: torch.dtype, tolerance: float) -> None:
    plane = as_image(photograph("astronaut"), dtype)[:, :1]
    strength = scalar(0.05, dtype)
    result = denoise_non_local_means(plane, strength, 3, 3)
    expected = denoise_non_local_means(plane.float(), strength.float(), 3, 3)
    assert result.dtype == dtype
    assert (expected - plane.float()).abs().max() > 5 * tolerance
    torch.testing.assert_close(result.float(), expected, atol=tolerance, rtol=0.0)


@pytest.mark.parametrize("device", DEVICES)
@every_dtype
def test_each_device_gives_the_same(dtype: torch.dtype, device: str) -> None:
    plane, strength = random_plane(2, 1, 9, 8).to(dtype), scalar(0.2, dtype)
    result = denoise_non_local_means(plane.to(device), strength.to(device), 3, 2)
    assert result.device.type == device
    assert_near(result, averaged_batch(plane, 0.2, 3, 2))


def test_empty_batch_stays_empty() -> None:
    assert denoise_non_local_means(torch.zeros(0, 1, 6, 4), torch.tensor(0.1)).shape == (0, 1, 6, 4)


def test_memory_for_gradients_is_as_documented() -> None:
    plane = random_plane(1, 1, 128, 128).requires_grad_()
    kept: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        denoise_non_local_means(plane, scalar(0.1).requires_grad_(), 5, 4)
    planes = sum(kept.values()) / (plane.nbytes * 2 * 4 * 5)
    assert 2.5 < planes < 3.5


planes = st.builds(
    lambda shape, levels, seed: torch.from_numpy(
        np.random.default_rng(seed).integers(0, levels, shape) / (levels - 1)
    ),
    st.tuples(st.integers(1, 3), st.just(1), st.integers(2, 11), st.integers(2, 11)),
    st.sampled_from((2, 3, 4096)),
    st.integers(0, 2**31),
)
strengths = st.floats(0.01, 10).map(scalar)


@settings(deadline=None)
@given(plane=planes, strength=strengths, axes=st.sampled_from([(-1,), (-2,), (-1, -2)]))
def test_flipping_and_turning_commute(plane: Tensor, strength: Tensor, axes: tuple[int]) -> None:
    result = denoise_non_local_means(plane, strength, 3, 2)
    assert_near(denoise_non_local_means(plane.flip(axes), strength, 3, 2), result.flip(axes))
    assert_near(denoise_non_local_means(plane.mT, strength, 3, 2), result.mT)


@settings(deadline=None)
@given(plane=planes, strength=strengths, gain=st.floats(0.1, 8), offset=st.floats(-2, 2))
def test_unit_and_zero_of_the_light_do_not_matter(
    plane: Tensor, strength: Tensor, gain: float, offset: float
) -> None:
    result = denoise_non_local_means(plane, strength, 3, 2)
    moved = denoise_non_local_means(gain * plane + offset, gain * strength, 3, 2)
    assert_near(moved, gain * result + offset)


@settings(deadline=None)
@given(plane=planes, strength=strengths)
def test_result_stays_within_the_window(plane: Tensor, strength: Tensor) -> None:
    result = denoise_non_local_means(plane, strength, 3, 2)
    padded = np.pad(plane.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(-2, -1))
    assert (result.numpy() <= windows.max(axis=(-1, -2)) + 1e-12).all()
    assert (result.numpy() >= windows.min(axis=(-1, -2)) - 1e-12).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_px": 4}, "patch_px must be odd and positive, got 4: try 5"),
        ({"patch_px": -1}, "patch_px must be odd and positive, got -1: try 5"),
        ({"search_px": 0}, "search_px must be 1 or more, got 0: try 6"),
        ({"search_px": -2}, "search_px must be 1 or more, got -2: try 6"),
    ],
)
def test_bad_argument_is_named(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        denoise_non_local_means(torch.zeros(1, 1, 4, 4), torch.tensor(0.1), **arguments)
    assert str(error.value) == message
