"""What a training keeps of its images: values, files, and that a kill changes nothing."""

from __future__ import annotations

import csv
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from raw2logit.errors import InputError
from raw2logit.report._canvas import Tile, display_range, draw_grid, number, wrap
from raw2logit.report._trace_sheets import _words
from raw2logit.report.traces import TraceWriter
from raw2logit.tasks.config import TrackConfig
from tests.report.traced import EVERYTHING, Named, made_up

Pixels = npt.NDArray[np.uint8]
TARGET, PREDICTION, NOT_FINITE = (240, 228, 66), (216, 27, 96), (216, 27, 96)
RIGHT, WRONG = (0, 120, 90), (196, 60, 0)


def writer(folder: Path, config: TrackConfig = EVERYTHING, **task: str) -> TraceWriter:
    return TraceWriter(folder, Named(task.get("task", "classification")), [3, 5], config)  # type: ignore[arg-type]


def pixels_of(path: Path) -> Pixels:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def places_of(tile: Pixels, sheet: Pixels) -> list[tuple[int, int]]:
    """Return where in a sheet a picture stands, row and column of its corner."""
    high, wide = tile.shape[:2]
    corners = np.argwhere((sheet == tile[0, 0]).all(axis=-1))
    return [
        (int(y), int(x))
        for y, x in corners
        if np.array_equal(sheet[y : y + high, x : x + wide], tile)
    ]


def tile_of(values: torch.Tensor, enlarge: int) -> Pixels:
    """Turn brightness in [0, 1], ``(H, W)`` or ``(3, H, W)``, into pixels."""
    picture = np.rint(255 * values.double().numpy()).astype(np.uint8)
    picture = np.stack([picture] * 3) if picture.ndim == 2 else picture
    return picture.transpose(1, 2, 0).repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- Sheets ---------------------------------------------------------------------------------


def test_stages_are_shown_as_documented_in_columns_by_order_and_rows_by_sample(
    tmp_path: Path,
) -> None:
    trace = made_up()
    writer(tmp_path).write(trace, 3)
    sheet = pixels_of(tmp_path / "stages" / "epoch-0003.png")
    corners = np.zeros((2, 2, 5, 2), int)
    stages = {"raw": trace.raw, **trace.stages}
    gradients = {"raw": trace.raw_gradient, **trace.gradients}
    for column, (name, stage) in enumerate(stages.items()):
        low, high = 0.0, 1.0
        if name != "gamma":
            high = np.percentile(stage.double().numpy(), 99.5)
        if name == "white_balance":  # far below zero
            low = np.percentile(stage.double().numpy(), 0.5)
        shown = ((stage.double() - low) / (high - low)).clamp(0, 1)
        shown = shown if name == "gamma" else shown ** (1 / 2.2)
        for sample in range(2):
            gradient = gradients[name][sample].double()
            span = np.percentile(gradient.abs().numpy(), 99.5)
            signed = (0.5 + 0.5 * gradient / span).clamp(0, 1)
            for kind, picture in enumerate((signed, shown[sample])):
                places = places_of(tile_of(picture, 10), sheet)
                assert len(places) == 1, (name, sample, kind)
                corners[sample, kind, column] = places[0]
    assert (np.diff(corners[..., 0], axis=2) == 0).all()  # one row
    assert (corners[0, :, :, 1] == corners[1, :, :, 1]).all()  # one column
    steps = np.diff(corners[0, 0, :, 1])
    assert (steps == steps[0]).all()
    assert steps[0] > 160
    rows = corners[:, :, 0, 0].ravel()
    assert (np.diff(rows) > 160).all()  # gradient, image, gradient, image


