"""Figures of a drift report: grids of a metric, curves, and sheets of views.

Every function returns a new `matplotlib.figure.Figure` made with the object
interface, so nothing here touches pyplot or its global state, and threads may
draw side by side. The colour maps can be told apart with any colour vision.
The sheets of views (`contact_sheet`, `view_gallery`, `difference_strip`) live
in `raw2logit.report._tiles` and are exported from here.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raw2logit.files import write_bytes
from raw2logit.report import _style as style
from raw2logit.report._heatmap import decimals_for, heatmap
from raw2logit.report._style import text_style, text_width_in
from raw2logit.report._tiles import contact_sheet, difference_strip, view_gallery

__all__ = [
    "contact_sheet",
    "difference_strip",
    "drift_heatmap",
    "drop_heatmap",
    "encode_figure",
    "learning_curves",
    "save_png",
    "view_gallery",
]

FloatArray: TypeAlias = npt.NDArray[np.float64]
Curve: TypeAlias = tuple[Sequence[float], Sequence[float]]


def drift_heatmap(
    mean: npt.ArrayLike,
    std: npt.ArrayLike | None,
    train_views: Sequence[str],
    test_views: Sequence[str],
    metric_name: str,
    *,
    percent: bool = True,
) -> Figure:
    """Draw the train x test grid of a metric, with its spread in every cell.

    Cells whose train and test view are the same are outlined. A missing value
    (NaN) is shown as a dash on grey.

    Args:
        mean: `(T, V)`, the metric for each train view (row) and test view (column).
        std: `(T, V)`, its standard deviation over splits and seeds; None or NaN where
            there is none, as with a single split.
        train_views: T names.
        test_views: V names.
        metric_name: What the numbers are, for example "Accuracy".
        percent: Whether the metric is a fraction in [0, 1] to be shown in percent.

    Returns:
        The figure; its label describes it in words.

    Raises:
        ValueError: If the shapes do not fit the names.
    """
    scale = 100.0 if percent else 1.0
    values, spread = _grid(mean, std, train_views, test_views, scale)
    finite = values[np.isfinite(values)]
    low, high = (0.0, scale)
    if finite.size:
        bottom, top = float(finite.min()), float(finite.max())
        # A range too narrow would paint noise in full colour.
        room = max(0.0, (5.0 if percent else 0.05 * abs(top)) - (top - bottom)) / 2
        ends = MaxNLocator(nbins=5).tick_values(bottom - room, top + room)
        low, high = float(ends[0]), float(ends[-1])
    if percent:
        low, high = max(low, 0.0), min(high, 100.0)
    has_spread = bool(np.isfinite(spread).any())
    own = bool(set(train_views) & set(test_views))
    figure = heatmap(
        values,
        spread,
        train_views,
        test_views,
        colours=style.SEQUENTIAL,
        norm=Normalize(low, high if high > low else low + 1),
        title=f"{metric_name}, %" if percent else metric_name,
        note="; ".join(["mean ± standard deviation"] * has_spread + ["outlined: own view"] * own),
        decimals=1 if percent else decimals_for(values),
    )
    figure.set_label(
        f"Grid of {metric_name} for models trained on {', '.join(train_views)} (rows) "
        f"and tested on {', '.join(test_views)} (columns)."
    )
    return figure


def drop_heatmap(
    mean: npt.ArrayLike,
    std: npt.ArrayLike | None,
    train_views: Sequence[str],
    test_views: Sequence[str],
    metric_name: str,
    *,
    percent: bool = True,
    higher_is_better: bool = True,
    least_reach: float = 0.05,
) -> Figure:
    """Draw the same grid as the drop from each model's own view, in points.

    The drop of a cell is the metric at the row's diagonal cell minus the metric
    at the cell, positive where the model got worse. A row whose train view is not
    among the test views has no reference and shows dashes.

    Args:
        mean: `(T, V)`, the metric itself (not the drop), as in `drift_heatmap`.
        std: `(T, V)`, standard deviation *of the drop* over splits and seeds (paired by
            split, so not that of the metric), or None.
        train_views: T names.
        test_views: V names.
        metric_name: What the numbers are, for example "Accuracy".
        percent: Whether the metric is a fraction in [0, 1]; the drop is then in
            percentage points.
        higher_is_better: False for an error, whose rise is the drop.
        least_reach: The full colour stands for at least this much of the metric, or the noise
            between two equal views would look like a result.

    Returns:
        The figure; its label describes it in words.

    Raises:
        ValueError: If the shapes do not fit the names.
    """
    scale = 100.0 if percent else 1.0
    values, spread = _grid(mean, std, train_views, test_views, scale)
    drop = np.full_like(values, np.nan)
    columns = {name: column for column, name in enumerate(test_views)}
    for row, name in enumerate(train_views):
        if name in columns:
            drop[row] = values[row, columns[name]] - values[row]
            spread[row, columns[name]] = np.nan  # zero by definition, so nothing spreads
    if not higher_is_better:
        drop = -drop
    finite = np.abs(drop[np.isfinite(drop)])
    reach = max(float(finite.max(initial=0.0)), least_reach * scale)
    # "Accuracy" becomes "accuracy", "IoU" stays.
    what = metric_name.lower() if metric_name[1:].islower() else metric_name
    figure = heatmap(
        drop,
        spread,
        train_views,
        test_views,
        colours=style.DIVERGING,
        norm=Normalize(-reach, reach),
        title=f"Drop in {what}, points" if percent else f"Drop in {what}",
        note="from the model's own view (outlined); orange: worse, blue: better",
        decimals=1 if percent else decimals_for(drop),
    )
    figure.set_label(
        f"Drop in {metric_name} from the own view of models trained on "
        f"{', '.join(train_views)} (rows) when tested on {', '.join(test_views)} (columns)."
    )
    return figure


def learning_curves(
    curves: Mapping[str, Sequence[Curve]], ylabel: str, *, xlabel: str = "Epoch"
) -> Figure:
    """Draw a metric during training: per train view the mean over runs, and a band.

    Runs recorded at different steps are interpolated linearly to the steps of all
    of them, as far as all of them reach. The band is one standard deviation each way.

    Args:
        curves: Per train view one `(steps, values)` a run (split, seed), both of the same
            length; steps ascend. Points that are not finite are left out.
        ylabel: What the values are.
        xlabel: What the steps are.

    Returns:
        The figure; its label describes it in words.

    Raises:
        ValueError: If there is no curve, or a run's steps and values differ in length.
    """
    if not curves:
        raise ValueError("learning_curves needs at least one curve, got an empty mapping")
    means = {name: _mean_curve(name, runs) for name, runs in curves.items()}
    order = sorted(means, key=lambda name: -means[name][1][-1])
    legend_in = max(text_width_in(name, style.LABEL_PT) for name in curves) + 0.75
    width, height = 6.8 + legend_in, max(3.9, 0.9 + 0.24 * len(curves))
    figure = Figure(figsize=(width, height), dpi=style.DPI, facecolor="white")
    axes = figure.add_axes(
        (0.6 / width, 0.55 / height, 5.95 / width, (height - 1.15) / height), facecolor="white"
    )
    for index, (name, (steps, mean, std)) in enumerate(means.items()):
        colour = style.LINE_COLOURS[index % len(style.LINE_COLOURS)]
        dash = style.LINE_DASHES[index // len(style.LINE_COLOURS) % len(style.LINE_DASHES)]
        marker = "o" if len(steps) == 1 else ""
        axes.plot(
            steps, mean, color=colour, linestyle=dash, linewidth=1.8, label=name, marker=marker
        )
        if std is not None:
            axes.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.13, linewidth=0)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=style.HAIRLINE, linewidth=0.7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(style.HAIRLINE)
    style.style_ticks(axes)
    axes.tick_params(axis="y", length=0)
    whole = all(float(x).is_integer() for steps, _, _ in means.values() for x in steps)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=whole))
    axes.set_xlabel(xlabel, **text_style(style.LABEL_PT, style.MUTED))
    top = 1 - 0.16 / height
    figure.text(0.12 / width, top, ylabel, va="top", **text_style(style.TITLE_PT, bold=True))
    several = max(len(runs) for runs in curves.values()) > 1
    if several:
        x = 0.12 + text_width_in(ylabel, style.TITLE_PT, bold=True) + 0.14
        note = "line: mean, band: ± one standard deviation"
        figure.text(
            x / width,
            top - 0.025 / height,
            note,
            va="top",
            **text_style(style.NOTE_PT, style.MUTED),
        )
    lines = {str(line.get_label()): line for line in axes.lines}
    legend = axes.legend(
        [lines[name] for name in order],
        order,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
        frameon=False,
        handlelength=2.2,
        prop={"family": style.FAMILY, "size": style.LABEL_PT},
        labelcolor=style.INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.set_label(f"{ylabel} during training on {', '.join(curves)}.")
    return figure


def save_png(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, under a temporary name that is then renamed.

    Args:
        figure: Any matplotlib figure; it is written at its own resolution.
        path: The file to write. Missing folders are made.

    Returns:
        The path written.
    """
    return write_bytes(Path(path), encode_figure(figure))


