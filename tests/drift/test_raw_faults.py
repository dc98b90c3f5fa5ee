"""Faults of a camera, in the raw data."""

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from raw2logit import Camera, InputError
from raw2logit.cfa import CFA, CFA_NAMES, colour_sites, mosaic_of
from raw2logit.drift.raw_faults import FAULTS, fault, fault_at
from tests.tolerance import DEVICES, assert_near

CAMERA = Camera("test", cfa="GRBG", black_level=(0.05, 0.06, 0.07, 0.08))
SMOOTH = ("black_level", "white_balance", "row_noise", "lens_shading")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_mosaic(count: int = 2, height: int = 16, width: int = 24) -> Tensor:
    values = torch.rand((count, height, width), generator=seeded(), dtype=torch.float64)
    return 0.1 + 0.3 * values


def site_values(values: tuple[float, ...], height: int, width: int) -> np.ndarray[Any, Any]:
    """Four values over a mosaic, pixel by pixel."""
    return np.array(
        [[values[2 * (row % 2) + column % 2] for column in range(width)] for row in range(height)]
    )


@pytest.mark.parametrize("name", FAULTS)
def test_severities_rise(name: str) -> None:
    amounts = FAULTS[name].amounts
    assert len(amounts) == 5
    assert sorted(set(amounts)) == list(amounts)
    assert 0 < amounts[0] < amounts[-1] <= FAULTS[name].largest
    mosaic = some_mosaic(4, 64, 64)
    distances = [
        (fault(mosaic, name, severity, CAMERA, generator=seeded()) - mosaic).square().mean().sqrt()
        for severity in (1, 2, 3, 4, 5)
    ]
    assert distances == sorted(distances)
    assert distances[1] > 0


@pytest.mark.parametrize("size", [(4, 4), (16, 24), (64, 64)])
@pytest.mark.parametrize("name", FAULTS)
def test_any_size_stays_in_range(name: str, size: tuple[int, int]) -> None:
    camera = dataclasses.replace(CAMERA, white_level=0.9)
    mosaic = torch.rand((3, *size), generator=seeded())
    broken = fault(mosaic, name, 5, camera, generator=seeded())
    assert broken.shape == mosaic.shape
    assert broken.dtype == mosaic.dtype
    assert broken.min() >= 0
    assert broken.max() <= torch.tensor(0.9)


@pytest.mark.parametrize("name", FAULTS)
def test_amount_0_changes_nothing(name: str) -> None:
    mosaic = some_mosaic()
    assert torch.equal(fault_at(mosaic, name, 0.0, CAMERA, generator=seeded()), mosaic)


@pytest.mark.parametrize("name", FAULTS)
def test_a_sample_depends_on_its_own_draw_alone(name: str) -> None:
    mosaic = some_mosaic(4)
    whole = fault(mosaic, name, 5, CAMERA, generator=seeded())
    assert torch.equal(fault(mosaic, name, 5, CAMERA, generator=seeded()), whole)
    changed = mosaic.clone()
    changed[1] = 0.5
    beside = fault(changed, name, 5, CAMERA, generator=seeded())
    assert torch.equal(beside[[0, 2, 3]], whole[[0, 2, 3]])
    generator = seeded()
    parts = [fault(part, name, 5, CAMERA, generator=generator) for part in mosaic.split([1, 3])]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FAULTS)
def test_the_device_does_not_matter(name: str, device: str) -> None:
    mosaic = some_mosaic()
    there = fault(mosaic.to(device), name, 4, CAMERA, generator=seeded())
    assert there.device.type == device
    assert_near(there, fault(mosaic, name, 4, CAMERA, generator=seeded()))


@pytest.mark.parametrize("name", FAULTS)
def test_gradients(name: str) -> None:
    mosaic = some_mosaic(2, 4, 6).requires_grad_()

    def broken(mosaic: Tensor) -> Tensor:
        return fault(mosaic, name, 2, CAMERA, generator=seeded())

    assert torch.autograd.gradcheck(broken, (mosaic,))


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_in_the_amount_of_each_sample(name: str) -> None:
    mosaic = some_mosaic(2, 4, 6)
    amounts = torch.tensor([0.01, 0.02], dtype=torch.float64, requires_grad=True)

    def broken(amounts: Tensor) -> Tensor:
        return fault_at(mosaic, name, amounts, CAMERA, generator=seeded())

    assert torch.autograd.gradcheck(broken, (amounts,))
    both = broken(amounts)
    one = fault_at(mosaic, name, 0.02, CAMERA, generator=seeded())
    assert torch.equal(both[1], one[1])


def test_black_level_is_added() -> None:
    mosaic = some_mosaic()
    assert_near(fault(mosaic, "black_level", 4, CAMERA, generator=seeded()), mosaic + 0.02)
    high = torch.full((1, 4, 4), 0.99)
    assert (fault(high, "black_level", 5, CAMERA, generator=seeded()) == 1).all()


