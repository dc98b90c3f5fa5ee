import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raw2logit import Camera, InputError
from raw2logit.camera import FULL_SCALE_DN
from raw2logit.sensor import (
    INTENSITIES,
    Law,
    check_bits,
    expose,
    noise_generator,
    quantise,
    reduce_exposure,
)

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


DRONE = dataclasses.replace(Camera.preset("drone"), read_noise_electrons=3.2)
CAMERAS = {
    "drone": DRONE,
    # Rounding is an eighth of the variance in the dark.
    "coarse": dataclasses.replace(DRONE, read_noise_electrons=1.5),
    "14 bits": Camera(
        "14 bits",
        bits=14,
        full_scale_electrons=50_000.0,
        read_noise_electrons=6.0,
        black_level=(0.031, 0.03, 0.032, 0.033),
    ),
    "16 bits": Camera(
        "16 bits",
        bits=16,
        full_scale_electrons=90_000.0,
        read_noise_electrons=2.4,
        black_level=(0.008, 0.009, 0.01, 0.011),
        white_level=0.98,
    ),
}
PIXELS = (256, 512)  # 2 % of a variance are five standard errors
LEVELS = 0.8 / 10.0 ** np.arange(5)  # four decades


def simulate(
    electrons: npt.ArrayLike, camera: Camera, seed: int, pixels: tuple[int, int] = PIXELS
) -> torch.Tensor:
    """Take flat fields, one a level, with numpy alone."""
    rng = np.random.default_rng(seed)
    fields = np.ones(pixels) * np.reshape(electrons, (-1, 1, 1))
    signal = rng.poisson(fields) + rng.normal(0, camera.read_noise_electrons, fields.shape)
    black = np.tile(np.reshape(camera.black_level, (2, 2)), (pixels[0] // 2, pixels[1] // 2))
    fraction = signal / camera.full_scale_electrons + black
    fraction = np.minimum(fraction, camera.white_level or 1)
    step = 2 ** (16 - camera.bits)
    numbers = np.clip(np.rint(fraction * 65535 / step), 0, 2**camera.bits - 1) * step
    return torch.from_numpy((numbers / 65535).astype(np.float32))


def electrons_of(mosaic: torch.Tensor, camera: Camera) -> npt.NDArray[np.float64]:
    """Return electrons above black, ``(B, H, W)``."""
    black = np.tile(np.reshape(camera.black_level, (2, 2)), [side // 2 for side in PIXELS])
    return (mosaic.double().numpy() - black) * camera.full_scale_electrons


def follows_the_curve(mosaic: torch.Tensor, electrons: npt.NDArray, camera: Camera) -> None:
    """Mean and variance are those of the photon transfer curve within 2 %."""
    got = electrons_of(mosaic, camera)
    step = camera.full_scale_electrons / 65535 * 2 ** (16 - camera.bits)
    variance = electrons + camera.read_noise_electrons**2 + step**2 / 12
    # A level below the noise is not known to 2 % by so many pixels.
    noise_of_mean = 4 * np.sqrt(variance / got[0].size)
    wrong = np.abs(got.mean(axis=(1, 2)) - electrons)
    # Rounding twice moves it by some hundredths of a step.
    assert (wrong <= np.maximum(0.02 * electrons, noise_of_mean + 0.03 * step)).all()
    np.testing.assert_allclose(got.var(axis=(1, 2)), variance, rtol=0.02)


@pytest.mark.parametrize("intensity", [*INTENSITIES, 0.33])
@pytest.mark.parametrize("name", CAMERAS)
class TestFourDecades:
    def test_expose(self, name: str, intensity: float) -> None:
        camera = CAMERAS[name]
        light = torch.tensor(LEVELS, dtype=torch.float32)[:, None, None].expand(-1, *PIXELS)
        generator = torch.Generator().manual_seed(1)
        mosaic = expose(light, camera, intensity=intensity, generator=generator)
        follows_the_curve(mosaic, LEVELS * intensity * camera.full_scale_electrons, camera)

    @pytest.mark.parametrize("law", ["binomial", "gaussian"])
    def test_reduce_exposure(self, name: str, intensity: float, law: Law) -> None:
        camera = CAMERAS[name]
        electrons = LEVELS * camera.full_scale_electrons
        full = simulate(electrons, camera, seed=2)
        follows_the_curve(full, electrons, camera)
        generator = torch.Generator().manual_seed(3)
        reduced = reduce_exposure(full, camera, intensity, law=law, generator=generator)
        follows_the_curve(reduced, electrons * intensity, camera)
        numbers = reduced.double() * 65535 / 2 ** (16 - camera.bits)
        assert (numbers - numbers.round()).abs().max() < 0.01


def distance(first: npt.NDArray, second: npt.NDArray) -> float:
    """Kolmogorov and Smirnov's, in units of what two samples of one law stay below at 1e-3."""
    result = stats.ks_2samp(first.ravel(), second.ravel(), method="asymp")
    return float(result.statistic) / (1.95 * (2 / first.size) ** 0.5)


# One electron is eight digital numbers.
COUNTER = Camera(
    "counter",
    bits=16,
    full_scale_electrons=65535 / 8,
    read_noise_electrons=0.0,
    black_level=(64 / 65535,) * 4,
)


@pytest.mark.parametrize("electrons", [1.0, 4.0, 30.0])
@pytest.mark.parametrize("intensity", [0.75, 0.25, 0.05])
class TestDistribution:
    def test_thinned_electrons_are_those_of_a_short_exposure(
        self, electrons: float, intensity: float
    ) -> None:
        full = simulate(electrons, COUNTER, seed=4)
        direct = electrons_of(simulate(electrons * intensity, COUNTER, seed=5), COUNTER)
        generator = torch.Generator().manual_seed(6)
        reduced = electrons_of(
            reduce_exposure(full, COUNTER, intensity, generator=generator), COUNTER
        )
        counts = reduced.round(1)
        assert np.array_equal(counts, counts.round())
        assert distance(counts, direct.round()) < 1
        # Third and fourth moments, which the gaussian law has not.
        for moment, error in ((stats.skew, 0.05), (stats.kurtosis, 0.25)):
            expected = moment(direct, axis=None)
            assert moment(reduced, axis=None) == pytest.approx(expected, rel=0.1, abs=error)

    def test_read_noise_too(self, electrons: float, intensity: float) -> None:
        camera = dataclasses.replace(COUNTER, read_noise_electrons=2.0, black_level=(0.02,) * 4)
        full = simulate(electrons, camera, seed=7)
        direct = electrons_of(simulate(electrons * intensity, camera, seed=8), camera)
        generator = torch.Generator().manual_seed(9)
        reduced = electrons_of(
            reduce_exposure(full, camera, intensity, generator=generator), camera
        )
        assert reduced.mean() == pytest.approx(direct.mean(), abs=0.04)
        assert reduced.var() == pytest.approx(direct.var(), rel=0.02)
        assert distance(reduced, direct) < 3  # less than 1 % of the pixels are on the wrong side


def test_the_gaussian_law_is_no_law_for_few_electrons() -> None:
    full = simulate(4.0, COUNTER, seed=4)
    direct = electrons_of(simulate(1.0, COUNTER, seed=5), COUNTER)
    generator = torch.Generator().manual_seed(6)
    reduced = electrons_of(
        reduce_exposure(full, COUNTER, 0.25, law="gaussian", generator=generator), COUNTER
    )
    assert distance(reduced, direct) > 10


@pytest.mark.parametrize("law", ["binomial", "gaussian"])
class TestReduceExposure:
    def test_pixels_keep_what_they_have_in_common(self, law: Law) -> None:
        full = simulate(1000.0, COUNTER, seed=1)
        for intensity in (0.75, 0.1):
            generator = torch.Generator().manual_seed(2)
            reduced = reduce_exposure(full, COUNTER, intensity, law=law, generator=generator)
            pair = np.corrcoef(full.ravel().numpy(), reduced.ravel().numpy())
            assert pair[0, 1] == pytest.approx(intensity**0.5, abs=0.01)

    @pytest.mark.parametrize("name", CAMERAS)
    def test_all_of_the_light_changes_nothing(self, law: Law, name: str) -> None:
        camera = CAMERAS[name]
        full = simulate([1.0, 500.0, 1e6], camera, seed=1, pixels=(32, 32))
        for intensity in (1, 1.0, torch.tensor(1.0), torch.ones(3)):
            torch.testing.assert_close(
                reduce_exposure(full, camera, intensity, law=law), full, atol=1e-7, rtol=0
            )
        exact = reduce_exposure(full, camera, 1.0, law=law, quantised=False)
        torch.testing.assert_close(exact, full, atol=1e-5, rtol=0)

    def test_twice_a_half_is_a_quarter(self, law: Law) -> None:
        electrons = LEVELS * DRONE.full_scale_electrons
        generator = torch.Generator().manual_seed(3)
        half = reduce_exposure(
            simulate(electrons, DRONE, seed=2), DRONE, 0.5, law=law, generator=generator
        )
        quarter = reduce_exposure(half, DRONE, 0.5, law=law, generator=generator)
        follows_the_curve(quarter, electrons / 4, DRONE)

    def test_every_image_has_its_own_intensity(self, law: Law) -> None:
        electrons = np.full(4, 5000.0)
        intensities = torch.tensor([1.0, 0.5, 0.1, 0.01], dtype=torch.float64)
        full = simulate(electrons, DRONE, seed=2)
        generator = torch.Generator().manual_seed(3)
        reduced = reduce_exposure(full, DRONE, intensities, law=law, generator=generator)
        assert reduced.dtype == torch.float32
        follows_the_curve(reduced, electrons * intensities.numpy(), DRONE)

    def test_what_was_saturated_comes_out_grey(self, law: Law) -> None:
        for camera in (DRONE, CAMERAS["16 bits"]):
            top = quantise(torch.tensor(camera.white_level or 1.0), camera.bits)
            full = simulate(1e7, camera, seed=1, pixels=(64, 64))
            assert full.eq(top).all()
            black = np.mean(camera.black_level)
            generator = torch.Generator().manual_seed(2)
            reduced = reduce_exposure(full, camera, 0.5, law=law, generator=generator)
            assert reduced.mean().item() == pytest.approx((top.item() + black) / 2, rel=0.01)
            nearly = reduce_exposure(full, camera, 0.99995, law=law, generator=generator)
            assert nearly.max() == top
            assert nearly.mean() < top

    def test_black_stays_at_every_site(self, law: Law) -> None:
        camera = dataclasses.replace(
            CAMERAS["16 bits"], read_noise_electrons=0.0, black_level=(0.01, 0.02, 0.03, 0.04)
        )
        black = torch.tensor(camera.black_level)
        dark = quantise(black, 16).reshape(2, 2).repeat(3, 4)
        for intensity in (0.9, 0.3, 0.01):
            reduced = reduce_exposure(dark, camera, intensity, law=law)
            torch.testing.assert_close(reduced, dark, atol=1.1 / 65535, rtol=0)

    def test_a_generator_decides_and_nothing_else_changes(self, law: Law) -> None:
        full = simulate(100.0, DRONE, seed=1, pixels=(16, 16))
        before, state = full.clone(), torch.get_rng_state()
        first, again, other = (
            reduce_exposure(
                full, DRONE, 0.5, law=law, generator=torch.Generator().manual_seed(seed)
            )
            for seed in (5, 5, 6)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.equal(full, before)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (3, 2, 2), (0, 4, 6)])
    def test_shape_and_dtype_stay(self, law: Law, dtype: torch.dtype, shape: tuple) -> None:
        full = torch.rand(shape, dtype=dtype)
        for quantised in (True, False):
            reduced = reduce_exposure(full, DRONE, 0.5, law=law, quantised=quantised)
            assert reduced.shape == shape
            assert reduced.dtype == dtype
            assert ((reduced >= 0) & (reduced <= 1)).all()


def noise_like(mosaic: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.empty_like(mosaic).normal_(generator=generator)


class TestGaussian:
    def test_a_batch_is_its_images_one_by_one(self) -> None:
        full = simulate([0.5, 50.0, 5000.0], DRONE, seed=1, pixels=(8, 10))
        noise = noise_like(full)
        intensities = torch.tensor([0.9, 0.1, 0.4])
        reduced = reduce_exposure(full, DRONE, intensities, law="gaussian", noise=noise)
        for index, alone in enumerate(full):
            for intensity in (intensities[index], float(intensities[index])):
                single = reduce_exposure(
                    alone, DRONE, intensity, law="gaussian", noise=noise[index]
                )
                assert torch.equal(single, reduced[index])

    @pytest.mark.parametrize("name", CAMERAS)
    def test_gradcheck(self, name: str) -> None:
        camera = CAMERAS[name]
        mosaic = simulate([20.0, 2000.0], camera, seed=1, pixels=(4, 4)).double()
        noise = noise_like(mosaic)
        intensity = torch.tensor([0.3, 0.8], dtype=torch.float64)

        def reduce(mosaic: torch.Tensor, intensity: torch.Tensor) -> torch.Tensor:
            return reduce_exposure(
                mosaic, camera, intensity, law="gaussian", quantised=False, noise=noise
            )

        for value in (intensity, intensity[0]):
            inputs = (mosaic.requires_grad_(), value.clone().requires_grad_())
            assert torch.autograd.gradcheck(reduce, inputs, eps=1e-7, atol=1e-6)

    def test_rounding_passes_the_gradient(self) -> None:
        mosaic = simulate([20.0, 2000.0], DRONE, seed=1, pixels=(4, 4)).double().requires_grad_()
        intensity = torch.tensor(0.3, requires_grad=True)
        gradients = []
        for quantised in (True, False):
            reduced = reduce_exposure(
                mosaic,
                DRONE,
                intensity,
                law="gaussian",
                quantised=quantised,
                noise=noise_like(mosaic),
            )
            gradients.append(torch.autograd.grad(reduced.square().sum(), (mosaic, intensity)))
            assert all(gradient.isfinite().all() for gradient in gradients[-1])
            assert gradients[-1][1] != 0
        for rounded, exact in zip(*gradients, strict=True):
            torch.testing.assert_close(rounded, exact, rtol=0.02, atol=1e-3)

    def test_gradients_stay_finite_where_no_noise_is_missing(self) -> None:
        mosaic = torch.zeros(2, 4, 4, requires_grad=True)
        for value in (1.0, 0.999999, 1e-6):
            intensity = torch.tensor(value, requires_grad=True)
            reduced = reduce_exposure(mosaic, DRONE, intensity, law="gaussian", quantised=False)
            for gradient in torch.autograd.grad(reduced.sum(), (mosaic, intensity)):
                assert gradient.isfinite().all()

    def test_same_noise_makes_it_smooth_in_the_intensity(self) -> None:
        full = simulate(2000.0, DRONE, seed=1, pixels=(16, 16)).double()
        values = torch.stack(
            [
                reduce_exposure(
                    full, DRONE, s, law="gaussian", quantised=False, noise=noise_like(full)
                )
                for s in torch.linspace(0.2, 0.8, 61)
            ]
        )
        assert values.diff(n=2, dim=0).abs().max() < 1e-4


MOSAIC = torch.full((2, 4, 6), 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"camera": Camera.preset("microscopy")}, "no full_scale_electrons.*data calibrate"),
        ({"camera": Camera.preset("drone")}, "no read_noise_electrons.*data calibrate"),
        ({"mosaic": MOSAIC.to(torch.uint8)}, r"got torch.uint8: divide by 2\^bits - 1"),
        ({"mosaic": MOSAIC[:, :3]}, r"even H and W, got \(2, 3, 6\)"),
        ({"mosaic": MOSAIC[None]}, r"\(B, H, W\) with even H and W, got \(1, 2, 4, 6\)"),
        ({"law": "poisson"}, "unknown law 'poisson': choose binomial or gaussian"),
        ({"intensity": 0.0}, "above 0 and at most 1, got 0.0"),
        ({"intensity": 1.01}, "at most 1, got 1.01: light that was not recorded"),
        ({"intensity": float("nan")}, "at most 1, got nan"),
        ({"intensity": torch.tensor([0.5, 0.0])}, "at most 1, got tensor"),
        ({"intensity": torch.ones(3)}, r"one an image, got \(3,\) for a mosaic \(2, 4, 6\)"),
        ({"intensity": torch.ones(2, 1)}, r"one an image, got \(2, 1\)"),
        ({"intensity": torch.ones(4), "mosaic": MOSAIC[0]}, r"got \(4,\) for a mosaic \(4, 6\)"),
        ({"noise": MOSAIC[0]}, r"noise must be \(2, 4, 6\), got \(4, 6\)"),
        ({"law": "binomial", "noise": MOSAIC}, "give the binomial law a generator"),
        ({"law": "binomial", "mosaic": MOSAIC.clone().requires_grad_()}, "ask for law='gaussian'"),
        (
            {"law": "binomial", "intensity": torch.tensor(0.5, requires_grad=True)},
            "ask for law='gaussian'",
        ),
    ],
)
def test_reductions_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    given = {"mosaic": MOSAIC, "camera": DRONE, "intensity": 0.5, "law": "gaussian", **arguments}
    with pytest.raises(InputError, match=message):
        reduce_exposure(**given)


def test_the_binomial_law_works_where_gradients_are_off() -> None:
    mosaic = MOSAIC.clone().requires_grad_()
    with torch.no_grad():
        assert not reduce_exposure(mosaic, DRONE, 0.5).requires_grad


def test_noise_depends_on_all_its_seeds() -> None:
    seeds = [(0, 0), (0, 1), (1, 0), (1, 1), (2**63, 5), (5, 2**63)]
    drawn = [torch.rand(4, generator=noise_generator(seed)) for seed in seeds]
    again = [torch.rand(4, generator=noise_generator(seed)) for seed in seeds]
    assert all(map(torch.equal, drawn, again))
    assert len({tuple(values.tolist()) for values in drawn}) == len(seeds)


def noisy(bits: int, *, level: float = 0.02) -> torch.Tensor:
    camera = dataclasses.replace(CAMERA, bits=bits)
    light = torch.full((1, 64, 64), level)
    return expose(light, camera, generator=torch.Generator().manual_seed(0))[0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_bits_as_stated(bits: int) -> None:
    camera = dataclasses.replace(CAMERA, bits=bits)
    check_bits(noisy(bits), camera)
    check_bits(torch.full((64, 64), 0.3), camera)  # tells nothing
    # As LibRaw's numbers become fractions: n / (2^bits - 1), which is no multiple of a step.
    numbers = (noisy(bits) * FULL_SCALE_DN).round() / 2 ** (16 - bits)
    check_bits(numbers / (2**bits - 1), camera)


def test_fewer_bits_than_stated() -> None:
    with pytest.raises(InputError, match=r"multiples of 16, so the converter has 12 bits.*states"):
        check_bits(noisy(12), CAMERA)


def test_bits_at_the_bottom_of_sixteen() -> None:
    camera = dataclasses.replace(CAMERA, bits=12)
    with pytest.raises(InputError, match=r"no value reaches 4096 of 65535.*multiply .* by 16"):
        check_bits(noisy(12) / 16, camera)
