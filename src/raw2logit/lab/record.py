"""What a run writes into its own folder, and a lab takes from there.

The folder is the run. A lab only mirrors it, so that a run on a machine without any network, or
beside a lab that is down, loses nothing and can be brought in later::

    RUN/
      run.json                 this record
      config.yaml, results.*, splits.json, report.html, figures
      models/                  trained models by content; not mirrored
      split-1/                 one folder a split, numbered from 1
        split.json             its record
        splits.json            names of the samples of its three parts
        history.csv            one row an epoch: epoch, train_loss, val_loss, val_accuracy ...
        pipeline/, task/       the two trained models, each loadable by itself
        stages/, predictions/, animation.gif ...
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from raw2logit import __version__
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import write_text

RUN_FILE, SPLIT_FILE, HISTORY_FILE = "run.json", "split.json", "history.csv"
CONFIG_FILE = "config.yaml"
"""Holds the options of a run."""
Status = Literal["running", "finished", "failed"]
Plain = str | int | float | bool | None | list[str] | list[float]
_FORMAT = 1
_MOST_EPOCHS = 1e9
_SPLIT_FOLDER = re.compile(r"split-([1-9][0-9]*)")
_Record = TypeVar("_Record", "RunRecord", "SplitRecord")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of a run: ``run.json``.

    Attributes:
        id: 32 hexadecimal digits; the same wherever the folder lies and whoever mirrors it.
        kind: The verb: ``train``, ``synthesis``.
        experiment: Name of the experiment in a lab.
        name: What people call the run.
        started: UTC, ISO 8601.
        status: ``running`` while it runs and after a kill.
        params: Resolved configuration by dotted name, versions and data fingerprint.
        metrics: Final figures over all splits.
        register_models: Whether a lab registers the trained models.
        files: What the run wrote into its folder, beside the splits and models/; a lab takes these
            and no others, since the folder may hold more.
        version: Of raw2logit, that made it.
    """

    id: str
    kind: str
    experiment: str
    name: str
    started: str
    status: Status = "running"
    params: Mapping[str, Plain] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    register_models: bool = True
    files: Sequence[str] = ()
    version: str = __version__


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The record of one split: ``split-1/split.json``.

    Attributes:
        number: Counted from 1.
        status: ``running`` while it runs and after a kill.
        params: What differs from the run's: ``split`` and the seed of the training.
        metrics: Final figures: ``test_accuracy`` and so on.
    """

    number: int
    status: Status = "running"
    params: Mapping[str, Plain] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def split_folder(run: Path, number: int) -> Path:
    """Return the folder of a split, counted from 1."""
    return run / f"split-{number}"


def write_record(folder: Path, record: RunRecord | SplitRecord) -> Path:
    """Write the record of a run, or of a split, into its folder, complete or not at all."""
    name = RUN_FILE if isinstance(record, RunRecord) else SPLIT_FILE
    content = {"format": _FORMAT, **dataclasses.asdict(record)}
    return write_text(folder / name, json.dumps(content, indent=1) + "\n")


def read_run(folder: Path) -> RunRecord:
    """Read the record of a run.

    Raises:
        MissingDataError: The folder holds no run.
        InputError: The record is broken.
    """
    if not (folder / RUN_FILE).is_file():
        raise MissingDataError(
            f"{folder}: holds no {RUN_FILE}: name the folder of a run (the --out of the command)"
        )
    return _read(folder / RUN_FILE, RunRecord)


def read_splits_of(folder: Path) -> list[tuple[Path, SplitRecord]]:
    """Return folder and record of each split that has begun, in order.

    Raises:
        InputError: A record is broken.
    """
    found = [
        (int(match[1]), place)
        for place in folder.iterdir()
        if (match := _SPLIT_FOLDER.fullmatch(place.name)) and (place / SPLIT_FILE).is_file()
    ]
    return [(place, _read(place / SPLIT_FILE, SplitRecord)) for _, place in sorted(found)]


def write_history(split: Path, rows: Sequence[Mapping[str, float]]) -> Path:
    """Write one row an epoch; `rows` have the same keys, ``epoch`` among them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, *([repr(row[name]) if name in row else "" for name in names] for row in rows)]
    return write_text(split / HISTORY_FILE, "".join(",".join(line) + "\n" for line in lines))


