"""The contract of a step, run over the whole registry, and what is particular to each step."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch

from raw2logit import InputError
from raw2logit.camera import Camera
from raw2logit.cfa import CFA_NAMES
from raw2logit.isp import FAMILIES, STEP_CHECKS, Step, step_classes, steps
from raw2logit.isp.contract import Build
from tests.isp.data import OTHER_CAMERA
from tests.tolerance import DEVICES, assert_near

DELTA = ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))
NEUTRAL = Camera(name="neutral")

PARAMETERS = {
    steps.BlackLevel: (4,),
    steps.BilinearDemosaic: (27,),
    steps.MalvarDemosaic: (100,),
    steps.MenonDemosaic: (),
    steps.WhiteBalance: (3,),
    steps.ColourMatrix: (9,),
    steps.SharpenFilter: (9,),
    steps.UnsharpMask: (1, 1),
    steps.MedianDenoise: (),
    steps.GaussianDenoise: (1,),
    steps.KernelDenoise: (25,),
    steps.FFTLowPass: (1,),
    steps.TotalVariationDenoise: (1,),
    steps.BilateralDenoise: (1, 1),
    steps.NonLocalMeansDenoise: (1,),
    steps.WaveletDenoise: (1,),
    steps.Gamma: (1,),
}

IDENTITIES: dict[str, Callable[[torch.dtype], Step]] = {
    "black_level": lambda dtype: steps.BlackLevel(NEUTRAL, dtype),
    "white_balance": lambda dtype: steps.WhiteBalance(NEUTRAL, dtype),
    "colour_matrix": lambda dtype: steps.ColourMatrix(NEUTRAL, dtype),
    "sharpen_filter": lambda dtype: steps.SharpenFilter(DELTA, dtype),
    "unsharp_mask": lambda dtype: steps.UnsharpMask(amount=0.0, dtype=dtype),
    "gaussian": lambda dtype: steps.GaussianDenoise(1e-3, dtype),
    "kernel": lambda dtype: steps.KernelDenoise(1e-3, dtype),
    "fft_low_pass": lambda dtype: steps.FFTLowPass(1e6, dtype=dtype),
    "total_variation": lambda dtype: steps.TotalVariationDenoise(1e-12, dtype=dtype),
    "bilateral": lambda dtype: steps.BilateralDenoise(1e-3, 1.0, dtype),
    "non_local_means": lambda dtype: steps.NonLocalMeansDenoise(1e-6, dtype=dtype),
    "wavelet": lambda dtype: steps.WaveletDenoise(1e-12, dtype=dtype),
    "gamma": lambda dtype: steps.Gamma(1.0, dtype),
}


STEPS_AND_CFAS = [
    pytest.param(step, cfa, id=f"{step.__name__}-{cfa}")
    for step in step_classes()
    for cfa in (CFA_NAMES[:1] if step.takes == "nothing" else CFA_NAMES)
]


@pytest.mark.parametrize(("step", "cfa"), STEPS_AND_CFAS)
@pytest.mark.parametrize("check", STEP_CHECKS)
def test_contract(step: type[Step], check: str, cfa: str) -> None:
    camera = replace(OTHER_CAMERA, cfa=cfa)  # type: ignore[arg-type]
    build: Build = partial(step.for_camera, camera)
    STEP_CHECKS[check](build)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("step", step_classes(), ids=lambda step: step.__name__)
def test_moves_to_a_device(step: type[Step], device: str) -> None:
    built = step.for_camera(OTHER_CAMERA).eval().to(device)
    shape = (2, 8, 10) if step.domain == "mosaic" else (2, 3, 8, 10)
    values = 0.1 + 0.8 * torch.rand(shape)
    result = built(values.to(device))
    assert result.device.type == torch.device(device).type
    assert_near(result, built.cpu()(values))


def test_every_step_is_counted() -> None:
    beside_cameras = {steps.UnetPlusPlus, steps.AdditiveLayer}
    assert {*PARAMETERS, *beside_cameras} == set(step_classes())


@pytest.mark.parametrize("step", PARAMETERS, ids=lambda step: step.__name__)
def test_number_of_parameters(step: type[Step]) -> None:
    built = step.for_camera(OTHER_CAMERA)
    assert tuple(parameter.numel() for parameter in built.parameters()) == PARAMETERS[step]
    assert built.family in FAMILIES


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_setting_is_the_identity(name: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    shape = (2, 6, 8) if name == "black_level" else (2, 3, 6, 8)
    values = torch.rand(shape, generator=generator, dtype=dtype)
    assert_near(IDENTITIES[name](dtype)(values), values)


def test_free_kernel_starts_as_the_gaussian() -> None:
    image = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))
    assert_near(steps.KernelDenoise()(image), steps.GaussianDenoise()(image))


def test_white_balance_of_a_mosaic() -> None:
    step = steps.WhiteBalance(OTHER_CAMERA, torch.float64)
    mosaic = torch.rand(2, 6, 8, dtype=torch.float64)
    result = step(mosaic)
    red, green, blue = OTHER_CAMERA.white_balance  # the CFA is GBRG
    assert_near(result[:, 0::2, 0::2], mosaic[:, 0::2, 0::2] * green)
    assert_near(result[:, 0::2, 1::2], mosaic[:, 0::2, 1::2] * blue)
    assert_near(result[:, 1::2, 0::2], mosaic[:, 1::2, 0::2] * red)
    assert_near(result[:, 1::2, 1::2], mosaic[:, 1::2, 1::2] * green)


@pytest.mark.parametrize(
    ("build", "parameter", "natural"),
    [
        (steps.UnsharpMask, "log_radius_px", "radius_px"),
        (steps.GaussianDenoise, "log_sigma_px", "sigma_px"),
        (steps.FFTLowPass, "log_cutoff", "cutoff"),
        (steps.TotalVariationDenoise, "log_weight", "weight"),
        (steps.BilateralDenoise, "log_sigma_px", "sigma_px"),
        (lambda value: steps.BilateralDenoise(1.0, value), "log_sigma_value", "sigma_value"),
        (steps.NonLocalMeansDenoise, "log_strength", "strength"),
        (steps.WaveletDenoise, "log_threshold", "threshold"),
        (steps.Gamma, "log_gamma", "gamma"),
    ],
)
def test_natural_units_stay_positive_while_they_learn(
    build: Callable[[float], Step], parameter: str, natural: str
) -> None:
    step = build(0.7)
    assert getattr(step, natural).item() == pytest.approx(0.7)
    with torch.no_grad():
        getattr(step, parameter).sub_(20.0)
    assert 0.5 * math.exp(-20) < getattr(step, natural) < 1e-8
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=f"must be positive, got {value}"):
            build(value)


def test_supports_follow_the_sigma_they_were_made_with() -> None:
    assert steps.UnsharpMask(1.5).support_px == 6
    assert steps.GaussianDenoise(0.7).support_px == 3
    assert steps.BilateralDenoise(2.0).support_px == 5


def test_white_level_is_a_buffer_that_saves_and_moves() -> None:
    step = steps.BlackLevel(OTHER_CAMERA)
    assert set(step.state_dict()) == {"black_level", "white_level"}
    assert set(steps.BlackLevel(NEUTRAL).state_dict()) == {"black_level"}
    assert step.double().white_level is not None
    assert step.white_level.dtype == torch.float64


@pytest.mark.parametrize("kernel", [((1.0, 2.0), (3.0, 4.0)), ((1.0, 2.0, 3.0),)])
def test_kernels_that_have_no_middle_are_refused(kernel: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(InputError, match="a sharpening kernel is square and odd, got"):
        steps.SharpenFilter(kernel)


class TestNeural:
    def test_encoders_from_elsewhere_are_refused(self) -> None:
        with pytest.raises(InputError, match="is none of segmentation-models-pytorch's own"):
            steps.UnetPlusPlus("RGGB", encoder="tu-hf-hub:someone/something")

    def test_seed_alone_decides_the_weights(self) -> None:
        before = torch.random.get_rng_state()
        first, second = steps.UnetPlusPlus("RGGB"), steps.UnetPlusPlus("RGGB")
        other = steps.UnetPlusPlus("RGGB", seed=1)
        assert torch.equal(torch.random.get_rng_state(), before)
        mosaic = torch.rand(1, 32, 32)
        assert torch.equal(first.eval()(mosaic), second.eval()(mosaic))
        assert not torch.equal(first(mosaic), other.eval()(mosaic))

    @pytest.mark.parametrize("shape", [(34, 62), (2, 2)])
    def test_any_even_size_gives_a_view_of_that_size(self, shape: tuple[int, int]) -> None:
        view = steps.UnetPlusPlus("GRBG").eval()(torch.rand(1, *shape))
        assert view.shape == (1, 3, *shape)
        assert 0 <= view.min() < view.max() <= 1

    def test_sees_the_colours_by_the_cfa(self) -> None:
        mosaic = torch.rand(1, 32, 32)
        assert not torch.equal(
            steps.UnetPlusPlus("RGGB").eval()(mosaic), steps.UnetPlusPlus("BGGR").eval()(mosaic)
        )
