"""Calibration against cameras that numpy simulates, so that their constants are known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from raw2logit import Camera, InputError
from raw2logit.photon_transfer import (
    PhotonTransfer,
    Region,
    calibrate_flat,
    calibrate_pairs,
    measure_black_level,
)

FloatArray = npt.NDArray[np.float64]
Mode = Literal["pairs", "flat"]

DRONE = dataclasses.replace(Camera.preset("drone"), read_noise_electrons=3.2)
CAMERAS = {
    "drone": DRONE,
    "14 bits": Camera(
        "14 bits",
        bits=14,
        full_scale_electrons=40_000.0,
        read_noise_electrons=6.0,
        black_level=(0.031, 0.03, 0.032, 0.033),
    ),
    "16 bits": Camera(
        "16 bits",
        bits=16,
        full_scale_electrons=90_000.0,
        read_noise_electrons=5.0,
        black_level=(0.008, 0.009, 0.01, 0.011),
        white_level=0.98,
    ),
}
SIDE = 256
FLAT = np.ones((SIDE, SIDE))
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] / SIDE
SHADED = 1 - 0.5 * ((ROWS - 0.4) ** 2 + (COLUMNS - 0.6) ** 2)
LEVELS = np.geomspace(0.001, 0.7, 5)


class Simulator:
    """Takes pictures with numpy alone."""

    def __init__(self, camera: Camera, seed: int = 0) -> None:
        self.camera = camera
        self.rng = np.random.default_rng(seed)

    def take(self, light: FloatArray, hot_electrons: FloatArray | float = 0.0) -> Tensor:
        """Expose to light, as fraction of full scale."""
        camera, rng = self.camera, self.rng
        assert camera.full_scale_electrons
        signal = rng.poisson(light * camera.full_scale_electrons + hot_electrons)
        signal = signal + rng.normal(0, camera.read_noise_electrons, light.shape)
        repeats = [side // 2 for side in light.shape]
        black = np.tile(np.reshape(camera.black_level, (2, 2)), repeats)
        fraction = np.minimum(
            signal / camera.full_scale_electrons + black, camera.white_level or 1.0
        )
        step = 2 ** (16 - camera.bits)
        numbers = np.clip(np.rint(fraction * 65535 / step), 0, 2**camera.bits - 1) * step
        return torch.from_numpy((numbers / 65535).astype(np.float32))

    def pairs(
        self, scene: FloatArray, levels: Sequence[float] | FloatArray = LEVELS, **hot: FloatArray
    ) -> list[tuple[Tensor, Tensor]]:
        return [
            (self.take(level * scene, **hot), self.take(level * scene, **hot)) for level in levels
        ]


def calibrate(
    mode: Mode,
    pairs: Sequence[tuple[Tensor, Tensor]],
    camera: Camera,
    *,
    regions: Sequence[Region] = (),
    read_noise_electrons: float | None = None,
) -> PhotonTransfer:
    # What is to be measured is not told.
    blank = dataclasses.replace(camera, full_scale_electrons=None, read_noise_electrons=None)
    if mode == "pairs":
        return calibrate_pairs(
            pairs, blank, regions=regions, read_noise_electrons=read_noise_electrons
        )
    pictures = [picture for pair in pairs for picture in pair]
    return calibrate_flat(
        pictures, blank, regions=regions, read_noise_electrons=read_noise_electrons
    )


def gain_of(camera: Camera) -> float:
    assert camera.full_scale_electrons
    return 65535 / camera.full_scale_electrons


def recovers(result: PhotonTransfer, camera: Camera, *, read_noise: float = 0.1) -> None:
    """Gain within 3 %, and both within four standard errors."""
    gain = gain_of(camera)
    assert result.gain_dn_per_electron == pytest.approx(gain, rel=0.03)
    assert abs(result.gain_dn_per_electron - gain) < 4 * result.gain_error
    assert camera.read_noise_electrons is not None
    wrong = abs(result.read_noise_electrons - camera.read_noise_electrons)
    assert wrong <= 4 * result.read_noise_error + 1e-9
    assert wrong <= read_noise * camera.read_noise_electrons


def errors_are_honest(mode: Mode, camera: Camera) -> None:
    """Over many cameras of a kind, the standard errors are the spread that is seen."""
    results = []
    for seed in range(40):
        pairs = Simulator(camera, seed).pairs(SHADED[:128, :128])
        results.append(calibrate(mode, pairs, camera))
    for got, told, truth in (
        (
            [result.gain_dn_per_electron for result in results],
            [result.gain_error for result in results],
            gain_of(camera),
        ),
        (
            [result.read_noise_electrons for result in results],
            [result.read_noise_error for result in results],
            camera.read_noise_electrons,
        ),
    ):
        spread = float(np.std(got, ddof=1))
        assert 1 / 1.5 < spread / np.mean(told) < 1.5
        assert abs(np.mean(got) - truth) < 4 * spread / math.sqrt(40)


both = pytest.mark.parametrize("mode", ["pairs", "flat"])


@both
@pytest.mark.parametrize("name", CAMERAS)
class TestKnownCameras:
    @pytest.mark.parametrize("scene", [FLAT, SHADED], ids=["flat", "shaded"])
    def test_gain_and_read_noise(self, name: str, mode: Mode, scene: FloatArray) -> None:
        camera = CAMERAS[name]
        result = calibrate(mode, Simulator(camera).pairs(scene), camera)
        recovers(result, camera)
        assert result.scatter == pytest.approx(1, abs=0.2)
        assert result.read_noise_error > 0

    def test_gain_alone_from_one_level(self, name: str, mode: Mode) -> None:
        camera = CAMERAS[name]
        pairs = Simulator(camera).pairs(FLAT, [0.3])
        with pytest.raises(InputError, match="too little to tell the gain: add pictures of other"):
            calibrate(mode, pairs, camera)
        result = calibrate(mode, pairs, camera, read_noise_electrons=camera.read_noise_electrons)
        recovers(result, camera)
        assert result.read_noise_electrons == camera.read_noise_electrons
        assert result.read_noise_error == 0

    def test_shading_is_as_good_as_many_levels(self, name: str, mode: Mode) -> None:
        camera = CAMERAS[name]
        scene = np.where(COLUMNS < 0.25, 0.002, COLUMNS**2)
        pairs = Simulator(camera).pairs(scene, [0.7])
        recovers(calibrate(mode, pairs, camera), camera, read_noise=0.4)

    def test_standard_errors_are_honest(self, name: str, mode: Mode) -> None:
        errors_are_honest(mode, CAMERAS[name])


@both
def test_standard_errors_are_honest_where_read_noise_is_most_of_the_noise(mode: Mode) -> None:
    camera = dataclasses.replace(
        CAMERAS["14 bits"], full_scale_electrons=2_000.0, read_noise_electrons=30.0
    )
    camera = dataclasses.replace(camera, black_level=(0.15,) * 4)
    errors_are_honest(mode, camera)


@both
class TestScenes:
    def test_dust_and_edges(self, mode: Mode) -> None:
        scene = SHADED.copy()
        for row, column in ((30, 50), (200, 90), (120, 220)):
            scene[np.hypot(ROWS * SIDE - row, COLUMNS * SIDE - column) < 6] *= 0.8
        scene[:, -10:] *= 0.3
        recovers(calibrate(mode, Simulator(DRONE).pairs(scene), DRONE), DRONE)

    @pytest.mark.parametrize("level", [0.1, 0.4, 0.9])
    def test_a_stuck_part(self, mode: Mode, level: float) -> None:
        pairs = Simulator(DRONE).pairs(SHADED)
        for picture in (picture for pair in pairs for picture in pair):
            picture[:60, 64:128] = level
        recovers(calibrate(mode, pairs, DRONE), DRONE)

    @pytest.mark.parametrize("share", [1e-4, 1e-3])
    def test_hot_pixels(self, mode: Mode, share: float) -> None:
        rng = np.random.default_rng(1)
        hot = np.where(rng.random(FLAT.shape) < share, 1500.0, 0.0)
        pairs = Simulator(DRONE).pairs(SHADED, hot_electrons=hot)
        assert calibrate(mode, pairs, DRONE).gain_dn_per_electron == pytest.approx(8.448, rel=0.03)

    def test_dead_and_saturated_pixels_cost_their_blocks(self, mode: Mode) -> None:
        pairs = Simulator(DRONE).pairs(SHADED)
        whole = calibrate(mode, pairs, DRONE)
        for first, second in pairs:
            for picture in (first, second):
                picture[10, 10] = 0.0
                picture[100, 101] = 65520 / 65535
        result = calibrate(mode, pairs, DRONE)
        recovers(result, DRONE)
        assert len(result.mean_dn) < len(whole.mean_dn)

    def test_levels_at_saturation_are_left_out(self, mode: Mode) -> None:
        for camera in CAMERAS.values():
            simulator = Simulator(camera)
            recovers(
                calibrate(mode, simulator.pairs(SHADED, [*LEVELS, 0.93, 0.97, 1.2]), camera), camera
            )
            with pytest.raises(InputError, match="a pixel at zero or at saturation: choose"):
                calibrate(mode, simulator.pairs(FLAT, [1.1, 1.2]), camera)

    def test_steep_shading_within_a_block(self, mode: Mode) -> None:
        pairs = Simulator(DRONE).pairs((COLUMNS * 4 % 1) ** 3 + 0.001)
        result = calibrate(mode, pairs, DRONE, read_noise_electrons=3.2)
        assert result.gain_dn_per_electron == pytest.approx(8.448, rel=0.03)

    def test_a_region_keeps_out_the_rest(self, mode: Mode) -> None:
        rng = np.random.default_rng(3)
        scene = rng.random(FLAT.shape)
        inner = slice(64, 192)
        scene[inner, inner] = 1
        regions = [Region(64, 64, 128, 64), Region(64, 128, 128, 64)]
        pairs = Simulator(DRONE).pairs(scene)
        result = calibrate(mode, pairs, DRONE, regions=regions)
        recovers(result, DRONE)
        cut = [(first[inner, inner], second[inner, inner]) for first, second in pairs]
        same = calibrate(mode, cut, DRONE)
        assert sorted(result.mean_dn) == pytest.approx(sorted(same.mean_dn))

    def test_the_smallest_region_and_a_height_that_is_no_multiple(self, mode: Mode) -> None:
        for region in (Region(2, 4, 16, 16), Region(0, 0, 100, 38)):
            pairs = Simulator(DRONE).pairs(FLAT, np.geomspace(0.001, 0.7, 9))
            result = calibrate(mode, pairs, DRONE, regions=[region], read_noise_electrons=3.2)
            assert abs(result.gain_dn_per_electron - 8.448) < 4 * result.gain_error

    def test_colours_of_different_brightness(self, mode: Mode) -> None:
        scene = FLAT.copy()
        for site, factor in enumerate((0.4, 1.0, 0.9, 0.2)):
            scene[site // 2 :: 2, site % 2 :: 2] *= factor
        recovers(calibrate(mode, Simulator(DRONE).pairs(scene), DRONE), DRONE)

    def test_order_of_the_pictures_does_not_matter(self, mode: Mode) -> None:
        pairs = Simulator(DRONE).pairs(SHADED)
        forth, back = calibrate(mode, pairs, DRONE), calibrate(mode, pairs[::-1], DRONE)
        assert forth.gain_dn_per_electron == pytest.approx(back.gain_dn_per_electron)
        assert forth.gain_error == pytest.approx(back.gain_error)

    def test_no_read_noise_at_all(self, mode: Mode) -> None:
        camera = dataclasses.replace(CAMERAS["16 bits"], read_noise_electrons=0.0)
        result = calibrate(mode, Simulator(camera).pairs(SHADED), camera)
        assert result.gain_dn_per_electron == pytest.approx(gain_of(camera), rel=0.03)
        assert 0 <= result.read_noise_electrons < 4 * result.read_noise_error
        assert math.isfinite(result.read_noise_error)


def test_pixels_of_unequal_gain_spoil_single_pictures_and_no_pairs() -> None:
    camera = CAMERAS["16 bits"]
    pattern = np.random.default_rng(2).normal(1, 0.01, FLAT.shape)
    pairs = Simulator(camera).pairs(pattern, np.geomspace(0.001, 0.7, 9))
    recovers(calibrate("pairs", pairs, camera), camera)
    # The pattern's variance grows with the square of the level: no line fits.
    with pytest.raises(InputError, match=r"which pairs are free of \(--pairs\)"):
        calibrate("flat", pairs, camera)


def test_light_that_flickers_a_little_does_no_harm_to_pairs() -> None:
    simulator = Simulator(DRONE)
    pairs = [
        (simulator.take(level * SHADED), simulator.take(1.03 * level * SHADED)) for level in LEVELS
    ]
    recovers(calibrate("pairs", pairs, DRONE), DRONE)


def test_the_result_makes_a_camera() -> None:
    result = calibrate("pairs", Simulator(DRONE).pairs(SHADED), DRONE)
    camera = result.calibrate(Camera.preset("drone"))
    assert camera.full_scale_electrons == pytest.approx(65535 / result.gain_dn_per_electron)
    assert camera.read_noise_electrons == result.read_noise_electrons
    assert dataclasses.replace(
        camera, full_scale_electrons=None, read_noise_electrons=None
    ) == dataclasses.replace(Camera.preset("drone"), full_scale_electrons=None)
    share = result.full_scale_error / result.full_scale_electrons
    assert share == pytest.approx(result.gain_error / result.gain_dn_per_electron)


def test_points_lie_on_the_line_that_was_told() -> None:
    result = calibrate("pairs", Simulator(DRONE).pairs(SHADED), DRONE)
    gain, noise = result.gain_dn_per_electron, result.read_noise_electrons
    line = gain * np.array(result.mean_dn) + (gain * noise) ** 2 + result.rounding_dn2
    ratio = np.array(result.variance_dn2) / line
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert ratio.std() == pytest.approx((2 / 1023) ** 0.5, rel=0.2)
    assert result.rounding_dn2 == pytest.approx(16**2 / 12)


class TestBlackLevel:
    @pytest.mark.parametrize("share", [0.0, 1e-3, 5e-3])
    def test_every_site_is_measured(self, share: float) -> None:
        for camera in CAMERAS.values():
            picture = Simulator(camera).take(0 * FLAT)
            picture[torch.rand(FLAT.shape, generator=torch.Generator().manual_seed(4)) < share] = 1
            step = 2 ** (16 - camera.bits) / 65535
            noise = camera.read_noise_electrons / camera.full_scale_electrons
            assert measure_black_level(picture) == pytest.approx(
                camera.black_level, abs=0.05 * (noise + step)
            )

    def test_a_glowing_corner_does_no_harm(self) -> None:
        picture = Simulator(DRONE).take(0.02 * (np.hypot(ROWS, COLUMNS) < 0.4) * FLAT)
        assert measure_black_level(picture) == pytest.approx(DRONE.black_level, abs=1e-5)

    def test_what_was_cut_off_is_refused(self) -> None:
        camera = dataclasses.replace(DRONE, black_level=(0.0,) * 4)
        with pytest.raises(InputError, match="are zero, so its level is cut off: give the black"):
            measure_black_level(Simulator(camera).take(0 * FLAT))

    def test_it_mends_a_camera_without_one(self) -> None:
        simulator = Simulator(CAMERAS["14 bits"])
        pairs, dark = simulator.pairs(SHADED), simulator.take(0 * FLAT)
        unknown = dataclasses.replace(CAMERAS["14 bits"], black_level=(0.0,) * 4)
        with pytest.raises(InputError, match=r"that is too low, or .* dark picture \(--dark\)"):
            calibrate("pairs", pairs, unknown)
        known = dataclasses.replace(unknown, black_level=measure_black_level(dark))
        recovers(calibrate("pairs", pairs, known), CAMERAS["14 bits"])

    @both
    @pytest.mark.parametrize("read_noise", [None, 3.2])
    def test_one_that_is_too_high_is_refused(self, mode: Mode, read_noise: float | None) -> None:
        pairs = Simulator(DRONE).pairs(FLAT, [0, *LEVELS])
        high = dataclasses.replace(DRONE, black_level=tuple(b + 5e-4 for b in DRONE.black_level))
        with pytest.raises(InputError, match=r"\d\d digital numbers below .* too high: .*--dark"):
            calibrate(mode, pairs, high, read_noise_electrons=read_noise)


PICTURE = Simulator(DRONE).take(0.3 * FLAT)
OTHER = Simulator(DRONE, 1).take(0.3 * FLAT)
SIMULATOR = Simulator(DRONE, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibrate_pairs([], DRONE), "no picture to measure: give at least a pair"),
        (lambda: calibrate_flat([], DRONE), "no picture to measure"),
        (lambda: calibrate_pairs([(PICTURE, PICTURE)], DRONE), "are the same: take two"),
        (
            lambda: calibrate_pairs([(PICTURE, PICTURE[:, 2:])], DRONE),
            r"of \(256, 256\) and \(256, 254\) pixels: both must show one scene",
        ),
        (
            lambda: calibrate_pairs([(PICTURE, SIMULATOR.take(0.4 * FLAT))], DRONE),
            r"differ by -?6\d\d\d of 22\d\d\d digital numbers: both need the same light",
        ),
        (lambda: calibrate_flat([PICTURE[None]], DRONE), r"\(H, W\) fractions .*\(1, 256, 256\)"),
        (lambda: calibrate_flat([PICTURE.int()], DRONE), r"fractions .*torch.int32"),
        (
            lambda: calibrate_pairs([(PICTURE, OTHER)], DRONE, regions=[Region(200, 0, 64, 64)]),
            r"region 200 0 64 64 \(row, column, height, width\) of a picture of 256 x 256 pixels",
        ),
        (lambda: calibrate_flat([PICTURE], DRONE, regions=[Region(0, 1, 64, 64)]), "be even"),
        (lambda: calibrate_flat([PICTURE], DRONE, regions=[Region(-2, 0, 64, 64)]), "lie inside"),
        (lambda: calibrate_flat([PICTURE], DRONE, regions=[Region(0, 0, 14, 64)]), "16 x 16"),
        (lambda: calibrate_flat([PICTURE[:12]], DRONE), "region 0 0 12 256 .* at least 16 x 16"),
        (
            lambda: calibrate_flat([PICTURE], DRONE, read_noise_electrons=-1.0),
            "read noise must be at least 0 electrons, got -1",
        ),
        (
            lambda: calibrate_flat([PICTURE], DRONE, read_noise_electrons=math.inf),
            "read noise must be at least 0 electrons, got inf",
        ),
        (
            lambda: calibrate_pairs([(PICTURE, OTHER)], DRONE),
            r"levels from \d+ to \d+ digital numbers differ too little .*\(--read-noise\)",
        ),
        (
            lambda: calibrate_pairs(SIMULATOR.pairs(FLAT[:16, :16], [0.1, 0.11]), DRONE),
            r"too little to tell the gain|does not grow|do not tell the gain",
        ),
        (
            lambda: calibrate_pairs(SIMULATOR.pairs(FLAT, [0.2, 0.7]), DRONE),
            r"tell the gain \(.*\) but not the read noise \(.* e-\): add darker .*--read-noise",
        ),
        (
            lambda: calibrate_pairs(
                [(1 - first, 1 - second) for first, second in SIMULATOR.pairs(FLAT)], DRONE
            ),
            "variance does not grow with the level.*neither denoised nor averaged",
        ),
        (
            lambda: calibrate_pairs(SIMULATOR.pairs(0 * FLAT), DRONE),
            "too little to tell the gain|does not grow|do not tell the gain",
        ),
        (
            lambda: calibrate_pairs(SIMULATOR.pairs(0 * FLAT), DRONE, read_noise_electrons=3.2),
            "too little to tell the gain|does not grow|do not tell the gain",
        ),
    ],
)
def test_what_tells_nothing_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_wrong_read_noise_is_warned_of() -> None:
    pairs = Simulator(DRONE).pairs(FLAT)
    with pytest.warns(
        UserWarning,
        match=r"choose flat parts \(--region\).* read noise is another \(--read-noise\)",
    ):
        calibrate("pairs", pairs, DRONE, read_noise_electrons=40.0)