def test_without_gradients_only_the_stages_are_drawn(tmp_path: Path) -> None:
    config = TrackConfig(track_processing=True)
    writer(tmp_path, config).write(made_up(), 1)
    both = dataclasses.replace(config, track_processing_gradients=True)
    writer(tmp_path / "both", both).write(made_up(), 1)
    low = pixels_of(tmp_path / "stages" / "epoch-0001.png")
    high = pixels_of(tmp_path / "both" / "stages" / "epoch-0001.png")
    assert low.shape[1] == high.shape[1]
    assert high.shape[0] > low.shape[0] + 2 * 160


@pytest.mark.parametrize(("side", "shown"), [(16, 160), (64, 128), (256, 256), (512, 128)])
def test_small_pictures_are_enlarged_and_large_ones_averaged(
    tmp_path: Path, side: int, shown: int
) -> None:
    trace = made_up(side=side)
    trace.stages["gamma"][:] = 0.25
    trace.stages["gamma"][0, :, : side // 2] = 0.75
    writer(tmp_path, TrackConfig(track_processing=True)).write(trace, 1)
    tile = np.full((shown, shown, 3), 64, np.uint8)
    tile[: shown // 2] = 191
    assert len(places_of(tile, pixels_of(tmp_path / "stages" / "epoch-0001.png"))) == 1


def test_differences_are_amplified_by_a_power_of_two_around_mid_grey(tmp_path: Path) -> None:
    trace = made_up()
    writer(tmp_path).write(trace, 3)
    sheet = pixels_of(tmp_path / "differences" / "epoch-0003.png")
    difference = trace.view.double() - trace.default_view.double()
    gain = 16  # differences reach .02: 32 times that is more than half of the range
    assert np.percentile(difference.abs().numpy(), 99.5) * 2 * gain > 0.5
    for sample in range(2):
        columns = []
        changed = (0.5 + gain * difference[sample]).clamp(0, 1)
        for picture in (trace.view[sample], trace.default_view[sample], changed):
            places = places_of(tile_of(picture, 10), sheet)
            assert len(places) == 1
            columns.append(places[0][1])
        assert columns == sorted(columns)


def test_where_there_is_no_difference_it_is_grey(tmp_path: Path) -> None:
    trace = made_up()
    trace.default_view[:] = trace.view
    writer(tmp_path).write(trace, 3)
    sheet = pixels_of(tmp_path / "differences" / "epoch-0003.png")
    assert places_of(np.full((160, 160, 3), 128, np.uint8), sheet)


def test_classes_are_framed_by_verdict_and_listed(tmp_path: Path) -> None:
    trace = made_up()
    writer(tmp_path).write(trace, 3)
    sheet = pixels_of(tmp_path / "predictions" / "epoch-0003.png")
    for sample, colour in ((0, RIGHT), (1, WRONG)):
        ((y, x),) = places_of(tile_of(trace.view[sample], 12), sheet)
        assert (sheet[y - 2, x : x + 192] == colour).all()
        assert (sheet[y : y + 192, x - 2] == colour).all()
    with (tmp_path / "predictions" / "epoch-0003.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = Named("classification").classes
    assert [row["sample"][-1] for row in rows] == ["3", "5"]
    for sample, row in enumerate(rows):
        probability = torch.softmax(trace.logits[sample].double(), 0)
        assert row["epoch"] == "3"
        assert row["true"] == names[int(trace.targets[sample])]
        assert row["predicted"] == names[int(probability.argmax())]
        assert float(row["probability"]) == pytest.approx(float(probability.max()))
        truth = float(probability[trace.targets[sample]])
        assert float(row["probability_of_true"]) == pytest.approx(truth)
        assert float(row["loss"]) == pytest.approx(float(trace.losses[sample]))
        assert row["correct"] == ("True" if sample == 0 else "False")


def test_masks_are_drawn_as_contours_that_both_stay_to_be_seen(tmp_path: Path) -> None:
    trace = made_up("segmentation")
    trace.stages["gamma"][:] = 0.2
    # The second sample: predicted as it is, so both contours run along the same border.
    trace.predictions[1] = trace.targets[1]
    writer(tmp_path, task="segmentation").write(trace, 3)
    sheet = pixels_of(tmp_path / "predictions" / "epoch-0003.png")
    grey = (sheet == 51).all(axis=-1)
    left = int(np.argwhere(grey.sum(axis=0) > 90)[0][0])  # letters have a few grey pixels too
    top = int(np.argwhere(grey.sum(axis=1) > 90)[0][0])
    first = sheet[top : top + 192, left : left + 192]  # 12 pixels each
    assert (first[48:50, 48:94] == TARGET).all()  # inside the target's border
    assert (first[48:50, 96:144] == TARGET).all()
    assert (first[48:144, 48:50] == TARGET).all()
    assert (first[46:48, 100:190] == PREDICTION).all()  # outside the prediction's
    assert (first[70:120, 94:96] == PREDICTION).all()
    assert (first[70:120, 60:90] == 51).all()
    assert (first[70:120, 150:] == 51).all()  # the frame is no border
    second = np.argwhere((sheet[:, left + 193 :] == TARGET).all(axis=-1))
    outer = np.argwhere((sheet[:, left + 193 :] == PREDICTION).all(axis=-1))
    assert outer[:, 1].min() == second[:, 1].min() - 2
    with (tmp_path / "predictions" / "epoch-0003.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["iou"]) for row in rows] == pytest.approx([32 / 96, 1.0])
    assert float(rows[0]["true_share"]) == pytest.approx(64 / 256)


def test_numbers_are_listed_in_their_unit(tmp_path: Path) -> None:
    trace = made_up("regression")
    writer(tmp_path, task="regression").write(trace, 3)
    with (tmp_path / "predictions" / "epoch-0003.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for sample, row in enumerate(rows):
        assert float(row["predicted"]) == pytest.approx(4000 + 10 * float(trace.logits[sample]))
        assert float(row["error"]) == pytest.approx(3, abs=1e-3)
    assert (tmp_path / "predictions" / "epoch-0003.png").is_file()


def test_what_is_not_finite_is_magenta_and_stops_nothing(tmp_path: Path) -> None:
    trace = made_up()
    trace.stages["demosaic"][0] = torch.nan
    trace.stages["gamma"][0, 1, 3, 4] = torch.inf
    trace.gradients["gamma"][:] = torch.nan
    trace.logits[:] = trace.predictions[:] = trace.losses[:] = torch.nan
    target = writer(tmp_path)
    target.write(trace, 0)
    target.write(made_up(), 1)
    assert target.finish()
    sheet = pixels_of(tmp_path / "stages" / "epoch-0000.png")
    # One stage, two gradients, and one pixel of a view.
    assert (sheet == NOT_FINITE).all(axis=-1).sum() == 3 * 160 * 160 + 10 * 10
    view = pixels_of(tmp_path / "predictions" / "epoch-0000.png")
    assert (view == NOT_FINITE).all(axis=-1).sum() == 12 * 12


# --- Files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ("track_processing", {"stages", "frames"}),
        ("track_processing_gradients", {"stages", "frames"}),
        ("track_predictions", {"predictions"}),
        ("track_differences", {"differences"}),
        ("track_save_tensors", {"tensors"}),
    ],
)
def test_each_option_brings_its_own(tmp_path: Path, option: str, kinds: set[str]) -> None:
    config = TrackConfig(track_every_epoch=True, **{option: True})
    target = writer(tmp_path, config)
    files = [*target.write(made_up(), 0), *target.write(made_up(seed=1), 1)]
    assert {path.parent.name for path in files} == kinds
    assert set(files) == {path for path in tmp_path.rglob("*") if path.is_file()}
    assert [path.name for path in target.finish()] == ["animation.gif"] * ("frames" in kinds)


def test_nothing_is_animated_that_was_looked_at_once_or_unasked(tmp_path: Path) -> None:
    for number_of, config in enumerate(
        (
            dataclasses.replace(EVERYTHING, track_every_epoch=False),
            dataclasses.replace(EVERYTHING, animation="none"),
        )
    ):
        target = writer(tmp_path / str(number_of), config)
        for epoch in range(2):
            target.write(made_up(), epoch)
        assert target.finish() == []
        assert not (tmp_path / str(number_of) / "frames").exists()
    target = writer(tmp_path / "once")
    target.write(made_up(), 0)
    assert target.finish() == []


def test_which_epochs_are_wanted(tmp_path: Path) -> None:
    at_end = dataclasses.replace(EVERYTHING, track_every_epoch=False)
    assert [writer(tmp_path).wants(epoch, 2) for epoch in range(3)] == [True] * 3
    assert [writer(tmp_path, at_end).wants(epoch, 2) for epoch in range(3)] == [False, False, True]
    assert not writer(tmp_path, TrackConfig(track_every_epoch=True)).wants(2, 2)


def test_tensors_are_whole_and_say_what_they_are(tmp_path: Path) -> None:
    trace = made_up()
    writer(tmp_path).write(trace, 3)
    with safe_open(tmp_path / "tensors" / "epoch-0003.safetensors", framework="pt") as file:
        about = json.loads(file.metadata()["raw2logit.trace"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert about["epoch"] == 3
    assert about["stages"] == list(trace.stages)
    assert about["samples"] == [f"Ma190c_lame1_zone1_composite_Mcropped_{i}" for i in (3, 5)]
    assert about["classes"][0] == "Bär"
    expected = {f"stage.{name}": stage for name, stage in trace.stages.items()}
    expected |= {f"gradient.{name}": gradient for name, gradient in trace.gradients.items()}
    expected |= {"raw": trace.raw, "gradient.raw": trace.raw_gradient, "view": trace.view}
    expected |= {"default_view": trace.default_view, "logits": trace.logits}
    expected |= {"targets": trace.targets, "losses": trace.losses}
    expected["predictions"] = trace.predictions
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], value) for name, value in expected.items())


def test_a_killed_training_leaves_the_same_bytes_as_an_undisturbed_one(tmp_path: Path) -> None:
    traces = [made_up(seed=epoch) for epoch in range(5)]
    undisturbed = writer(tmp_path / "a")
    for epoch, trace in enumerate(traces):
        undisturbed.write(trace, epoch)
    undisturbed.finish()
    for epochs in ((0, 1), (1, 2, 3), (0, 1, 2), (2, 3, 4)):
        resumed = writer(tmp_path / "b")
        for epoch in epochs:
            resumed.write(traces[epoch], epoch)
    # What a writer leaves that was killed within a file.
    leftover = tmp_path / "b" / "frames" / ".epoch-0002.raw2logit-0123abcd.png"
    leftover.write_bytes(b"half")
    resumed.finish()
    leftover.unlink()
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    assert (tmp_path / "a" / "animation.gif").stat().st_size > 10_000


def test_frames_keep_layout_and_scale_while_values_change(tmp_path: Path) -> None:
    target = writer(tmp_path)
    traces = [made_up(seed=0), made_up(seed=1)]
    traces[1].stages["demosaic"] *= 7
    traces[1].losses[:] = 123456.7
    traces[1].targets[:] = 2
    for epoch, trace in enumerate(traces):
        target.write(trace, epoch)
    first, second = (pixels_of(tmp_path / "frames" / f"epoch-000{i}.png") for i in range(2))
    assert first.shape == second.shape
    high = np.percentile(traces[0].stages["demosaic"].double().numpy(), 99.5)
    corners = []
    for trace, frame in zip(traces, (first, second), strict=True):
        shown = (trace.stages["demosaic"][0].double() / high).clamp(0, 1) ** (1 / 2.2)
        corners += places_of(tile_of(shown, 8), frame)
    assert len(corners) == 2
    assert corners[0] == corners[1]


def test_the_first_epoch_does_not_take_its_scale_from_what_lies_there(tmp_path: Path) -> None:
    brighter = made_up(seed=1)
    brighter.stages["demosaic"] *= 7
    writer(tmp_path / "a").write(made_up(), 0)
    for folder in ("a", "b"):
        writer(tmp_path / folder).write(brighter, 0)
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")


# --- Damage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "flipped"])
def test_a_broken_frame_is_named(tmp_path: Path, damage: str) -> None:
    target = writer(tmp_path)
    for epoch in range(3):
        target.write(made_up(), epoch)
    frame = tmp_path / "frames" / "epoch-0000.png"
    content = bytearray(frame.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    else:
        content = bytearray((tmp_path / "stages" / "epoch-0000.png").read_bytes())
    frame.write_bytes(content)
    for act in (target.finish, lambda: target.write(made_up(), 3)):
        with pytest.raises(InputError, match=r"epoch-0000\.png: .*delete it") as caught:
            act()
        assert "\n" not in str(caught.value)
    frame.unlink()
    assert target.finish()


def test_frames_of_another_run_are_named(tmp_path: Path) -> None:
    target = writer(tmp_path)
    target.write(made_up(), 0)
    target.write(made_up(), 1)
    narrow = made_up()
    for name in ("demosaic", "white_balance"):
        del narrow.stages[name]
    target.write(narrow, 2)
    with pytest.raises(InputError, match=r"epoch-0002\.png: .* pixels, but epoch-0000\.png has"):
        target.finish()


def test_a_trace_of_other_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 samples, the writer 2"):
        writer(tmp_path).write(made_up(n=3), 0)
    assert not list(tmp_path.iterdir())


# --- Small things ---------------------------------------------------------------------------


def test_ranges() -> None:
    ramp = np.linspace(0, 1, 1001)
    assert display_range(ramp, encoded=True) == (0, 1)
    assert display_range(ramp, encoded=False) == pytest.approx((0, 0.995))
    assert display_range(ramp - 0.1, encoded=False) == pytest.approx((0, 0.895))
    assert display_range(ramp - 0.5, encoded=False) == pytest.approx((-0.495, 0.495))
    assert display_range(np.zeros(4), encoded=False) == (0, 1)
    assert display_range(np.full(4, -2.0), encoded=False) == (-2, -1)
    assert display_range(np.full(4, np.nan), encoded=False) == (0, 1)
    assert display_range(np.array([np.inf, 2.0]), encoded=False) == (0, 2)


def test_text() -> None:
    assert number(-0.00001234) == "−1.23e−5"  # noqa: RUF001 - a proper minus
    assert number(1234567) == "1.23e6"
    assert number(-0.0) == "0"
    name = "Ma190c_lame1_zone1_composite_Mcropped_1"
    lines = wrap(name, 130, 3)
    assert "".join(lines) == name
    assert len(lines) == 2
    assert lines[0].endswith("_")
    assert wrap(name, 130, 1)[0].startswith("…")
    assert wrap("short", 130, 3) == ["short"]
    # Names differ at their ends.
    long = wrap("a sample with a very long name, " * 6 + "number 17", 130, 3)
    assert len(long) == 3
    assert long[-1].startswith("…")
    assert long[-1].endswith("number 17")


def test_text_that_people_did_not_mean_to_be_drawn() -> None:
    assert wrap("two\nlines\xa0\x07", 130, 3) == ["two lines \ufffd"]
    started = time.monotonic()
    lines = wrap("x" * 50_000 + "17", 130, 3)
    assert len(lines) == 3
    assert lines[-1].endswith("17")
    tile = Tile(np.zeros((8, 8, 3), np.uint8), [("a\nb" + "y" * 50_000, "black")])
    draw_grid([[tile]], title="a\nb" + "z" * 50_000)
    assert time.monotonic() - started < 5


def test_numbers_below_small_pictures_are_whole() -> None:
    verdict = {"predicted": -1234.5678, "true": -2345.6789, "error": -1111.1111}
    for text in _words(verdict, "regression"):
        assert wrap(text, 112, 1) == [text]
