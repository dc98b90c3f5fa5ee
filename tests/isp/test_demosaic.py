from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.errors import InputError
from raw2logit.isp import functional
from raw2logit.isp.functional import (
    bilinear_kernels,
    demosaic_bilinear,
    demosaic_malvar,
    demosaic_menon,
    malvar_kernels,
    mirror_pad,
    mosaic_of,
)
from tests.isp import reference
from tests.isp.data import (
    EDGE_CASES,
    PHOTOGRAPHS,
    Array,
    as_batch,
    as_image,
    masks,
    mosaic,
    photograph,
    random_mosaic,
    rolled,
    sample,
)
from tests.tolerance import DTYPES, assert_near

MARGIN_PX = 10

METHODS: dict[str, Callable[[Tensor, CFA], Tensor]] = {
    "bi": lambda raw, cfa: demosaic_bilinear(raw, bilinear_kernels(raw.dtype), cfa),
    "ma": lambda raw, cfa: demosaic_malvar(raw, malvar_kernels(raw.dtype), cfa),
    "me": demosaic_menon,
}

every_method = pytest.mark.parametrize("method", METHODS)
every_cfa = pytest.mark.parametrize("cfa", CFA_NAMES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
@every_cfa
@pytest.mark.parametrize("case", ["random", "random_float", *PHOTOGRAPHS])
@every_method
def test_interior_equals_colour_demosaicing(
    method: str, case: str, cfa: CFA, dtype: torch.dtype
) -> None:
    values = mosaic(case, cfa)
    expected = reference.COLOUR_DEMOSAICING[method](values, cfa)
    image = METHODS[method](as_batch(values, dtype), cfa)
    inside = slice(MARGIN_PX, -MARGIN_PX)
    assert image.dtype == dtype
    assert_near(image[..., inside, inside], as_image(expected, torch.float64)[..., inside, inside])


@every_dtype
@every_cfa
@pytest.mark.parametrize("case", ["random", "random_float", "coffee", *EDGE_CASES])
@every_method
def test_whole_image_equals_the_reference_with_mirrored_borders(
    method: str, case: str, cfa: CFA, dtype: torch.dtype
) -> None:
    values = mosaic(case, cfa)
    expected = reference.DEMOSAIC[method](values, cfa)
    assert_near(METHODS[method](as_batch(values, dtype), cfa), as_image(expected, torch.float64))


@every_cfa
def test_menon_without_refining_equals_colour_demosaicing(cfa: CFA) -> None:
    values = mosaic("china", cfa)
    expected = reference.COLOUR_DEMOSAICING["me"](values, cfa, refining_step=False)  # type: ignore[call-arg]
    image = demosaic_menon(as_batch(values, torch.float64), cfa, refine=False)
    inside = slice(MARGIN_PX, -MARGIN_PX)
    assert_near(image[..., inside, inside], as_image(expected, torch.float64)[..., inside, inside])
    assert not torch.allclose(image, demosaic_menon(as_batch(values, torch.float64), cfa))


@every_method
def test_quality_is_that_of_colour_demosaicing(method: str) -> None:
    def psnr_db(image: Array, truth: Array, margin_px: int) -> float:
        inside = slice(margin_px, len(truth) - margin_px)
        return float(-10 * np.log10(np.mean((image - truth)[inside, inside] ** 2)))

    own, others = [], []
    for name in PHOTOGRAPHS:
        truth = photograph(name, size=192)
        values = sample(truth, "RGGB")
        image = METHODS[method](as_batch(values, torch.float32), "RGGB")
        pixels = image[0].permute(1, 2, 0).double().numpy()
        other = reference.COLOUR_DEMOSAICING[method](values, "RGGB")
        own.append([psnr_db(pixels, truth, margin) for margin in (0, MARGIN_PX)])
        others.append([psnr_db(other, truth, margin) for margin in (0, MARGIN_PX)])
    (own_whole, own_inside), (other_whole, other_inside) = np.mean([own, others], axis=1)
    assert own_inside == pytest.approx(other_inside, abs=0.01)
    # It repeats the edge there, which mixes colours: mirrored borders are better.
    assert own_whole > other_whole - 0.01


@every_dtype
@every_cfa
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(2, 2), (4, 6), (16, 2), (24, 20)])
@every_method
def test_constant_mosaic_stays_constant_up_to_the_corner(
    method: str, shape: tuple[int, int], value: float, cfa: CFA, dtype: torch.dtype
) -> None:
    image = METHODS[method](torch.full((1, *shape), value, dtype=dtype), cfa)
    assert_near(image, torch.full((1, 3, *shape), value, dtype=torch.float64))


@every_cfa
@every_method
def test_grey_ramp_stays_a_grey_ramp_inside(method: str, cfa: CFA) -> None:
    ramp = torch.linspace(0.1, 0.4, 32, dtype=torch.float64)
    values = (ramp[:, None] + 1.5 * ramp)[None]
    image = METHODS[method](values, cfa)
    inside = slice(MARGIN_PX, -MARGIN_PX)
    expected = values[:, None].expand(-1, 3, -1, -1)
    assert_near(image[..., inside, inside], expected[..., inside, inside])


