"""The pictures of a trace: its stages with their gradients, differences, and predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageColor
from torch import Tensor

from raw2logit.datasets.base import Task
from raw2logit.report import _style as style
from raw2logit.report._canvas import (
    Line,
    Pixels,
    Tile,
    column_width,
    display_range,
    draw_grid,
    fit,
    number,
    signed_pixels,
    span_of,
    stage_pixels,
    wrap,
)
from raw2logit.tasks.trace import Trace

Ranges = Mapping[str, tuple[float, float]]
"""By stage, and ``raw``: which values are black and white."""

SHEET_PX, PREDICTION_PX = 160, 200
"""Pictures of 64 pixels are shown at 128 and 192, those of 256 as they are."""
_LABEL_PX = 130
_PER_ROW = 4
_LARGEST_GAIN = 1024.0
# Of Okabe and Ito's palette, for any colour vision; dark enough for text on white.
_RIGHT, _WRONG = "#00785a", "#c43c00"
_TARGET, _PREDICTION = "#f0e442", "#d81b60"
RAW = "raw"


@dataclass(frozen=True)
class Samples:
    """What the samples of a trace are called.

    Attributes:
        task: What their targets are.
        classes: Names of the classes, by index.
        names: One a sample.
    """

    task: Task
    classes: Sequence[str]
    names: Sequence[str]

    def title(self, trace: Trace, index: int) -> list[Line]:
        """Return name, target and loss of a sample, as lines beside a row."""
        lines = [(text, style.INK) for text in wrap(self.names[index], _LABEL_PX, 3)]
        target = self.target_text(trace, index)
        texts = [*([target] if target else []), f"loss {number(float(trace.losses[index]))}"]
        return lines + [(text, style.MUTED) for text in texts]

    def target_text(self, trace: Trace, index: int) -> str:
        """Return the target of a sample in words; nothing for a mask."""
        if self.task == "segmentation":
            return ""
        target = trace.targets[index]
        if self.task == "classification":
            return f"true {self.classes[int(target)]}"
        return f"true {number(float(target), 4)}"


def stage_ranges(trace: Trace) -> dict[str, tuple[float, float]]:
    """Return how to show the stages, each in one scale for all samples."""
    return {
        RAW: display_range(trace.raw.numpy(), encoded=False),
        **{
            name: display_range(stage.numpy(), encoded=name in trace.encoded)
            for name, stage in trace.stages.items()
        },
    }


def draw_stages(
    trace: Trace,
    samples: Samples,
    ranges: Ranges,
    *,
    title: str,
    notes: Sequence[str],
    gradients: bool,
    target_px: int = SHEET_PX,
    only: Sequence[int] | None = None,
) -> Image.Image:
    """Draw one column a stage, the raw first, and one row a sample.

    Args:
        trace: What to draw.
        samples: Of the trace.
        ranges: See `stage_ranges`.
        title: First line.
        notes: Lines below it.
        gradients: Above each sample a row of its gradients, each in its own scale.
        target_px: About how large a picture shall be.
        only: Which samples; None: all.
    """
    columns = {RAW: (trace.raw, trace.raw_gradient)}
    columns |= {name: (stage, trace.gradients[name]) for name, stage in trace.stages.items()}
    rows: list[list[Tile | None]] = []
    labels: list[list[Line]] = []
    for index in range(len(trace.raw)) if only is None else only:
        label = samples.title(trace, index)
        if gradients:
            rows.append([_gradient_tile(each[index], target_px) for _, each in columns.values()])
            labels.append([*label, ("", style.INK), ("gradient of the loss", style.INK)])
            label = [("image", style.INK)]
        rows.append(
            [
                _stage_tile(stage[index], ranges[name], target_px, encoded=name in trace.encoded)
                for name, (stage, _) in columns.items()
            ]
        )
        labels.append(label)
    headers = [
        (
            name.replace("_", " "),
            "as it is"
            if name in trace.encoded
            else f"{number(ranges[name][0])} to {number(ranges[name][1])}",
        )
        for name in columns
    ]
    return draw_grid(
        rows,
        title=title,
        notes=notes,
        headers=headers,
        labels=labels,
        group=2 if gradients else 1,
    )


def _stage_tile(
    stage: Tensor, shown: tuple[float, float], target_px: int, *, encoded: bool
) -> Tile:
    picture = stage_pixels(stage.numpy(), shown, target_px, encoded=encoded)
    text = f"{number(float(stage.min()))} to {number(float(stage.max()))}"
    return Tile(picture, [(text, style.MUTED)])


def _gradient_tile(gradient: Tensor, target_px: int) -> Tile:
    span = span_of(gradient.numpy())
    norm = float(gradient.double().norm())
    texts = [f"norm {number(norm)}", f"\u00b1 {number(span)}" if norm else "zero"]
    picture = signed_pixels(gradient.numpy(), span, target_px)
    return Tile(picture, [(text, style.MUTED) for text in texts])


def draw_differences(trace: Trace, samples: Samples, *, title: str) -> Image.Image:
    """Draw view, default view, and the difference, amplified by one power of two for all."""
    encoded = trace.view_name in trace.encoded
    shown = display_range(trace.default_view.numpy(), encoded=encoded)
    difference = (trace.view.double() - trace.default_view.double()).numpy()
    gain = _gain(difference)
    rows = []
    for index in range(len(trace.raw)):
        rms = float(np.sqrt(np.mean(difference[index] ** 2)))
        views = [
            Tile(stage_pixels(view[index].numpy(), shown, SHEET_PX, encoded=encoded))
            for view in (trace.view, trace.default_view)
        ]
        changed = signed_pixels(difference[index], 0.5 / gain, SHEET_PX)
        rows.append([*views, Tile(changed, [(f"RMSE {number(rms)}", style.INK)])])
    return draw_grid(
        rows,
        title=title,
        notes=["Mid-grey: no difference."],
        headers=[("view",), ("default view",), (f"difference {style.TIMES} {gain:g}",)],
        labels=[samples.title(trace, index) for index in range(len(rows))],
    )


def _gain(difference: npt.NDArray[np.float64]) -> float:
    """Return the largest power of two that leaves 99.5 % of the differences inside the range."""
    span = span_of(difference)
    if not np.any(difference):
        return 1.0
    return float(2.0 ** np.clip(np.floor(np.log2(0.5 / span)), 0, np.log2(_LARGEST_GAIN)))


def draw_predictions(trace: Trace, samples: Samples, *, title: str) -> Image.Image:
    """Draw the views with prediction and target in words, or as contours."""
    encoded = trace.view_name in trace.encoded
    shown = display_range(trace.view.numpy(), encoded=encoded)
    tiles = []
    for index, verdict in enumerate(verdicts(trace, samples)):
        picture = stage_pixels(trace.view[index].numpy(), shown, PREDICTION_PX, encoded=encoded)
        if samples.task == "segmentation":
            _draw_contours(picture, trace.targets[index] > 0, trace.predictions[index] > 0.5)
        right = verdict.get("correct")
        colour = style.INK if right is None else _RIGHT if right else _WRONG
        names = wrap(samples.names[index], column_width(picture), 2)
        caption = [
            (text, colour if not line else style.INK)
            for line, text in enumerate(_words(verdict, samples.task))
        ]
        tiles.append(
            Tile(
                picture,
                [*caption, *((text, style.MUTED) for text in names)],
                border=None if right is None else colour,
            )
        )
    notes, legend = [], []
    if samples.task == "segmentation":
        legend = [("target", _TARGET), ("prediction", _PREDICTION)]
    elif samples.task == "classification":
        n_right = sum(bool(verdict["correct"]) for verdict in verdicts(trace, samples))
        notes = [f"{n_right} of {len(tiles)} right. Numbers are the model's probabilities."]
    rows = [tiles[i : i + _PER_ROW] for i in range(0, len(tiles), _PER_ROW)]
    return draw_grid(rows, title=title, notes=notes, legend=legend)


def verdicts(trace: Trace, samples: Samples) -> Iterator[dict[str, str | float | bool]]:
    """Return for each sample what was predicted and what is true: rows of the CSV.

    Yields:
        Classification: true, predicted, probability, probability_of_true, correct. Segmentation:
        iou (1 where the class neither is nor is seen), and the shares of pixels. Regression: true
        and predicted number and their difference. All: sample and loss.
    """
    for index, name in enumerate(samples.names):
        predicted, target = trace.predictions[index], trace.targets[index]
        row: dict[str, str | float | bool] = {"sample": name}
        if samples.task == "classification":
            best, truth = int(predicted.argmax()), int(target)
            row |= {
                "true": samples.classes[truth],
                "predicted": samples.classes[best],
                "probability": float(predicted[best]),
                "probability_of_true": float(predicted[truth]),
                "correct": best == truth,
            }
        elif samples.task == "segmentation":
            seen, there = predicted > 0.5, target > 0
            union = torch.count_nonzero(seen | there).item()
            both = torch.count_nonzero(seen & there).item()
            row |= {
                "iou": both / union if union else 1.0,
                "true_share": float(there.double().mean()),
                "predicted_share": float(seen.double().mean()),
            }
        else:
            row |= {
                "true": float(target),
                "predicted": float(predicted),
                "error": float(predicted) - float(target),
            }
        yield {**row, "loss": float(trace.losses[index])}


def _words(verdict: Mapping[str, str | float | bool], task: Task) -> list[str]:
    if task == "classification":
        mark = "\u2713" if verdict["correct"] else "\u2717"
        return [
            f"{mark} {verdict['predicted']}  {verdict['probability']:.2f}",
            f"true {verdict['true']}  {verdict['probability_of_true']:.2f}",
        ]
    if task == "segmentation":
        return [f"IoU {verdict['iou']:.2f}"]
    predicted, true, error = (
        number(float(verdict[key]), 4) for key in ("predicted", "true", "error")
    )
    return [f"predicted {predicted}", f"true {true}", f"error {error}"]


def _draw_contours(picture: Pixels, target: Tensor, prediction: Tensor) -> None:
    """Draw the target's border inside it and the prediction's outside: both stay to be seen."""
    for mask, colour, inside in ((target, _TARGET, True), (prediction, _PREDICTION, False)):
        large = (
            fit(mask.double().numpy()[..., None].repeat(3, axis=-1), PREDICTION_PX)[..., 0] > 127
        )
        core = large if inside else ~large
        picture[core & ~_eroded(core, 2)] = ImageColor.getrgb(colour)


def _eroded(mask: npt.NDArray[np.bool_], by_px: int) -> npt.NDArray[np.bool_]:
    """Take away what lies within `by_px` of the other side; the frame is no border."""
    for _ in range(by_px):
        padded = np.pad(mask, 1, mode="edge")
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask
