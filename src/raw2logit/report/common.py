"""Pieces that several reports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from raw2logit.datasets import Split
from raw2logit.datasets.base import is_generated
from raw2logit.isp import Pipeline
from raw2logit.report.figures import learning_curves, view_gallery
from raw2logit.report.html import Table
from raw2logit.tasks.training import TASKS, LoadedData

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "iou": "IoU",
    "r2": "R\u00b2",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
}
"""What people read instead of the names in ``results.csv``."""

SHARES = frozenset({"accuracy", "balanced_accuracy", "iou"})
"""The metrics that are shown in percent; the others are plain numbers."""

NOTHING = "\u2013"
"""What stands for a number that was not measured: an en dash."""

Histories = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]


def percent(value: float | None, spread: float | None = None) -> str:
    """Write a share as ``83.1 %`` or ``83.1 ± 1.2 %``; a dash for None."""
    return _in_unit(value, spread, "%")


def points(value: float | None, spread: float | None = None) -> str:
    """Write a difference of shares as ``4.2 points`` or ``4.2 ± 0.3 points``; a dash for None."""
    return _in_unit(value, spread, "points")


def score(metric: str, value: float | None, spread: float | None = None) -> str:
    """Write a value of a metric: in percent if it is a share, else as a plain number."""
    return percent(value, spread) if metric in SHARES else _plain(metric, value, spread)


def difference(metric: str, value: float | None, spread: float | None = None) -> str:
    """Write a difference of two values of a metric: in points if it is a share, else plain."""
    return points(value, spread) if metric in SHARES else _plain(metric, value, spread)


def _plain(metric: str, value: float | None, spread: float | None) -> str:
    if value is None:
        return NOTHING
    # R squared has no unit; an error has that of the label, which may be of any size.
    if metric == "r2":
        text, band = f"{round(value, 3) + 0.0:.3f}", f"{spread or 0:.3f}"
    else:
        text, band = f"{value:.4g}", f"{spread or 0:.2g}"
    return text if spread is None else f"{text}\u00a0\u00b1\u00a0{band}"


def _in_unit(value: float | None, spread: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    # Rounding first keeps a tiny negative difference from showing as -0.0.
    text = f"{round(100 * value, 1) + 0.0:.1f}"
    if spread is not None:
        text += f"\u00a0±\u00a0{100 * spread:.1f}"
    return f"{text}\u00a0{unit}"


def pick_samples(data: LoadedData, among: Sequence[int], count: int) -> list[int]:
    """Choose samples to show: one a class, the largest masks, or numbers from low to high."""
    if data.dataset.task == "segmentation":
        share = data.targets[torch.as_tensor(among)].mean(dim=(1, 2))
        return [among[int(index)] for index in share.argsort(descending=True)[:count]]
    if data.dataset.task == "regression":
        order = data.targets[torch.as_tensor(among)].argsort().tolist()
        steps = torch.linspace(0, len(order) - 1, min(count, len(order))).round().int().tolist()
        return [among[order[step]] for step in steps]
    first: dict[int, int] = {}
    for index in among:
        first.setdefault(data.dataset.labels[index], index)
    others = [index for index in among if index not in first.values()]
    return [*first.values(), *others][:count]


@torch.inference_mode()
def make_views(pipelines: Mapping[str, Pipeline], raw: Tensor) -> dict[str, Tensor]:
    """Process one ``(H, W)`` mosaic with several pipelines: ``(3, H, W)`` each."""
    return {name: pipeline(raw[None])[0] for name, pipeline in pipelines.items()}


GALLERY_CAPTION = (
    "Samples of the test part. Left the raw mosaic, brightened to be seen; then the same raw data "
    "through each view."
)


def gallery(data: LoadedData, pipelines: Mapping[str, Pipeline], indices: Sequence[int]) -> Figure:
    """Draw samples as rows: raw mosaic, then each view."""
    rows = []
    for index in indices:
        raw = data.raw[index]
        label = data.dataset.files[index].stem
        if data.dataset.task == "classification":
            label = data.dataset.classes[data.dataset.labels[index]]
        elif data.dataset.task == "regression":
            label = f"{float(data.targets[index]):.4g}"
        rows.append((label, {"raw": raw, **make_views(pipelines, raw)}))
    return view_gallery(rows)


CURVES_CAPTION = (
    "Validation part, mean and standard deviation over splits. The epoch with the lowest "
    "validation loss is the one that was tested."
)


def curves(histories: Histories, metric: str) -> Figure:
    """Draw a validation metric over epochs."""
    return learning_curves(
        {
            name: [
                ([row["epoch"] for row in rows], [row[f"val_{metric}"] for row in rows])
                for rows in runs
            ]
            for name, runs in histories.items()
        },
        f"validation {METRIC_NAMES[metric]}",
    )


def parts_table(splits: Sequence[Split], baselines: Sequence[float], data: LoadedData) -> Table:
    """Tell how large the parts of each split are, and what a blind model scores."""
    groups = data.dataset.groups
    metric = TASKS[data.dataset.task].primary_metric
    noun = data.dataset.group_noun
    rows = [
        [
            str(number),
            *(
                f"{len(part)} in {len({groups[index] for index in part})} groups"
                for part in (split.train, split.validation, split.test)
            ),
            score(metric, baseline),
        ]
        for number, (split, baseline) in enumerate(zip(splits, baselines, strict=True), start=1)
    ]
    return Table(
        ["split", "train", "validation", "test", "blind score on test"],
        rows,
        caption="Images in each part. "
        + (
            f"A {noun} may be in several parts."
            if leaks(splits, data)
            else "Every image is a group of its own."
            if noun == "image"
            else f"No {noun} is in two parts."
        ),
        align="llllr",
    )


def leaks(splits: Sequence[Split], data: LoadedData) -> bool:
    """Tell whether a group is in two parts of a split."""
    return any(split.shared_groups(data.dataset.groups) for split in splits)


def not_controlled(splits: Sequence[Split], data: LoadedData) -> list[str]:
    """Return, as plain sentences, what a reader must not conclude from a run."""
    smallest = min(len(split.test) for split in splits)
    sentences = [
        "One split gives no spread: repeat with --splits 5 before you trust a difference."
        if len(splits) == 1
        else f"The spread is the standard deviation over {len(splits)} splits; it mixes the choice "
        "of images with the seed of the training. The splits share training images, so it is "
        "likely too small.",
        f"The smallest test part has {smallest} images."
        + (
            f" One image is {100 / smallest:.1f} points of accuracy."
            if data.dataset.task == "classification"
            else ""
        ),
        "Hyperparameters were the same for every view and were not tuned for any.",
        f"Images are {' x '.join(map(str, data.raw.shape[-2:]))} pixels. An ISP acts on the scale "
        "of a pixel, so the same drift weighs more on small images than on large ones.",
        f"The splits do not keep a {data.dataset.group_noun} in one part: test images have near "
        "twins in training, so scores are too high; --split-by group mends it."
        if leaks(splits, data)
        else data.dataset.group_caveat,
        *data.dataset.caveats,
    ]
    if missing := _missing_classes(splits, data):
        sentences.insert(
            1,
            f"Too rare to be in every part of every split: {', '.join(missing)}. Accuracy hardly "
            "counts rare classes; balanced accuracy does.",
        )
    if is_generated(data.dataset):
        sentences.insert(
            0,
            "The images were generated by a simulation of scene, optics and sensor. They show how "
            "the method works; they do not show how a model does on real images.",
        )
    return sentences


def _missing_classes(splits: Sequence[Split], data: LoadedData) -> list[str]:
    """Name the classes that some part of some split has no image of."""
    labels = data.dataset.labels
    parts = [
        {labels[index] for index in part}
        for split in splits
        for part in (split.train, split.validation, split.test)
    ]
    return [
        name
        for label, name in enumerate(data.dataset.classes)
        if not all(label in part for part in parts)
    ]
