import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raw2logit import Camera, InputError
from raw2logit.camera import FULL_SCALE_DN
from raw2logit.sensor import INTENSITIES, expose, quantise

CAMERA = Camera(
    "test",
    bits=16,
    full_scale_electrons=20_000.0,
    read_noise_electrons=5.0,
    black_level=(0.05,) * 4,
)
SIDE = 512


def flat(level: float, camera: Camera, *, intensity: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Expose a flat field; return digital numbers of the converter above black, in float64."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.full((1, SIDE, SIDE), level)
    mosaic = expose(light, camera, intensity=intensity, generator=generator)
    step = 2 ** (16 - camera.bits)
    return mosaic.double() * FULL_SCALE_DN / step - camera.black_level[0] * FULL_SCALE_DN / step


# With fewer bits the read noise is below a digital number, and rounding is no uniform noise.
@pytest.mark.parametrize("bits", [12, 14, 16])
@pytest.mark.parametrize("level", [1e-4, 1e-3, 1e-2, 1e-1, 0.9])
def test_photon_transfer_curve(level: float, bits: int) -> None:
    camera = dataclasses.replace(CAMERA, bits=bits)
    numbers = flat(level, camera)
    # Electrons a digital number: (2^bits - 1) numbers for the full scale, up to 1 / 65535.
    gain = camera.full_scale_electrons / (FULL_SCALE_DN / 2 ** (16 - bits))
    electrons = level * camera.full_scale_electrons
    variance = (electrons + camera.read_noise_electrons**2) / gain**2 + 1 / 12
    # Three standard errors of a mean of 262 144 pixels.
    assert numbers.mean().item() == pytest.approx(
        electrons / gain, rel=1e-4, abs=3 * (variance**0.5) / SIDE
    )
    assert numbers.var().item() == pytest.approx(variance, rel=0.03)


@pytest.mark.parametrize("intensity", INTENSITIES)
def test_intensity_scales_the_light_and_not_the_read_noise(intensity: float) -> None:
    numbers = flat(0.5, CAMERA, intensity=intensity)
    gain = CAMERA.full_scale_electrons / FULL_SCALE_DN
    electrons = 0.5 * intensity * CAMERA.full_scale_electrons
    assert numbers.mean().item() == pytest.approx(electrons / gain, rel=2e-3)
    assert numbers.var().item() == pytest.approx((electrons + 25) / gain**2 + 1 / 12, rel=0.03)


def test_without_light_only_read_noise_is_left() -> None:
    numbers = flat(0.0, CAMERA)
    gain = CAMERA.full_scale_electrons / FULL_SCALE_DN
    assert numbers.mean().item() == pytest.approx(0, abs=0.15)
    assert numbers.std().item() == pytest.approx(5 / gain, rel=0.01)


@pytest.mark.parametrize("read_noise", [None, 0.0])
def test_without_read_noise_the_dark_is_black(read_noise: float | None) -> None:
    camera = dataclasses.replace(
        CAMERA, read_noise_electrons=read_noise, black_level=(0.01, 0.02, 0.03, 0.04)
    )
    mosaic = expose(torch.zeros(2, 4, 6), camera)
    expected = torch.tensor([[0.01, 0.02], [0.03, 0.04]]).repeat(2, 3)
    assert mosaic.shape == (2, 4, 6)
    torch.testing.assert_close(mosaic, expected.expand(2, 4, 6), atol=0.5 / 65535 + 1e-7, rtol=0)


def test_negative_light_is_dark() -> None:
    camera = dataclasses.replace(CAMERA, read_noise_electrons=None, black_level=(0.0,) * 4)
    assert expose(torch.full((1, 4, 4), -3.0), camera).eq(0).all()


def test_pixels_are_independent() -> None:
    numbers = flat(0.3, CAMERA)[0]
    numbers = (numbers - numbers.mean()) / numbers.std()
    for shift in ((0, 1), (1, 0), (0, 2), (2, 0), (2, 2)):
        assert (numbers * numbers.roll(shift, (0, 1))).mean().abs() < 4 / SIDE
    assert flat(0.3, CAMERA, seed=1).sub(flat(0.3, CAMERA, seed=2)).var() > 0


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_saturation(bits: int) -> None:
    camera = dataclasses.replace(CAMERA, bits=bits)
    top = 65536 - 2 ** (16 - bits)
    mosaic = expose(torch.full((1, 8, 8), 5.0), camera)
    assert (mosaic * 65535).round().unique().tolist() == [top]


def test_drone_values_are_12_bits_left_justified() -> None:
    generator = torch.Generator().manual_seed(0)
    light = torch.linspace(0, 1.3, 64 * 64).reshape(1, 64, 64)
    mosaic = expose(light, Camera.preset("drone"), generator=generator)
    numbers = mosaic.double() * 65535
    assert mosaic.dtype == torch.float32
    torch.testing.assert_close(numbers, numbers.round(), atol=1e-2, rtol=0)
    assert (numbers.round() % 16 == 0).all()
    assert mosaic.max() == torch.tensor(65520 / 65535)
    assert len(numbers.round().unique()) > 1000


def test_a_generator_decides_and_the_global_one_stays() -> None:
    light = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(3))
    state = torch.get_rng_state()
    first = expose(light, CAMERA, generator=torch.Generator().manual_seed(5))
    again = expose(light, CAMERA, generator=torch.Generator().manual_seed(5))
    other = expose(light, CAMERA, generator=torch.Generator().manual_seed(6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_light_is_not_changed() -> None:
    light = torch.full((1, 4, 4), -0.5)
    expose(light, CAMERA)
    assert light.eq(-0.5).all()


def test_a_camera_without_gain() -> None:
    with pytest.raises(InputError, match=r"'microscopy' has no full_scale_electrons.*replace"):
        expose(torch.ones(1, 4, 4), Camera.preset("microscopy"))


@pytest.mark.parametrize("intensity", [0.0, -1.0, float("nan")])
def test_intensities_that_are_none(intensity: float) -> None:
    with pytest.raises(InputError, match="intensity must be above 0"):
        expose(torch.ones(1, 4, 4), CAMERA, intensity=intensity)


@given(
    values=st.lists(st.floats(-0.5, 1.5, width=32), min_size=1, max_size=20),
    bits=st.integers(1, 16),
)
def test_quantising(values: list[float], bits: int) -> None:
    light = torch.tensor(values, dtype=torch.float64)
    step = 2 ** (16 - bits)
    result = quantise(light, bits)
    numbers = result * 65535
    assert (numbers.round() % step == 0).all()
    torch.testing.assert_close(numbers, numbers.round(), atol=1e-6, rtol=0)
    assert torch.equal(quantise(result, bits), result)
    top = (65536 - step) / 65535
    within = light.clamp(0, top)
    assert ((result - within).abs() <= step / 2 / 65535 + 1e-9).all()
