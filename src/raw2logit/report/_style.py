"""The look that all figures share: inks, type, and the measure of a line of text."""

from functools import lru_cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

DPI = 200
"""Two device pixels for each pixel of the page, which counts 100 of them to the inch."""

INK = "#1a2430"
MUTED = "#5a6675"
HAIRLINE = "#d3d9e0"
MISSING = "#eceff3"
NOT_FINITE = "#d81b60"

TITLE_PT = 11.5
LABEL_PT = 9.5
NOTE_PT = 8.5

DASH, MINUS, TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"

FAMILY = "DejaVu Sans"  # ships with matplotlib, so a figure looks the same on every machine

SEQUENTIAL = LinearSegmentedColormap.from_list(
    "raw2logit_blue", ["#f3f7fb", "#c9ddee", "#8ab8da", "#4489bd", "#1c5c94", "#0c3260"]
).with_extremes(bad=MISSING)

DIVERGING = LinearSegmentedColormap.from_list(
    "raw2logit_blue_orange",
    ["#0f4c81", "#5b94c4", "#bcd5e8", "#f7f7f5", "#f6cfa9", "#dd8438", "#8f4208"],
).with_extremes(bad=MISSING)

# Okabe and Ito's palette without yellow and black; a second dash pattern doubles it to twelve.
LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
LINE_DASHES = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)))


def text_style(size_pt: float, colour: str = INK, *, bold: bool = False) -> dict[str, Any]:
    """Keyword arguments for matplotlib text.

    Names come from the user: a dollar sign in them is a dollar sign, not mathematics.

    Args:
        size_pt: Font size in points.
        colour: A matplotlib colour.
        bold: Whether the text stands out.
    """
    return {
        "fontfamily": FAMILY,
        "fontsize": size_pt,
        "fontweight": "bold" if bold else "normal",
        "color": colour,
        "parse_math": False,
    }


@lru_cache(maxsize=1024)
def text_width_in(text: str, size_pt: float, *, bold: bool = False) -> float:
    """Width in inches of the widest line of a text, 0 for an empty one."""
    font = FontProperties(family=FAMILY, weight="bold" if bold else "normal", size=size_pt)
    # A dollar sign would start mathematics here; an S is as wide.
    lines = [line.replace("$", "S") for line in text.splitlines() if line.strip()]
    return max((TextPath((0, 0), x, prop=font).get_extents().x1 / 72 for x in lines), default=0.0)


def style_ticks(axes: Axes, size_pt: float = NOTE_PT, colour: str = MUTED) -> None:
    """Give an axes quiet ticks: short, muted, in the family of the figures."""
    axes.tick_params(
        labelsize=size_pt,
        labelcolor=colour,
        labelfontfamily=FAMILY,
        color=HAIRLINE,
        length=3,
        width=0.8,
    )