def encode_figure(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG, at its own resolution."""
    buffer = io.BytesIO()
    # Without the default "Software" entry the bytes depend on the picture alone.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _grid(
    mean: npt.ArrayLike,
    std: npt.ArrayLike | None,
    train_views: Sequence[str],
    test_views: Sequence[str],
    scale: float,
) -> tuple[FloatArray, FloatArray]:
    shape = (len(train_views), len(test_views))
    values = np.asarray(mean, dtype=np.float64) * scale
    spread = np.full(shape, np.nan) if std is None else np.asarray(std, dtype=np.float64) * scale
    for name, array in (("mean", values), ("std", spread)):
        if array.shape != shape or 0 in shape:
            raise ValueError(
                f"{name} has shape {array.shape}, expected {shape}: "
                f"{shape[0]} train views x {shape[1]} test views, at least one of each"
            )
    return values, spread


def _mean_curve(
    name: str, runs: Sequence[Curve]
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    if not runs:
        raise ValueError(f"curve {name!r} has no runs")
    cleaned: list[tuple[FloatArray, FloatArray]] = []
    for steps, values in runs:
        x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"curve {name!r}: steps {x.shape} and values {y.shape} must be equal")
        kept = np.isfinite(x) & np.isfinite(y)
        if not kept.any():
            raise ValueError(f"curve {name!r} has a run without a finite point")
        cleaned.append((x[kept], y[kept]))
    first, last = max(x[0] for x, _ in cleaned), min(x[-1] for x, _ in cleaned)
    common = np.unique(np.concatenate([x for x, _ in cleaned]))
    common = common[(common >= first) & (common <= last)]
    if not common.size:
        raise ValueError(f"curve {name!r}: its runs have no range of steps in common")
    stack = np.stack([np.interp(common, x, y) for x, y in cleaned])
    spread = stack.std(axis=0, ddof=1) if len(cleaned) > 1 else None
    return common, stack.mean(axis=0), spread