@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_white_balance_is_a_gain_of_red_and_blue_sites(cfa: str) -> None:
    camera = dataclasses.replace(CAMERA, cfa=cast(CFA, cfa))
    mosaic = some_mosaic(8)
    broken = fault_at(mosaic, "white_balance", 0.5, camera, generator=seeded())
    black = site_values(camera.black_level, 16, 24)
    directions = set()
    for ours, clean in zip(broken.numpy(), mosaic.numpy(), strict=True):
        ratio = (ours - black) / (clean - black)
        red = cfa.index("R")
        sign = int(np.sign(np.log2(ratio[red // 2, red % 2])))
        directions.add(sign)
        stops = tuple({"R": 0.5, "G": 0.0, "B": -0.5}[letter] * sign for letter in cfa)
        np.testing.assert_allclose(np.log2(ratio), site_values(stops, 16, 24), atol=1e-9)
    assert directions == {-1, 1}


@pytest.mark.parametrize("name", ["dead_pixels", "hot_pixels"])
def test_defect_pixels(name: str) -> None:
    camera = dataclasses.replace(CAMERA, white_level=0.8)
    mosaic = some_mosaic(4, 64, 64)
    broken = fault(mosaic, name, 4, camera, generator=seeded())
    hit = broken != mosaic
    assert stats.binomtest(int(hit.sum()), hit.numel(), 0.01).pvalue > 1e-3
    black = torch.from_numpy(site_values(camera.black_level, 64, 64)).expand_as(mosaic)
    expected = black if name == "dead_pixels" else torch.full_like(mosaic, 0.8)
    assert torch.equal(broken[hit], expected[hit])
    more = fault(mosaic, name, 5, camera, generator=seeded())
    assert torch.equal(more[hit], broken[hit])


def test_row_noise() -> None:
    mosaic = some_mosaic(4, 512, 8)
    noise = fault(mosaic, "row_noise", 5, CAMERA, generator=seeded()) - mosaic
    assert_near(noise, noise[:, :, :1].expand_as(noise))
    rows = noise[:, :, 0].flatten().numpy()
    assert stats.kstest(rows / 0.02, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise[0, :, 0], noise[1, :, 0])[0, 1]) < 0.2


@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_lens_shading(size: tuple[int, int]) -> None:
    height, width = size
    black = site_values(CAMERA.black_level, height, width)
    mosaic = torch.from_numpy(black + 0.4)[None]
    broken = fault(mosaic, "lens_shading", 3, CAMERA, generator=seeded())[0].numpy()
    channels = colour_sites(CAMERA.cfa)
    for row in range(height):
        for column in range(width):
            y, x = row - (height - 1) / 2, column - (width - 1) / 2
            share = (y**2 + x**2) / (((height - 1) / 2) ** 2 + ((width - 1) / 2) ** 2)
            channel = channels[2 * (row % 2) + column % 2]
            stops = (1.1, 1.0, 0.9)[channel] * share
            expected = black[row, column] + 0.4 * 2**-stops
            assert broken[row, column] == pytest.approx(expected, rel=1e-12)


def test_a_wrong_phase_is_the_picture_behind_another_filter_array() -> None:
    """Read a pixel further on, a smooth picture looks as if the filters were named wrongly."""
    colours = torch.tensor([0.1, 0.2, 0.3])[:, None, None].expand(1, 3, 8, 8)
    mosaic = mosaic_of(colours, "RGGB").expand(24, -1, -1)
    camera = dataclasses.replace(CAMERA, cfa="RGGB")
    broken = fault(mosaic, "cfa_phase", 5, camera, generator=seeded())
    wrong = {name: mosaic_of(colours, name)[0] for name in CFA_NAMES[1:]}
    found = [
        name for sample in broken for name, other in wrong.items() if torch.equal(sample, other)
    ]
    assert len(found) == 24
    assert set(found) == set(wrong)


def test_a_wrong_phase_begins_at_a_row() -> None:
    mosaic = some_mosaic(1, 20, 8)
    broken = fault(mosaic, "cfa_phase", 2, CAMERA, generator=seeded())
    assert torch.equal(broken[:, :12], mosaic[:, :12])
    assert all((broken[0, row] != mosaic[0, row]).any() for row in range(12, 20))


MOSAIC = torch.rand(2, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MOSAIC, "rust", 1, CAMERA), "unknown raw fault 'rust': choose black_level, white_bal"),
        ((MOSAIC, "hot_pixels", 0, CAMERA), "severity must be 1, 2, 3, 4 or 5, got 0"),
        ((MOSAIC[0], "hot_pixels", 1, CAMERA), r"\(B, H, W\), got torch.float32 \(8, 8\)"),
        (((MOSAIC * 9).long(), "hot_pixels", 1, CAMERA), "torch.int64"),
        ((MOSAIC[:, :7], "hot_pixels", 1, CAMERA), "sides must be even and at least 4"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fault(*arguments)


@pytest.mark.parametrize(
    ("name", "amount", "message"),
    [
        ("black_level", -0.1, r"black_level: amount must be from 0 to 1 \(fraction of full scale"),
        ("dead_pixels", 1.1, "share of pixels"),
        ("white_balance", float("nan"), "must be from 0 to 8"),
        ("dead_pixels", torch.tensor([0.1, 0.2]), r"amount must be one value, got \(2,\)"),
        ("row_noise", torch.tensor([0.1, 0.2, 0.3]), r"must be one value or 2, got \(3,\)"),
    ],
)
def test_bad_amounts(name: str, amount: float | Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fault_at(MOSAIC, name, amount, CAMERA)


def test_an_empty_batch() -> None:
    for name in FAULTS:
        assert fault(torch.rand(0, 8, 8), name, 1, CAMERA).shape == (0, 8, 8)
