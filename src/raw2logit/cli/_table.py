"""Print rows as a table for people, or as CSV or JSON for programs."""

from __future__ import annotations

import csv
import datetime
import decimal
import itertools
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.cells import cell_len, set_cell_size

RowFormat = Annotated[Literal["table", "csv", "json"], Parameter(name="--format")]
Limit = Annotated[int | None, Parameter(validator=Number(gte=1))]

_GAP = "  "
_WIDTH = 100
"""Of a table, where nothing tells how wide the terminal is."""
_NARROWEST = 20


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    form: Literal["table", "csv", "json"],
    *,
    limit: int | None = None,
) -> None:
    """Print rows to standard output as they come; a table when it knows how wide it gets.

    Args:
        columns: Their names.
        rows: Anything a database returns; no more than `limit` + 1 are taken.
        form: table: numbers to six digits, times to seconds, long texts cut to the width of the
            terminal, a note on standard error if there are no rows or more; csv: with a header;
            json: a list of objects, equal names are numbered.
        limit: Rows to print; None: all.
    """
    left = iter(rows)
    shown = itertools.islice(left, limit)
    try:
        if form == "table":
            found = _print_table(columns, shown)
            if not found:
                print("no rows", file=sys.stderr)
            elif limit is not None and next(left, None) is not None:
                print(f"the first {limit}; --limit shows more", file=sys.stderr)
        elif form == "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_text(value) for value in row] for row in shown)
        else:
            _print_json(_unique(columns), shown)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough (`| head`). Python would complain at its own last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    body = [[_cell(value) for value in row] for row in rows]
    lines = [[_cell(name) for name in columns], *body]
    widths = _fit([max(map(cell_len, column)) for column in zip(*lines, strict=True)])
    for line in lines:
        cells = [_sized(text, width) for text, width in zip(line, widths, strict=True)]
        print(_GAP.join(cells).rstrip())
    return len(body)


def _fit(widths: list[int]) -> list[int]:
    """Return the widths of columns, the widest narrowed till a line fits the terminal."""
    room = shutil.get_terminal_size((_WIDTH, 1)).columns - len(_GAP) * (len(widths) - 1)
    widths = [min(width, max(room, _NARROWEST)) for width in widths]
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _sized(text: str, width: int) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…"
    return set_cell_size(text, width)


def _print_json(names: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    before = "["
    for row in rows:
        content = dict(zip(names, map(_plain, row), strict=True))
        print(f"{before}\n {json.dumps(content, ensure_ascii=False)}", end="")
        before = ","
    print("[]" if before == "[" else "\n]")


def _unique(columns: Sequence[str]) -> list[str]:
    names: list[str] = []
    for column in columns:
        name, number = column, 1
        while name in names:
            number += 1
            name = f"{column}_{number}"
        names.append(name)
    return names


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    # On one line, and without what a terminal would obey.
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in _text(value)
    )


def _text(value: object) -> str:
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return "" if plain is None else json.dumps(plain, ensure_ascii=False)


def _plain(value: object) -> object:
    """Return what JSON can hold: times in ISO 8601, bytes in hexadecimal, text for what is rare."""
    match value:
        case None | bool() | int() | str():
            return value
        case decimal.Decimal() if value.is_finite() and value == value.to_integral_value():
            return int(value)
        case float() | decimal.Decimal():
            # JSON knows no other numbers.
            return float(value) if math.isfinite(value) else str(float(value))
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return value.hex()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [_plain(item) for item in value]
        case _:
            return str(value)
