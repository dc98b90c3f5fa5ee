"""The rows of the table, and the marks that they are held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from timing import Spread

SPEED, TIME, MEMORY = "x the speed", "x the time", "GiB"


@dataclass(frozen=True)
class Mark:
    """A bound on the number in a row's column `ratio`.

    Attributes:
        bound: The number.
        unit: `SPEED`: theirs / ours, at least the bound. `TIME` (ours / theirs) and `MEMORY`: at
            most the bound.
    """

    bound: float
    unit: str

    def met(self, value: float) -> bool:
        """Tell whether a value keeps the mark."""
        return value >= self.bound if self.unit == SPEED else value <= self.bound

    def __str__(self) -> str:
        """Return the mark as the table shows it."""
        unit = " GiB" if self.unit == MEMORY else "x"
        return f"{'>=' if self.unit == SPEED else '<='} {self.bound:g}{unit}"


MARKS = {
    "linear view": Mark(20, SPEED),
    "median view": Mark(10, SPEED),
    "menon view": Mark(8, SPEED),
    "floor": Mark(3, TIME),
    "training": Mark(8, SPEED),
    "demosaic": Mark(5, SPEED),
    "frame memory": Mark(1.5, MEMORY),
    "frame per pixel": Mark(1.5, TIME),
    "compile": Mark(1, SPEED),
}


def view_mark(view: str) -> Mark:
    """Return the mark of one of the twelve views."""
    demosaic, _, denoise = view.split(",")
    if demosaic == "me":
        return MARKS["menon view"]
    return MARKS["median view" if denoise == "me" else "linear view"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What is measured.
        ours: What raw2logit takes.
        against: What it is compared with.
        theirs: What that takes.
        value: The ratio, or GiB; None: not measured.
        unit: `SPEED`, `TIME` or `MEMORY`.
        mark: What the value is held against, if anything.
    """

    what: str
    ours: str
    against: str = ""
    theirs: str = ""
    value: float | None = None
    unit: str = SPEED
    mark: Mark | None = None

    @property
    def missed(self) -> bool:
        """Whether there is a mark that was measured and not met."""
        return self.mark is not None and self.value is not None and not self.mark.met(self.value)

    @property
    def ratio(self) -> str:
        """The value as the table shows it."""
        if self.value is None:
            return ""
        return f"{self.value:.2f}{' ' if self.unit == MEMORY else ''}{self.unit}"

    def cells(self) -> list[str]:
        """Return the text of each column."""
        mark, met = "", ""
        if self.mark is not None:
            mark = str(self.mark)
            met = "not measured" if self.value is None else "no" if self.missed else "yes"
        return [self.what, self.ours, self.against, self.theirs, self.ratio, mark, met]


def compare(
    what: str,
    ours: Spread,
    against: str,
    theirs: Spread,
    mark: Mark | None = None,
    unit: str = SPEED,
) -> Row:
    """Make a row of two durations."""
    speed = theirs.median_s / ours.median_s
    value = speed if unit == SPEED else 1 / speed
    return Row(what, duration(ours), against, duration(theirs), value, unit, mark)


def duration(spread: Spread) -> str:
    """Write the median and the quartiles in milliseconds."""
    digits = max(0, 2 - math.floor(math.log10(1e3 * spread.median_s)))
    lower, median, upper = (
        f"{1e3 * value:.{digits}f}" for value in (spread.lower_s, spread.median_s, spread.upper_s)
    )
    return f"{median} ms ({lower} .. {upper})"


_HEAD = ["what", "ours", "against", "theirs", "ratio", "mark", "met"]


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table whose columns also align as plain text."""
    lines = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
