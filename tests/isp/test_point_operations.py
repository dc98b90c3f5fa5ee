import numpy as np
import pytest
import torch

from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.isp.functional import (
    apply_colour_matrix,
    balance_white,
    colour_sites,
    encode_gamma,
    mosaic_of,
    subtract_black_level,
)
from raw2logit.isp.functional.gamma import GRADIENT_FLOOR
from tests.isp.data import CAMERAS, as_batch, as_image, masks, mosaic, photograph, random_mosaic
from tests.tolerance import DTYPES, assert_near

every_cfa = pytest.mark.parametrize("cfa", CFA_NAMES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
@pytest.mark.parametrize("white_level", [None, 0.9])
@pytest.mark.parametrize("case", ["random", "coffee", "saturated", "black", "2x2", "4x6"])
def test_black_level_equals_numpy(case: str, white_level: float | None, dtype: torch.dtype) -> None:
    values = mosaic(case, "RGGB")
    levels = np.array([0.1, 0.02, 0.03, 0.0625])
    expected = np.empty_like(values)
    for site, level in enumerate(levels):
        row, column = divmod(site, 2)
        scale = 1.0 if white_level is None else white_level - level
        expected[row::2, column::2] = (values[row::2, column::2] - level) / scale
    white = None if white_level is None else torch.tensor(white_level, dtype=dtype)
    signal = subtract_black_level(
        as_batch(values, dtype), torch.from_numpy(levels).to(dtype), white
    )
    assert_near(signal[0], expected)


def test_white_level_becomes_one_and_black_zero() -> None:
    levels = torch.tensor([0.1, 0.02, 0.03, 0.0625], dtype=torch.float64)
    white = torch.tensor(0.9, dtype=torch.float64)
    black = levels.reshape(1, 2, 2).repeat(1, 2, 3)
    assert_near(subtract_black_level(black, levels, white), torch.zeros(1, 4, 6))
    saturated = torch.full_like(black, 0.9)
    assert_near(subtract_black_level(saturated, levels, white), torch.ones(1, 4, 6))


@every_dtype
@every_cfa
def test_white_balance_of_an_image_and_of_its_mosaic_agree(cfa: CFA, dtype: torch.dtype) -> None:
    pixels = photograph("flower", size=16)
    gains = np.array([-0.6567, 1.9673, 3.5304])
    image = as_image(pixels, dtype)
    own = torch.from_numpy(gains).to(dtype)
    assert_near(balance_white(image, own, cfa), as_image(pixels * gains, torch.float64))
    expected = ((pixels * gains) * masks(cfa, (16, 16))).sum(axis=-1)
    assert_near(balance_white(mosaic_of(image, cfa), own, cfa)[0], expected)


@every_dtype
@pytest.mark.parametrize("camera", CAMERAS)
def test_colour_matrix_equals_numpy(camera: str, dtype: torch.dtype) -> None:
    pixels = photograph("astronaut")
    matrix = np.array(CAMERAS[camera].colour_matrix)
    image = apply_colour_matrix(as_image(pixels, dtype), torch.from_numpy(matrix).to(dtype))
    assert_near(image, as_image(pixels @ matrix.T, torch.float64))


@every_cfa
def test_colour_sites_name_the_letters(cfa: CFA) -> None:
    assert "".join("RGB"[channel] for channel in colour_sites(cfa)) == cfa


@every_dtype
@pytest.mark.parametrize("gamma", [0.45, 1.0, 2.2, 3.0])
def test_gamma_equals_numpy(gamma: float, dtype: torch.dtype) -> None:
    pixels = photograph("hubble") * 1.5 - 0.25
    image = as_image(pixels, dtype)
    expected = np.clip(pixels, 0, 1) ** (1 / gamma)
    encoded = encode_gamma(image, torch.tensor(gamma, dtype=dtype))
    assert_near(encoded, as_image(expected, torch.float64))
    with torch.no_grad():
        assert torch.equal(encode_gamma(image, torch.tensor(gamma, dtype=dtype)), encoded)


@every_dtype
def test_gradient_of_gamma_is_finite_at_and_below_zero(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    values = [-1.0, -tiny, -0.0, 0.0, tiny, 1e-30, GRADIENT_FLOOR / 2, GRADIENT_FLOOR * 2, 1.0, 2.0]
    image = torch.tensor(values, dtype=dtype).reshape(1, 1, 1, -1).requires_grad_()
    gamma = torch.tensor(2.2, dtype=dtype, requires_grad=True)
    encode_gamma(image, gamma).sum().backward()
    assert image.grad is not None
    assert gamma.grad is not None
    slopes = image.grad.ravel()
    assert slopes.isfinite().all()
    assert gamma.grad.isfinite()
    assert (slopes[:7] == 0).all()
    assert slopes[7] == pytest.approx((2e-5) ** (1 / 2.2 - 1) / 2.2, rel=1e-4)
    assert slopes[-1] == 0


def test_identity_settings_are_the_identity() -> None:
    raw = as_batch(random_mosaic(6, 8), torch.float64)
    image = as_image(photograph("coffee"), torch.float64)
    one = torch.ones(3, dtype=torch.float64)
    assert torch.equal(subtract_black_level(raw, torch.zeros(4, dtype=torch.float64)), raw)
    assert torch.equal(balance_white(raw, one, "GBRG"), raw)
    assert torch.equal(balance_white(image, one, "GBRG"), image)
    assert torch.equal(apply_colour_matrix(image, torch.eye(3, dtype=torch.float64)), image)
    assert_near(encode_gamma(image, one[0]), image)
