"""Strengths that are matched to a distance."""

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from raw2logit import InputError
from raw2logit.drift.corruptions import (
    CORRUPTIONS,
    MEASURES,
    Measure,
    UnreachedWarning,
    corrupt,
    corrupt_at,
    image_distance,
    match_strength,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_view(count: int = 4, side: int = 32) -> Tensor:
    coarse = torch.rand((count, 3, 5, 5), generator=seeded())
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return 0.15 + 0.5 * smooth + 0.2 * torch.rand((count, 3, side, side), generator=seeded(1))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_distance_is_reached_within_1_percent(name: str, measure: Measure) -> None:
    clean = some_view()
    wanted = 0.7 * float(
        image_distance(corrupt(clean, name, 3, generator=seeded(5)), clean, measure).mean()
    )
    matched = match_strength(clean, name, wanted, measure=measure, generator=seeded(5))
    assert matched.met
    assert matched.wanted == wanted
    # What was measured is what the same generator state makes.
    corrupted = corrupt_at(clean, name, matched.strength, generator=seeded(5))
    reached = float(image_distance(corrupted, clean, measure).double().mean())
    assert reached == pytest.approx(matched.reached, rel=1e-6)
    assert reached == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("distance", [0.003, 0.01, 0.03])
def test_noise_below_severity_1_has_the_deviation_that_is_asked_for(distance: float) -> None:
    clean = torch.full((2, 3, 64, 64), 0.5)
    matched = match_strength(clean, "gaussian_noise", distance, generator=seeded())
    # The constant is 0.04 at severity 1, and in proportion below.
    assert matched.strength == pytest.approx(distance / 0.04, rel=0.02)


def test_the_smallest_strength_is_found() -> None:
    clean = some_view()
    wanted = 0.5 * float(image_distance(corrupt(clean, "saturate", 1), clean).mean())
    # Less saturation at severities 1 and 2, more at 3 to 5: the same distance many times.
    assert match_strength(clean, "saturate", wanted).strength < 1


def test_views_can_have_different_distances() -> None:
    clean = torch.cat([torch.full((1, 3, 32, 32), 0.5), some_view(1)])
    matched = match_strength(clean, "contrast", 0.02)
    each = image_distance(corrupt_at(clean, "contrast", matched.strength), clean)
    assert each[0] == pytest.approx(0, abs=1e-6)
    assert each[1] == pytest.approx(0.04, rel=0.02)


def test_the_other_constants() -> None:
    clean = some_view()
    small = match_strength(clean, "contrast", 0.05).strength
    large = match_strength(clean, "contrast", 0.05, constants="imagenet-c").strength
    assert large < small


def test_what_cannot_be_reached_is_said() -> None:
    clean = torch.full((1, 3, 32, 32), 0.5)
    clean[..., :16] = 0.4
    message = r"contrast: no strength reaches a distance \(rmse\) of 0.2; nearest is 0.0425 at stre"
    with pytest.warns(UnreachedWarning, match=message):
        matched = match_strength(clean, "contrast", 0.2)
    assert not matched.met
    assert matched.strength == 5
    assert matched.reached == pytest.approx(0.85 * 0.05, rel=1e-4)


def test_no_distance_is_no_strength() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matched = match_strength(some_view(), "snow", 0)
    assert (matched.strength, matched.reached, matched.met) == (0, 0, True)


def test_no_gradient_is_kept() -> None:
    clean = some_view(1).requires_grad_()
    match_strength(clean, "contrast", 0.02)
    assert clean.grad is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "rain"}, "unknown corruption 'rain'"),
        ({"measure": "psnr"}, "unknown measure 'psnr': choose rmse or ssim"),
        ({"distance": -1.0}, "distance must be finite and at least 0, got -1.0"),
        ({"distance": math.inf}, "distance must be finite"),
        ({"distance": math.nan}, "distance must be finite"),
        ({"constants": "mine"}, "unknown constants 'mine'"),
        ({"clean": torch.rand(0, 3, 16, 16)}, "holds no views"),
        ({"clean": torch.rand(1, 3, 10, 10), "measure": "ssim"}, "at least 11 a side"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    arguments = {"clean": some_view(), "name": "contrast", "distance": 0.1, **options}
    with pytest.raises(InputError, match=message):
        match_strength(
            arguments.pop("clean"), arguments.pop("name"), arguments.pop("distance"), **arguments
        )


def test_an_unknown_measure_of_two_views() -> None:
    with pytest.raises(InputError, match="unknown measure"):
        image_distance(some_view(), some_view(), "psnr")  # type: ignore[arg-type]
