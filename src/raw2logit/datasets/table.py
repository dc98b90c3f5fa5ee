"""The table of a data set of one's own: a CSV with a raw file a line."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from raw2logit.datasets.base import Task
from raw2logit.errors import InputError, MissingDataError
from raw2logit.raw import SUFFIXES

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
"""Formats that keep a mask as it is; JPEG smears its border."""

_COLUMNS = ("file", "label", "mask", "group")
_TILE_COLUMNS = ("frame", "row", "column", "mask_share")
"""What the manifest of ``raw2logit data tile`` has beside; the frame stands in for a group."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I | re.ASCII)

_MOST_CODES = 20
"""So many different whole numbers, among more labels than that, may be codes of classes."""


@dataclass(frozen=True)
class Listing:
    """The samples of a data set, one entry a sample in each list that its task needs.

    Attributes:
        task: What the targets are.
        files: Raw files.
        groups: Of each file; a name of its own where nothing tells.
        classes: Names of the classes, for classification.
        values: Numbers, for regression.
        masks: Mask files, for segmentation.
    """

    task: Task
    files: list[Path]
    groups: list[str]
    classes: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class _Row:
    place: str
    cells: dict[str, str]


def read_table(path: Path, task: Task | None = None) -> Listing:
    """Read a CSV with the header ``file,label[,group]`` or ``file,mask[,group]``.

    Files are relative to the CSV. A column of masks means segmentation. Labels that are all
    numbers mean regression, class names classification; `task` decides otherwise, for instance
    for class codes. A column that is empty throughout counts as absent. The columns of a manifest
    of tiles may stand beside; of those only ``frame`` is used, as group where no group is named.

    Args:
        path: UTF-8, separated by commas.
        task: What the targets shall be read as; None: see above.

    Raises:
        MissingDataError: A file is not there.
        InputError: A line is broken; the message has its number.
    """
    rows = _read_rows(path)
    columns = {name for row in rows for name, cell in row.cells.items() if cell}
    task = task or _task_of(rows, columns)
    target = "mask" if task == "segmentation" else "label"
    if target not in columns:
        raise InputError(f"{path}: {task} needs the column {target!r}")
    group = "group" if "group" in columns else "frame" if "frame" in columns else None
    files: dict[Path, str] = {}
    groups = []
    for row in rows:
        for name in ("file", target, *([group] if group else ())):
            if not row.cells[name]:
                raise InputError(f"{row.place}: no {name}: fill it in, or take the line out")
        file = _path(path, row.cells["file"])
        _require_suffix(row, file, SUFFIXES)
        if file in files:
            raise InputError(f"{row.place}: {file} stands at {files[file]} too: keep one line")
        files[file] = row.place
        groups.append(row.cells[group] if group else row.cells["file"])
    _require_there(files)
    listing = Listing(task, list(files), groups)
    if task == "classification":
        listing.classes.extend(row.cells["label"] for row in rows)
    elif task == "regression":
        listing.values.extend(map(_number, rows))
    else:
        masks = [_path(path, row.cells["mask"]) for row in rows]
        for row, mask in zip(rows, masks, strict=True):
            _require_suffix(row, mask, MASK_SUFFIXES)
        _require_there({mask: row.place for row, mask in zip(rows, masks, strict=True)})
        listing.masks.extend(masks)
    return listing


def _read_rows(path: Path) -> list[_Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no UTF-8 text ({error}): save the table as CSV") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    lines = []
    try:
        for line in reader:
            cells = [cell.strip() for cell in line]
            if any(cells):
                lines.append((f"{path}:{reader.line_num}", cells))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: broken line ({error}): mend it") from error
    if not lines:
        raise InputError(f"{path}: empty: the first line is file,label or file,mask")
    place, header = lines[0][0], [name.lower() for name in lines[0][1]]
    known = (*_COLUMNS, *_TILE_COLUMNS)
    if unknown := [name for name in header if name not in known]:
        raise InputError(
            f"{place}: unknown column {unknown[0]!r}: known are {' '.join(_COLUMNS)}, separated by "
            f"commas, and from a manifest of tiles {' '.join(_TILE_COLUMNS)}"
        )
    if len(set(header)) < len(header):
        raise InputError(f"{place}: a column stands twice: {','.join(header)}")
    if "file" not in header or not {"label", "mask"} & set(header):
        raise InputError(f"{place}: needs the columns 'file' and 'label' or 'mask'")
    rows = []
    for place, cells in lines[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{place}: {len(cells)} values for the {len(header)} columns {','.join(header)}: "
                "put a value that holds a comma in quotes"
            )
        rows.append(_Row(place, dict(zip(header, cells, strict=True))))
    if not rows:
        raise InputError(f"{path}: names no file: add a line for each")
    return rows


def _task_of(rows: list[_Row], columns: set[str]) -> Task:
    if "mask" in columns:
        return "segmentation"
    labelled = [row for row in rows if row.cells.get("label")]
    words = [row for row in labelled if not _NUMBER.fullmatch(row.cells["label"])]
    if words and len(words) < len(labelled):
        raise InputError(
            f"{words[0].place}: label {words[0].cells['label']!r} is no number, but "
            f"{len(labelled) - len(words)} others are: mend it, or say that all are classes "
            "(--task classification)"
        )
    if words or not labelled:
        return "classification"
    values = {float(row.cells["label"]) for row in labelled}
    if len(values) <= _MOST_CODES < len(labelled) and all(map(float.is_integer, values)):
        warnings.warn(
            f"{labelled[0].place}: the labels are {len(values)} whole numbers, read as a "
            "regression: if they are codes of classes, say so (--task classification)",
            stacklevel=2,
        )
    return "regression"


def _number(row: _Row) -> float:
    text = row.cells["label"]
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise InputError(f"{row.place}: label {text!r} is no finite number: mend it")
    return value


def _path(table: Path, name: str) -> Path:
    # The same file under two spellings is the same file.
    return Path(os.path.normpath(table.parent / name))


def _require_suffix(row: _Row, file: Path, suffixes: tuple[str, ...]) -> None:
    if file.suffix.lower() not in suffixes:
        raise InputError(
            f"{row.place}: {file.name}: unknown kind of file: name one of {' '.join(suffixes)}"
        )


def _require_there(files: dict[Path, str]) -> None:
    missing = [file for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MissingDataError(
            f"{files[missing[0]]}: {missing[0]}{more}: no such file: files are relative to the "
            "CSV; restore it or take the line out"
        )
