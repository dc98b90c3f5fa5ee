"""Whether the generated scenes look, in numbers, like what they show."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from raw2logit import Camera, RawDrone, RawMicroscopy, static_pipeline
from raw2logit.datasets.microscopy import CLASS_COUNTS
from raw2logit.datasets.synthetic.capture import SENSORS, capture_scene
from raw2logit.datasets.synthetic.drone import render_frame
from raw2logit.datasets.synthetic.microscopy import Slide, render_cell

Scene = NDArray[np.float32]


def cell(code: str, seed: int, size: int = 64) -> Scene:
    slide = Slide.sample(np.random.default_rng((0, seed)))
    return render_cell(code, slide, np.random.default_rng((1, seed)), size)


@pytest.fixture(scope="module")
def frames() -> list[tuple[Scene, NDArray[np.bool_]]]:
    return [render_frame(np.random.default_rng(seed), 256, 384, 0.5) for seed in range(4)]


# ---- blood smears


@pytest.mark.parametrize("code", CLASS_COUNTS)
def test_a_dark_cell_lies_in_the_middle_of_a_bright_field(code: str) -> None:
    for seed in range(3):
        scene = cell(code, seed)
        assert scene.shape == (64, 64, 3)
        assert scene.dtype == np.float32
        assert 0 <= scene.min() < scene.max() <= 1
        # The empty field: plasma without cells, nearly white.
        assert (np.quantile(scene, 0.98, axis=(0, 1)) > 0.6).all()
        # Nuclei are the darkest thing, least of all green passes (they are purple).
        red, green, blue = scene[12:52, 12:52][scene[12:52, 12:52, 1] < 0.25].mean(0)
        assert green < blue
        assert green < red
        assert (scene[12:52, 12:52, 1] < 0.25).sum() > 20


@pytest.mark.parametrize("code", ["BAS", "KSC", "NGS", "UNC"])
def test_the_same_state_gives_the_same_cell(code: str) -> None:
    assert cell(code, 5).tobytes() == cell(code, 5).tobytes()
    assert cell(code, 5).tobytes() != cell(code, 6).tobytes()


@pytest.mark.parametrize("size", [32, 128, 256])
def test_every_size_shows_the_same_field(size: int) -> None:
    coarse = min(size, 64)
    one, two = cell("NGS", 3, size), cell("NGS", 3, 64)

    def shrink(scene: Scene) -> Scene:
        step = len(scene) // coarse
        return scene.reshape(coarse, step, coarse, step, 3).mean((1, 3))

    assert np.abs(shrink(one) - shrink(two)).mean() < 0.01


def test_classes_differ_in_the_same_field() -> None:
    scenes = {code: cell(code, 2) for code in CLASS_COUNTS}
    codes = list(scenes)
    for index, one in enumerate(codes):
        for two in codes[index + 1 :]:
            assert np.abs(scenes[one] - scenes[two])[16:48, 16:48].mean() > 0.01, (one, two)


def test_the_smudge_cell_has_the_least_dark_nucleus() -> None:
    def darkest(code: str) -> float:
        inner = [np.quantile(cell(code, seed)[12:52, 12:52, 1], 0.05) for seed in range(12)]
        return float(np.mean(inner))

    assert darkest("KSC") > max(darkest("BAS"), darkest("LYT"), darkest("NGS"))


@pytest.mark.parametrize("wrong", [{"code": "XYZ"}, {"size": 16}, {"size": 1024}])
def test_cells_that_are_none(wrong: dict[str, object]) -> None:
    options = {"code": "NGS", "seed": 0, "size": 64, **wrong}
    with pytest.raises(ValueError, match=r"must be .*got"):
        cell(**options)  # type: ignore[arg-type]


# ---- aerial photographs


def test_frames(frames: list[tuple[Scene, NDArray[np.bool_]]]) -> None:
    for scene, mask in frames:
        assert scene.shape == (256, 384, 3)
        assert scene.dtype == np.float32
        assert mask.shape == (256, 384)
        assert mask.dtype == np.bool_
        assert np.isfinite(scene).all()
        assert scene.min() >= 0
        encoded = np.clip(scene, 0, 1) ** (1 / 2.2)
        assert 0.2 < encoded.mean() < 0.5
        assert encoded.std() > 0.05
        assert 0.0005 < mask.mean() < 0.2
    assert len({scene.tobytes() for scene, _ in frames}) == len(frames)


def test_masks_lie_on_cars(frames: list[tuple[Scene, NDArray[np.bool_]]]) -> None:
    contrasts, areas = [], []
    for scene, mask in frames:
        labelled, count = ndimage.label(mask)
        around = ~ndimage.binary_dilation(mask, iterations=2)
        for number in range(1, count + 1):
            car = labelled == number
            rows, columns = np.nonzero(car)
            inside = (
                rows.min() > 0 and columns.min() > 0 and rows.max() < 255 and columns.max() < 383
            )
            if inside:
                areas.append(int(car.sum()))
            ring = ndimage.binary_dilation(car, iterations=8) & around
            if car.sum() < 60 or not ring.any():
                continue
            encoded = np.clip(scene, 0, 1) ** (1 / 2.2)
            # A car differs from the ground in brightness or, as its windows do, in variety.
            mean = np.abs(encoded[car].mean(0) - encoded[ring].mean(0)).max()
            contrasts.append(max(mean, encoded[car].std(0).max() - encoded[ring].std(0).min()))
    assert len(contrasts) >= 10
    assert np.median(contrasts) > 0.05
    # At half scale a car is about 27 x 12 pixels; trees and roofs may cover part of it.
    assert 150 < np.median(areas) < 450


def test_moving_the_masks_loses_the_cars(frames: list[tuple[Scene, NDArray[np.bool_]]]) -> None:
    """The edges of a mask lie on edges of the picture, and nowhere else."""
    ratios = []
    for scene, mask in frames:
        luma = (np.clip(scene, 0, 1) ** (1 / 2.2)).mean(2)
        steepness = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1))
        edge = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask)
        moved = [np.roll(edge, shift, (0, 1)) for shift in ((40, 0), (0, 40), (-40, 0), (0, -40))]
        ratios.append(
            steepness[edge].mean() / np.mean([steepness[other].mean() for other in moved])
        )
    assert np.mean(ratios) > 1.3


def test_the_same_state_gives_the_same_frame() -> None:
    one, two = (render_frame(np.random.default_rng(3), 64, 96, 0.25) for _ in range(2))
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1].tobytes() == two[1].tobytes()


@pytest.mark.parametrize("wrong", [{"height": 0}, {"width": -1}, {"scale": 0.0}])
def test_frames_that_are_none(wrong: dict[str, float]) -> None:
    options = {"height": 64, "width": 64, "scale": 1.0, **wrong}
    with pytest.raises(ValueError, match="must be positive"):
        render_frame(np.random.default_rng(0), **options)  # type: ignore[arg-type]


# ---- through the camera


@pytest.mark.parametrize("name", ["microscopy", "drone"])
def test_the_pipeline_gives_the_scene_back(name: str) -> None:
    scene = np.full((64, 64, 3), (0.55, 0.35, 0.45), np.float32)
    mosaic = capture_scene(scene, SENSORS[name], intensity=1.0, seed=(1, 2))
    assert mosaic.shape == (64, 64)
    view = static_pipeline(Camera.preset(name), "bi,s,ga")(mosaic[None])[0]
    expected = torch.tensor([0.55, 0.35, 0.45]) ** (1 / 2.2)
    torch.testing.assert_close(view.mean((1, 2)), expected, atol=0.01, rtol=0)


def test_capture_follows_its_seed() -> None:
    scene = np.full((8, 8, 3), 0.4, np.float32)
    one, again, other = (
        capture_scene(scene, SENSORS["drone"], intensity=1.0, seed=seed)
        for seed in ((0, 1), (0, 1), (0, 2))
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_only_the_noise_of_the_sensors_is_assumed() -> None:
    for name, sensor in SENSORS.items():
        preset = Camera.preset(name)
        assert sensor.colour_matrix == preset.colour_matrix
        assert sensor.white_balance == preset.white_balance
        assert sensor.black_level == preset.black_level
    assert SENSORS["drone"].full_scale_electrons == pytest.approx(65535 / 8.448)


def view_statistics(dataset: RawMicroscopy | RawDrone) -> tuple[list[float], float]:
    view = static_pipeline(dataset.camera, "bi,s,ga")(dataset.load()[0])
    return view.mean((0, 2, 3)).tolist(), view.std((2, 3)).mean().item()


def test_microscopy_views_are_bright_and_purple(root: Path) -> None:
    (red, green, blue), spread = view_statistics(RawMicroscopy(root))
    # Published: .91 .84 .94 on the real set, whose fields are emptier.
    assert 0.75 < red < 0.95
    assert 0.6 < green < 0.9
    assert 0.75 < blue < 0.97
    assert green < red
    assert green < blue
    assert 0.05 < spread < 0.25


def test_drone_views_are_as_bright_as_the_published(root: Path) -> None:
    means, spread = view_statistics(RawDrone(root))
    # Published: .35 .36 .35, standard deviation .12.
    assert means == pytest.approx([0.35, 0.36, 0.35], abs=0.06)
    assert max(means) - min(means) < 0.06
    assert 0.05 < spread < 0.2