def read_history(split: Path) -> list[dict[str, float]]:
    """Return the rows of a split's history; none if no epoch has ended.

    Raises:
        InputError: The file is broken.
    """
    path = split / HISTORY_FILE
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: float(text) for name, text in row.items() if text}
                for row in csv.DictReader(file)
            ]
        if not all(0 <= row.get("epoch", -1) < _MOST_EPOCHS for row in rows):
            raise ValueError("no epoch, or none that there can be")
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: broken ({error}): run the same command again") from error
    return rows


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of runs: the folder itself, or those in it and below, by name.

    What a lab keeps in it (``artifacts/``) is left out, and so are hidden folders.

    Raises:
        MissingDataError: There is none.
    """
    if (folder / RUN_FILE).is_file():
        return [folder]
    found = []
    for place, folders, files in os.walk(folder):
        if RUN_FILE in files:
            found.append(Path(place))
            folders.clear()
        folders[:] = [name for name in folders if name != "artifacts" and name[0] != "."]
    if not found:
        raise MissingDataError(
            f"{folder}: no run in it: name the folder of a run (the --out of its command), which "
            f"holds {RUN_FILE}"
        )
    return sorted(found)


def files_of(folder: Path, record: RunRecord | None = None) -> list[Path]:
    """Return the files that a lab takes from the folder of a run, or of a split, in order.

    Hidden files, such as killed writers leave, and what a symbolic link leads to are left out.

    Args:
        folder: A run's, or a split's, which belongs to the run alone.
        record: A run's: of its folder the files that are named are taken and no others, since it
            may hold whatever the user has there.
    """
    if record is not None:
        names = {name for name in (RUN_FILE, *record.files) if ".." not in Path(name).parts}
        inside = [folder / name for name in names if not Path(name).is_absolute()]
        return sorted(path for path in inside if path.is_file() and not _is_linked(path, folder))
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in files if not name.startswith("."))
        found.extend(path for path in paths if path.is_file() and not path.is_symlink())
    return sorted(found)


def _is_linked(path: Path, folder: Path) -> bool:
    """Tell whether a symbolic link leads to a path below a folder."""
    below = path.relative_to(folder)
    return any((folder / part).is_symlink() for part in (below, *below.parents[:-1]))


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    """Return a nested configuration by dotted names: ``{"training.lr": 0.001}``."""
    values: dict[str, Plain] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        content = dict(json.loads(path.read_text(encoding="utf-8")))
        if (number := content.pop("format")) != _FORMAT:
            raise InputError(f"{path}: format {number}, this version reads {_FORMAT}")
        _check(content, kind)
        return kind(**content)
    except InputError:
        raise
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"{path}: broken ({error!r}): run the same command again") from error


def _check(content: Mapping[str, Any], kind: type[RunRecord] | type[SplitRecord]) -> None:
    """Refuse what no run writes.

    Raises:
        ValueError: Or KeyError or TypeError, with what is wrong.
    """
    if content["status"] not in get_args(Status):
        raise ValueError(f"status {content['status']!r}")
    for name in ("params", "metrics"):
        if not isinstance(content[name], dict):
            raise TypeError(f"{name} are no object")
    for value in content["metrics"].values():
        float(value)
    if kind is RunRecord:
        for name in ("kind", "experiment", "name", "version"):
            if not isinstance(content[name], str):
                raise TypeError(f"{name} is no text")
        if not isinstance(content["register_models"], bool):
            raise TypeError("register_models is neither true nor false")
        files = content["files"]
        if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
            raise TypeError("files are no list of texts")
        if not re.fullmatch("[0-9a-f]{32}", content["id"]):
            raise ValueError(f"id {content['id']!r}")
        datetime.fromisoformat(content["started"])
    elif type(content["number"]) is not int or content["number"] < 1:
        raise ValueError(f"number {content['number']!r}")
