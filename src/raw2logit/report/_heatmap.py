"""The drawing behind both heat maps: an annotated grid that stays legible at any size."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from raw2logit.report import _style as style
from raw2logit.report._style import text_style, text_width_in

FloatArray: TypeAlias = npt.NDArray[np.float64]


def heatmap(
    values: FloatArray,
    spread: FloatArray,
    train_views: Sequence[str],
    test_views: Sequence[str],
    *,
    colours: Colormap,
    norm: Normalize,
    title: str,
    note: str,
    decimals: int,
) -> Figure:
    """Draw a train x test grid, outlined where both are the same view.

    Args:
        values: `(T, V)`, in the unit to show; NaN for a missing cell.
        spread: `(T, V)`, standard deviations in the same unit, NaN where there is none.
        train_views: T names, top to bottom.
        test_views: V names, left to right.
        colours: Colour map of the values.
        norm: Range of the colour map.
        title: Bold line above.
        note: Quiet line below the title; may be empty.
        decimals: Decimals of the numbers.
    """
    rows, columns = values.shape
    crowd = max(rows, columns)
    cell, value_pt, spread_pt = (
        (0.92, 12.0, 8.5) if crowd <= 4 else (0.8, 11.0, 8.0) if crowd <= 7 else (0.68, 9.5, 7.0)
    )
    texts = [[_number(x, decimals) for x in row] for row in values.tolist()]
    cell_w = max(cell, *(text_width_in(t, value_pt) + 0.16 for row in texts for t in row))

    # All measures in inches, from the text itself: no layout engine, no surprise at any size.
    label_pt = style.LABEL_PT if crowd <= 7 else style.NOTE_PT
    label_widths = [text_width_in(name, label_pt) for name in test_views]
    widest = max(label_widths)
    slanted = widest > cell_w - 0.06
    left = 0.62 + max(text_width_in(name, label_pt) for name in train_views)
    head = 0.62 if note else 0.38
    top = head + 0.34 + (0.12 + 0.72 * widest if slanted else 0.24)
    bar_gap = 0.26
    grid_w, grid_h = cell_w * columns, cell * rows
    ends = [0.72 * w + (i + 0.5) * cell_w for i, w in enumerate(label_widths)] if slanted else []
    # Slanted labels may reach over the colour bar, which is lower, but not over the edge.
    needed = max((left + end + 0.12 for end in ends), default=0.0)
    needed_by_title = 0.32 + max(
        text_width_in(title, style.TITLE_PT, bold=True), text_width_in(note, style.NOTE_PT)
    )
    width = max(left + grid_w + bar_gap + 0.2 + 0.62, needed, needed_by_title)
    height = top + grid_h + 0.2

    figure = Figure(figsize=(width, height), dpi=style.DPI, facecolor="white")
    axes = figure.add_axes((left / width, 0.2 / height, grid_w / width, grid_h / height))
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=colours, norm=norm, edgecolors="white", linewidth=3.2
    )
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    for row, column in np.ndindex(rows, columns):
        value, deviation = values[row, column], spread[row, column]
        below = np.isfinite(value) and np.isfinite(deviation)
        ink = _ink_on(colours(norm(value))) if np.isfinite(value) else style.MUTED
        x, y = column + 0.5, row + (0.41 if below else 0.5)
        axes.text(x, y, texts[row][column], ha="center", va="center", **text_style(value_pt, ink))
        if below:
            axes.text(
                x,
                row + 0.74,
                f"± {_number(float(deviation), decimals)}",
                ha="center",
                va="center",
                **text_style(spread_pt, ink),
            )
        if train_views[row] == test_views[column]:
            # Thinner than the gap that it lies in, so that it stands clear of a dark cell.
            axes.add_patch(
                Rectangle(
                    (column, row),
                    1,
                    1,
                    fill=False,
                    edgecolor=style.INK,
                    linewidth=1.6,
                    clip_on=False,
                    zorder=3,
                )
            )
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(columns) + 0.5)
    axes.set_yticks(np.arange(rows) + 0.5)
    axes.set_xticklabels(test_views, **text_style(label_pt))
    if slanted:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticklabels(train_views, **text_style(label_pt))
    axes.tick_params(length=0, pad=5)
    axes.spines[:].set_visible(False)

    inch_x, inch_y = 1 / width, 1 / height
    quiet = text_style(style.NOTE_PT, style.MUTED)
    figure.text(left * inch_x, 1 - (head + 0.1) * inch_y, "Tested on", va="top", **quiet)
    figure.text(
        0.14 * inch_x, (0.2 + grid_h) * inch_y, "Trained on", va="top", rotation=90, **quiet
    )
    heading = text_style(style.TITLE_PT, bold=True)
    figure.text(0.12 * inch_x, 1 - 0.12 * inch_y, title, va="top", **heading)
    figure.text(0.12 * inch_x, 1 - 0.36 * inch_y, note, va="top", **quiet)
    bar = figure.add_axes(
        ((left + grid_w + bar_gap) * inch_x, 0.2 * inch_y, 0.15 * inch_x, grid_h * inch_y)
    )
    colour_bar = figure.colorbar(mesh, cax=bar)
    colour_bar.outline.set_visible(False)
    bar.yaxis.set_major_locator(MaxNLocator(nbins=3 if rows < 3 else 6))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", style.MINUS)))
    style.style_ticks(bar)
    return figure


def _number(value: float, decimals: int) -> str:
    if not np.isfinite(value):
        return style.DASH
    # Adding zero turns the -0.0 that rounding may leave into 0.0.
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}".replace("-", style.MINUS)


def decimals_for(values: FloatArray) -> int:
    """Decimals that leave three or four digits of the largest value."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return 4 if largest < 0.1 else 3 if largest < 10 else 2 if largest < 100 else 1


def _ink_on(colour: tuple[float, float, float, float]) -> str:
    """White or ink, whichever stands out more by the WCAG contrast ratio."""

    def luminance(rgb: tuple[float, float, float]) -> float:
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground, ink = luminance(colour[:3]), luminance(to_rgb(style.INK))
    return "white" if 1.05 / (ground + 0.05) > (ground + 0.05) / (ink + 0.05) else style.INK
