"""Mosaics of several shots of a camera, brought to one camera."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.cfa import CFA_NAMES
from raw2logit.datasets.reference import reference_camera, to_reference
from raw2logit.errors import InputError
from raw2logit.isp import static_pipeline

MATRIX = ((1.5, -0.3, -0.2), (-0.2, 1.7, -0.5), (0.0, -0.4, 1.4))
DAY = Camera(
    "day",
    cfa="GRBG",
    black_level=(0.06, 0.061, 0.062, 0.06),
    white_level=0.98,
    white_balance=(2.1, 1.0, 1.4),
    colour_matrix=MATRIX,
    bits=12,
)
LAMP = dataclasses.replace(
    DAY, name="lamp", black_level=(0.03,) * 4, white_level=0.9, white_balance=(1.3, 1.0, 2.6)
)


def files(*cameras: Camera) -> dict[Path, Camera]:
    return {Path(f"{number}.dng"): camera for number, camera in enumerate(cameras)}


def noise(seed: int = 0) -> Tensor:
    return torch.rand(16, 20, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("cfa", CFA_NAMES)
@pytest.mark.parametrize("view", ["bi,s,ga", "bi,u,me"])
def test_the_view_is_that_of_the_files_own_camera(cfa: str, view: str) -> None:
    cameras = [dataclasses.replace(camera, cfa=cfa) for camera in (DAY, LAMP)]
    reference = reference_camera(files(*cameras), "both")
    for seed, camera in enumerate(cameras):
        mosaic = noise(seed)
        own = static_pipeline(camera, view)(mosaic[None])
        common = static_pipeline(reference, view)(to_reference(mosaic, camera, reference)[None])
        # The power of the gamma is steep near black, where rounding shows.
        torch.testing.assert_close(common**2.2, own**2.2, atol=3e-6, rtol=0)
        assert own.std() > 0.05


@pytest.mark.parametrize(("view", "largest"), [("ma,s,ga", 0.3), ("me,s,ga", 0.3)])
def test_methods_that_mix_channels_are_close(view: str, largest: float) -> None:
    row, column = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    mosaic = 0.35 + 0.2 * torch.sin(row / 5) * torch.cos(column / 7)
    reference = reference_camera(files(DAY, LAMP), "both")
    own = static_pipeline(LAMP, view)(mosaic[None])
    common = static_pipeline(reference, view)(to_reference(mosaic, LAMP, reference)[None])
    difference = (common - own).abs()
    assert difference.mean() < 0.03
    assert 1e-4 < difference.max() < largest


@given(
    black=st.tuples(*[st.floats(0, 0.2)] * 8),
    white=st.tuples(*[st.floats(0.6, 1)] * 2),
    red=st.tuples(*[st.floats(0.5, 4)] * 2),
)
def test_nothing_is_clipped(
    black: tuple[float, ...], white: tuple[float, float], red: tuple[float, float]
) -> None:
    cameras = [
        Camera(
            str(i),
            black_level=black[4 * i : 4 * i + 4],  # type: ignore[arg-type]
            white_level=white[i],
            white_balance=(red[i], 1, 2),
        )
        for i in range(2)
    ]
    reference = reference_camera(files(*cameras), "both")
    assert reference.white_balance == (max(red), 1, 2)
    for camera in cameras:
        for level in (0.0, 1.0):
            moved = to_reference(torch.full((2, 2), level), camera, reference).double().flatten()
            span = torch.tensor(camera.black_level).double()
            own = (level - span) / (camera.white_level - span)
            back = torch.tensor(reference.black_level).double()
            common = (moved - back) / (reference.white_level - back)
            gains = torch.tensor([(camera.white_balance, reference.white_balance)]).double()
            own, common = (
                signal * gain[[0, 1, 1, 2]]
                for signal, gain in zip((own, common), gains[0], strict=True)
            )
            torch.testing.assert_close(common, own, atol=1e-5, rtol=0)


def test_shots_that_agree_are_left_alone() -> None:
    other = dataclasses.replace(DAY, name="other")
    reference = reference_camera(files(DAY, other), "set")
    assert reference == dataclasses.replace(DAY, name="set")
    mosaic = noise()
    assert to_reference(mosaic, other, reference) is mosaic


def test_a_camera_without_a_white_level_divides_by_one() -> None:
    plain = Camera("plain", black_level=(0.1,) * 4)
    warm = dataclasses.replace(plain, white_balance=(2, 1, 1))
    reference = reference_camera(files(plain, warm), "both")
    mosaic = noise()
    own = static_pipeline(plain)(mosaic[None])
    common = static_pipeline(reference)(to_reference(mosaic, plain, reference)[None])
    torch.testing.assert_close(common**2.2, own**2.2, atol=3e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cfa": "RGGB"}, r"another CFA than that of 0.dng \(RGGB, not GRBG\)"),
        ({"bits": 14}, r"another bits than that of 0.dng \(14, not 12\)"),
        ({"colour_matrix": ((1, 0, 0), (0, 1, 0), (0, 0, 1))}, "another colour matrix than"),
    ],
)
def test_other_camera_models_are_refused(changes: dict[str, object], words: str) -> None:
    other = dataclasses.replace(DAY, **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"^1.dng: .*{words}.*give one camera"):
        reference_camera(files(DAY, other), "both")


def test_a_matrix_that_differs_by_rounding_is_the_same() -> None:
    rounded = dataclasses.replace(
        DAY, colour_matrix=tuple(tuple(x + 1e-5 for x in row) for row in MATRIX)
    )
    assert reference_camera(files(DAY, rounded), "both").colour_matrix == MATRIX


def test_a_gain_that_is_not_positive_is_refused() -> None:
    odd = dataclasses.replace(DAY, white_balance=(-0.6, 1, 2))
    with pytest.raises(InputError, match=r"^1.dng: a white balance gain is not above 0"):
        reference_camera(files(DAY, odd), "both")
