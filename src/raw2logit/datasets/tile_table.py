"""The table of tiles: from where in which frame each was cut."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from raw2logit.errors import InputError
from raw2logit.files import write_text

TILE_TABLE = "tiles.csv"
"""Lies in the folder of tiled frames."""

TileSet = Literal["segmentation", "classification"]


class TileRow(NamedTuple):
    """One tile of the published layout.

    Attributes:
        set: The set that the tile belongs to.
        tile: Stem of its files.
        frame: Stem of the full frame's file.
        row: Of its top left pixel in the frame.
        column: Of its top left pixel in the frame.
        mask_share: Share of its pixels that show a car.
        label: ``car`` or ``no car`` in the classification set, else empty.
    """

    set: TileSet
    tile: str
    frame: str
    row: int
    column: int
    mask_share: float
    label: str


def write_tile_table(folder: Path, rows: Iterable[TileRow]) -> Path:
    """Write the table into a folder, complete or not at all."""
    return write_csv(folder / TILE_TABLE, TileRow._fields, rows)


def read_tile_table(folder: Path) -> list[TileRow]:
    """Read the table of a folder; none: no rows.

    Raises:
        InputError: It is broken; the message has the line.
    """
    path = folder / TILE_TABLE
    if not path.is_file():
        return []
    try:
        header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: no table ({error}): {_MEND}") from error
    if header != list(TileRow._fields):
        raise InputError(f"{path}: needs the columns {','.join(TileRow._fields)}: {_MEND}")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            which, tile, frame, row, column, share, label = line
            rows.append(
                TileRow(_set(which), tile, frame, int(row), int(column), float(share), label)
            )
        except ValueError as error:
            raise InputError(f"{path}:{number}: broken line ({error}): {_MEND}") from error
    return rows


_MEND = "take the file away and repeat the call that made it"


def _set(name: str) -> TileSet:
    for known in get_args(TileSet):
        if name == known:
            return cast("TileSet", known)
    raise ValueError(f"unknown set {name!r}")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV with newlines of one character, complete or not at all."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_text(path, buffer.getvalue())
