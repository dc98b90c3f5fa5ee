import warnings

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from raw2logit.errors import InputError
from raw2logit.isp.functional.wavelet import WAVELETS, denoise_wavelet
from tests.isp.data import EDGE_CASES, as_batch, as_image, mosaic, photograph
from tests.tolerance import DEVICES, DTYPES, assert_near

Array = NDArray[np.float64]

CASES = ("random", "random_float", "astronaut", "china", *EDGE_CASES)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_wavelet = pytest.mark.parametrize("wavelet", WAVELETS)


def shrunk(values: Array, threshold: float, levels: int, wavelet: str) -> Array:
    """Denoise by PyWavelets."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Level value of", UserWarning)  # more than it advises
        mean, *details = pywt.wavedec2(values, wavelet, mode="reflect", level=levels)
    details = [
        tuple(pywt.threshold(band, threshold, mode="soft") for band in bands) for bands in details
    ]
    height, width = values.shape  # it adds a line to an odd number of them
    return pywt.waverec2([mean, *details], wavelet, mode="reflect")[:height, :width]


def levels_of_pywt(shape: tuple[int, ...], levels: int, wavelet: str) -> int:
    """Return how many of the levels PyWavelets can do: it does not mirror a single pixel."""
    return min(levels, min(shape).bit_length() - 1) if wavelet == "haar" else levels


def random_plane(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def scalar(value: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(value, dtype=dtype)


@every_wavelet
def test_filter_is_that_of_pywavelets(wavelet: str) -> None:
    assert pywt.Wavelet(wavelet).rec_lo == pytest.approx(WAVELETS[wavelet], abs=1e-12)


@pytest.mark.parametrize(("wavelet", "moments"), [("haar", 1), ("db2", 2), ("sym4", 4)])
def test_filter_fulfils_its_defining_equations(wavelet: str, moments: int) -> None:
    scaling = np.array(WAVELETS[wavelet])
    assert len(scaling) == 2 * moments
    assert scaling.sum() == pytest.approx(np.sqrt(2), abs=1e-15)
    for shift in range(moments):
        product = scaling[2 * shift :] @ scaling[: len(scaling) - 2 * shift]
        assert product == pytest.approx(float(shift == 0), abs=4e-16)
    taps = np.arange(len(scaling))
    for moment in range(moments):
        terms = (-1.0) ** taps * taps**moment * scaling
        assert terms.sum() == pytest.approx(0, abs=1e-15 * np.abs(terms).sum())


@every_dtype
@every_wavelet
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("threshold", "levels"), [(0.02, 1), (0.1, 2), (0.05, 5)])
def test_equals_pywavelets(
    threshold: float, levels: int, case: str, wavelet: str, dtype: torch.dtype
) -> None:
    values = mosaic(case, "RGGB")
    levels = levels_of_pywt(values.shape, levels, wavelet)
    plane = as_batch(values, dtype)[None]
    result = denoise_wavelet(plane, scalar(threshold, dtype), levels, wavelet)
    assert_near(result[0, 0], shrunk(values, threshold, levels, wavelet))


@every_wavelet
@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (5, 5), (7, 12), (37, 43), (33, 2)])
def test_odd_sizes_equal_pywavelets(shape: tuple[int, int], levels: int, wavelet: str) -> None:
    plane = random_plane(1, 1, *shape)
    levels = levels_of_pywt(shape, levels, wavelet)
    result = denoise_wavelet(plane, scalar(0.1), levels, wavelet)
    assert_near(result[0, 0], shrunk(plane[0, 0].numpy(), 0.1, levels, wavelet))


def test_haar_shrinks_a_square_by_hand() -> None:
    # Mean 4 (times 2), differences 1, 2 and 0.5 (times 2) lose 0.6 (that is 0.3 times 2) each.
    square = torch.tensor([[4 + 1 + 2 + 0.5, 4 - 1 + 2 - 0.5], [4 + 1 - 2 - 0.5, 4 - 1 - 2 + 0.5]])
    left = torch.tensor(
        [[4 + 0.7 + 1.7 + 0.2, 4 - 0.7 + 1.7 - 0.2], [4 + 0.7 - 1.7 - 0.2, 4 - 0.7 - 1.7 + 0.2]]
    )
    assert_near(denoise_wavelet(square[None, None], torch.tensor(0.6), 1, "haar")[0, 0], left)


def test_levels_beyond_a_single_pixel_change_nothing() -> None:
    plane, threshold = random_plane(1, 1, 8, 8), scalar(0.2)
    full = denoise_wavelet(plane, threshold, 3, "haar")
    assert not torch.equal(full, denoise_wavelet(plane, threshold, 2, "haar"))
    assert_near(denoise_wavelet(plane, threshold, 6, "haar"), full)


def test_a_single_row_left_counts_as_a_constant_column() -> None:
    # Two equal rows leave one after a level; eight have two left for the third.
    row = random_plane(1, 1, 1, 16)
    result = denoise_wavelet(row.expand(1, 1, 2, 16), scalar(0.3), 3, "haar")
    assert_near(result[0, 0], shrunk(np.tile(row[0, 0].numpy(), (8, 1)), 0.3, 3, "haar")[:2])


@every_dtype
@every_wavelet
@pytest.mark.parametrize("levels", [1, 6])
@pytest.mark.parametrize("case", ["random", "china", "2x2", "4x6"])
def test_zero_threshold_is_the_identity(
    case: str, levels: int, wavelet: str, dtype: torch.dtype
) -> None:
    plane = as_batch(mosaic(case, "RGGB"), dtype)[None]
    assert_near(denoise_wavelet(plane, scalar(0.0, dtype), levels, wavelet), plane)


@every_dtype
def test_huge_threshold_leaves_the_mean(dtype: torch.dtype) -> None:
    plane = random_plane(1, 1, 8, 8).to(dtype)
    result = denoise_wavelet(plane, scalar(100.0, dtype), 3, "haar")
    assert_near(result, plane.mean().expand_as(plane))


@pytest.mark.parametrize("name", ["astronaut", "china", "coffee", "rocket"])
@pytest.mark.parametrize("noise", [0.02, 0.05])
@every_wavelet
def test_denoises_photographs(wavelet: str, noise: float, name: str) -> None:
    clean = torch.from_numpy(photograph(name) ** 2.2 @ np.array([0.299, 0.587, 0.114]))[None, None]
    noisy = clean + noise * torch.from_numpy(np.random.default_rng(1).standard_normal(clean.shape))
    result = denoise_wavelet(noisy, scalar(noise / 2), wavelet=wavelet)
    gain = ((noisy - clean) ** 2).mean() / ((result - clean) ** 2).mean()
    assert gain > (1.15 if name == "china" else 1.4)  # the leaves of "china" are noise themselves


@every_dtype
def test_batch_equals_loop(dtype: torch.dtype) -> None:
    planes = torch.cat([as_image(photograph(name), dtype)[:, :1] for name in ("china", "rocket")])
    together = denoise_wavelet(planes, scalar(0.05, dtype))
    for index, plane in enumerate(planes):
        assert_near(denoise_wavelet(plane[None], scalar(0.05, dtype))[0], together[index])


@every_wavelet
@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (1, 1, 2, 2), (1, 1, 6, 3)])
@pytest.mark.parametrize("levels", [1, 3])
def test_gradients_equal_differences(levels: int, shape: tuple[int, ...], wavelet: str) -> None:
    # A coefficient within 1e-6 of the threshold would sit on the kink: here none does.
    plane = random_plane(*shape, seed=3).requires_grad_()
    threshold = scalar(0.1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, t: denoise_wavelet(p, t, levels, wavelet), (plane, threshold)
    )


@every_dtype
@every_wavelet
@pytest.mark.parametrize("value", [0.0, 0.3, -2.5])
@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_constant_plane_stays_and_has_gradients(
    threshold: float, value: float, wavelet: str, dtype: torch.dtype
) -> None:
    plane = torch.full((2, 1, 6, 7), value, dtype=dtype, requires_grad=True)
    parameter = scalar(threshold, dtype).requires_grad_()
    result = denoise_wavelet(plane, parameter, 3, wavelet)
    assert_near(result, plane)
    result.sum().backward()
    assert plane.grad is not None
    assert parameter.grad is not None
    assert plane.grad.isfinite().all()
    assert parameter.grad.isfinite()
    if threshold:
        assert parameter.grad == 0
        assert_near(plane.grad.sum(), torch.tensor(2.0 * 6 * 7))


class _Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.threshold = nn.Parameter(scalar(0.1))

    def forward(self, plane: Tensor) -> Tensor:
        return denoise_wavelet(plane, self.threshold)


def test_compiles_without_graph_breaks() -> None:
    torch.compiler.reset()  # torch stops after eight versions of one function in a process
    denoise = _Denoiser()
    plane = random_plane(2, 1, 7, 8).requires_grad_()
    result = torch.compile(denoise, fullgraph=True, backend="eager")(plane)
    assert_near(result, denoise(plane))
    inputs = [plane, denoise.threshold]
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
    threshold = scalar(0.05, dtype)
    result = denoise_wavelet(plane, threshold)
    expected = denoise_wavelet(plane.float(), threshold.float())
    assert result.dtype == dtype
    assert (expected - plane.float()).abs().max() > 5 * tolerance
    torch.testing.assert_close(result.float(), expected, atol=tolerance, rtol=0.0)


@pytest.mark.parametrize("device", DEVICES)
def test_each_device_gives_the_same(device: str) -> None:
    plane = random_plane(1, 1, 9, 8)
    result = denoise_wavelet(plane.to(device), scalar(0.1).to(device), 2, "db2")
    assert result.device.type == device
    assert_near(result[0, 0], shrunk(plane[0, 0].numpy(), 0.1, 2, "db2"))


def test_empty_batch_stays_empty() -> None:
    assert denoise_wavelet(torch.zeros(0, 1, 6, 4), torch.tensor(0.1)).shape == (0, 1, 6, 4)


planes = st.builds(
    lambda shape, levels, seed: torch.from_numpy(
        np.random.default_rng(seed).integers(0, levels, shape) / (levels - 1)
    ),
    st.tuples(st.integers(1, 3), st.just(1), st.integers(2, 11), st.integers(2, 11)),
    st.sampled_from((2, 3, 4096)),
    st.integers(0, 2**31),
)
thresholds = st.floats(0, 2).map(scalar)
wavelets = st.sampled_from(list(WAVELETS))


@settings(deadline=None)
@given(plane=planes, threshold=thresholds, levels=st.integers(1, 5), wavelet=wavelets)
def test_turning_commutes(plane: Tensor, threshold: Tensor, levels: int, wavelet: str) -> None:
    result = denoise_wavelet(plane, threshold, levels, wavelet)
    assert_near(denoise_wavelet(plane.mT, threshold, levels, wavelet), result.mT)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**31),
    levels=st.integers(1, 3),
    sides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    threshold=thresholds,
    axes=st.sampled_from([(-1,), (-2,), (-1, -2)]),
)
def test_flipping_commutes_for_haar_on_whole_blocks(
    seed: int, levels: int, sides: tuple[int, int], threshold: Tensor, axes: tuple[int]
) -> None:
    plane = random_plane(1, 1, sides[0] << levels, sides[1] << levels, seed=seed)
    result = denoise_wavelet(plane, threshold, levels, "haar")
    flipped = denoise_wavelet(plane.flip(axes), threshold, levels, "haar")
    assert_near(flipped, result.flip(axes))


@settings(deadline=None)
@given(
    plane=planes,
    threshold=thresholds,
    wavelet=wavelets,
    gain=st.floats(0.1, 8),
    offset=st.floats(-2, 2),
)
def test_unit_and_zero_of_the_light_do_not_matter(
    plane: Tensor, threshold: Tensor, wavelet: str, gain: float, offset: float
) -> None:
    result = denoise_wavelet(plane, threshold, 3, wavelet)
    moved = denoise_wavelet(gain * plane + offset, gain * threshold, 3, wavelet)
    assert_near(moved, gain * result + offset)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), threshold=thresholds, levels=st.integers(1, 3))
def test_haar_shrinks_towards_the_mean(seed: int, threshold: Tensor, levels: int) -> None:
    # Orthogonal on whole blocks: the mean stays and no more than the energy that was there is left.
    plane = random_plane(1, 1, 16, 8, seed=seed)
    result = denoise_wavelet(plane, threshold, levels, "haar")
    assert_near(result.mean(), plane.mean())
    assert result.std() <= plane.std() + 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 0}, "levels must be 1 or more, got 0: try 2"),
        ({"levels": -3}, "levels must be 1 or more, got -3: try 2"),
        ({"wavelet": "db99"}, "unknown wavelet 'db99': choose from haar db2 sym4"),
    ],
)
def test_bad_argument_is_named(arguments: dict[str, int | str], message: str) -> None:
    with pytest.raises(InputError) as error:
        denoise_wavelet(torch.zeros(1, 1, 4, 4), torch.tensor(0.1), **arguments)
    assert str(error.value) == message