@every_dtype
@every_cfa
@pytest.mark.parametrize("case", ["random", "china", "bright_pixel", "2x2", "4x6"])
@every_method
def test_samples_are_kept_at_their_own_sites(
    method: str, case: str, cfa: CFA, dtype: torch.dtype
) -> None:
    values = mosaic(case, cfa)
    image = METHODS[method](as_batch(values, dtype), cfa)[0].permute(1, 2, 0)
    assert_near(image[torch.from_numpy(masks(cfa, values.shape))], torch.from_numpy(values).ravel())


@every_cfa
@every_method
def test_mosaic_to_rgb_to_mosaic_is_the_identity(method: str, cfa: CFA) -> None:
    raw = as_batch(random_mosaic(12, 18), torch.float64).repeat(2, 1, 1)
    assert_near(mosaic_of(METHODS[method](raw, cfa), cfa), raw)


@every_cfa
@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (1, 1)])
@every_method
def test_rolling_by_a_pixel_equals_another_cfa_name(
    method: str, down: int, right: int, cfa: CFA
) -> None:
    raw = as_batch(random_mosaic(40, 44), torch.float64)
    there = METHODS[method](raw.roll((down, right), (1, 2)), rolled(cfa, down, right))
    image = METHODS[method](raw, cfa).roll((down, right), (2, 3))
    # Around the seam of the roll and at the borders other pixels are neighbours.
    inside = slice(MARGIN_PX + 2, -MARGIN_PX - 2)
    assert_near(there[..., inside, inside], image[..., inside, inside])


@every_cfa
@pytest.mark.parametrize("axis", [1, 2])
@every_method
def test_flipping_equals_another_cfa_name_up_to_the_border(
    method: str, axis: int, cfa: CFA
) -> None:
    raw = as_batch(random_mosaic(14, 18), torch.float64)
    flipped = METHODS[method](raw.flip(axis), rolled(cfa, axis == 1, axis == 2))
    assert_near(flipped, METHODS[method](raw, cfa).flip(axis + 1))


@every_cfa
@every_method
def test_transposing_equals_another_cfa_name(method: str, cfa: CFA) -> None:
    raw = as_batch(random_mosaic(14, 18), torch.float64)
    transposed_cfa: CFA = {"GRBG": "GBRG", "GBRG": "GRBG"}.get(cfa, cfa)  # type: ignore[assignment]
    transposed = METHODS[method](raw.mT, transposed_cfa)
    assert_near(transposed, METHODS[method](raw, cfa).mT)


@pytest.mark.parametrize("shape", [(2, 2), (4, 6), (20, 24)])
@every_method
def test_mirroring_the_mosaic_first_changes_nothing(method: str, shape: tuple[int, int]) -> None:
    raw = as_batch(random_mosaic(*shape), torch.float64)
    padded = METHODS[method](mirror_pad(raw[:, None], 12)[:, 0], "GRBG")
    assert_near(padded[..., 12:-12, 12:-12], METHODS[method](raw, "GRBG"))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 6), (6, 2), (4, 6), (20, 24)])
@pytest.mark.parametrize("pad_px", [0, 1, 2, 5, 11])
def test_mirror_pad_equals_numpy(height: int, width: int, pad_px: int) -> None:
    values = random_mosaic(height, width)
    expected = np.pad(values, pad_px, mode="reflect")
    assert_near(mirror_pad(as_batch(values, torch.float64)[None], pad_px)[0, 0], expected)


@every_cfa
def test_mosaic_of_takes_each_colour_from_its_sites(cfa: CFA) -> None:
    image = photograph("flower", size=16)
    assert_near(mosaic_of(as_image(image, torch.float64), cfa)[0], sample(image, cfa))


def test_learned_kernels_are_used() -> None:
    raw = as_batch(random_mosaic(8, 8), torch.float64)
    bilinear, malvar = bilinear_kernels(torch.float64), malvar_kernels(torch.float64)
    assert_near(
        demosaic_bilinear(raw, 2 * bilinear, "RGGB"), 2 * demosaic_bilinear(raw, bilinear, "RGGB")
    )
    doubled = demosaic_malvar(raw, 2 * malvar, "RGGB")
    assert_near(mosaic_of(doubled, "RGGB"), raw)
    kept = as_image(masks("RGGB", (8, 8)).astype(float), torch.float64).bool()
    assert_near(doubled[~kept], 2 * demosaic_malvar(raw, malvar, "RGGB")[~kept])


@pytest.mark.parametrize("shape", [(5, 4), (4, 3), (0, 4)])
def test_odd_sizes_are_refused(shape: tuple[int, int]) -> None:
    mosaic = torch.rand(1, *shape)
    message = f"even height and width, got {shape[0]} x {shape[1]}: crop"
    for run in (
        lambda: functional.demosaic_bilinear(mosaic, functional.bilinear_kernels(), "RGGB"),
        lambda: functional.demosaic_malvar(mosaic, functional.malvar_kernels(), "RGGB"),
        lambda: functional.demosaic_menon(mosaic, "RGGB"),
        lambda: functional.subtract_black_level(mosaic, torch.zeros(4)),
    ):
        with pytest.raises(InputError, match=message):
            run()
