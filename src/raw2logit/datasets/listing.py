"""What lies in a folder of one's own: a CSV, images and masks, or a folder per class."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import get_args

from raw2logit.datasets.base import Task
from raw2logit.datasets.table import MASK_SUFFIXES, Listing, read_table
from raw2logit.errors import InputError, MissingDataError
from raw2logit.raw import SUFFIXES

_SHAPES = (
    "a folder per class, images/ and masks/, or one CSV with the columns file,label or file,mask"
)


def list_samples(path: Path, task: Task | None = None) -> Listing:
    """List the samples of a CSV or of a folder.

    A folder with a CSV in it is read by the CSV, one with ``images/`` and ``masks/`` as
    segmentation, any other as a folder per class. A folder inside those is a group, of the same
    name in every class; a file outside of one is a group of its own. Hidden files are left out;
    others that are no raw files are left out with a warning.

    Args:
        path: A folder, or a CSV.
        task: What the targets shall be; None: as the files suggest, see `read_table`.

    Raises:
        MissingDataError: Something is not there.
        InputError: The files do not make a data set.
    """
    if task not in (None, *get_args(Task)):
        raise InputError(f"unknown task {task!r}: choose from {' '.join(get_args(Task))}")
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise InputError(f"{path}: is neither a folder nor a CSV: name {_SHAPES}")
        return read_table(path, task)
    if not path.is_dir():
        raise MissingDataError(f"{path}: no such folder or CSV: check the name")
    visible = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    tables = [entry for entry in visible if entry.suffix.lower() == ".csv" and entry.is_file()]
    if len(tables) > 1:
        names = " ".join(table.name for table in tables)
        raise InputError(f"{path}: {len(tables)} CSVs ({names}): name the one to read")
    if tables:
        return read_table(tables[0], task)
    if (path / "images").is_dir() and (path / "masks").is_dir():
        _require_task(path, task, "segmentation", "images and masks")
        return _list_masks(path)
    _require_task(path, task, "classification", "a folder per class")
    folders = [entry for entry in visible if entry.is_dir()]
    if stray := [entry for entry in visible if entry not in folders and _has(entry, SUFFIXES)]:
        raise InputError(
            f"{stray[0]}: {len(stray)} raw file(s) without a label: make of {path} {_SHAPES}"
        )
    if len(folders) < 2:
        raise InputError(
            f"{path}: {len(folders)} class folder(s) ({' '.join(f.name for f in folders)}), at "
            f"least 2 are needed: make of it {_SHAPES}"
        )
    return _list_classes(path, folders)


def _require_task(path: Path, task: Task | None, found: Task, what: str) -> None:
    if task not in (None, found):
        raise InputError(
            f"{path}: holds {what}, which is {found}, not {task}: for {task} give a CSV"
        )


def _list_classes(root: Path, folders: list[Path]) -> Listing:
    listing = Listing("classification", [], [])
    left_out: list[Path] = []
    for folder in folders:
        files = _find(folder, SUFFIXES, left_out)
        if not files:
            raise InputError(f"{folder}: no raw file in it: add some, or take the folder away")
        listing.files.extend(files)
        listing.groups.extend(_group(file, folder, root) for file in files)
        listing.classes.extend([folder.name] * len(files))
    _warn(root, left_out)
    return listing


def _list_masks(root: Path) -> Listing:
    left_out: list[Path] = []
    images = _by_stem(root / "images", SUFFIXES, left_out)
    masks = _by_stem(root / "masks", MASK_SUFFIXES, left_out)
    for found, others, what, folder in (
        (images, masks, "mask", root / "masks"),
        (masks, images, "raw file", root / "images"),
    ):
        if lone := [file for stem, file in found.items() if stem not in others]:
            more = f" and {len(lone) - 1} more" if len(lone) > 1 else ""
            raise MissingDataError(
                f"{lone[0]}{more}: no {what} of the same stem in {folder}: add it, or take the "
                "file away"
            )
    if not images:
        raise InputError(f"{root / 'images'}: no raw file in it: add some")
    _warn(root, left_out)
    files = list(images.values())
    groups = [_group(file, root / "images", root) for file in files]
    return Listing("segmentation", files, groups, masks=[masks[stem] for stem in images])


def _by_stem(folder: Path, suffixes: tuple[str, ...], left_out: list[Path]) -> dict[Path, Path]:
    stems: dict[Path, Path] = {}
    for file in _find(folder, suffixes, left_out):
        stem = file.relative_to(folder).with_suffix("")
        if stem in stems:
            raise InputError(f"{file}: {stems[stem].name} has the same stem: keep one of them")
        stems[stem] = file
    return stems


def _find(folder: Path, suffixes: tuple[str, ...], left_out: list[Path]) -> list[Path]:
    """Return the visible files below a folder, in an order that is the same on every machine."""
    found: list[Path] = []
    for path in sorted(folder.rglob("*"), key=lambda path: path.parts):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden:
            continue
        if not path.is_dir():
            (found if _has(path, suffixes) else left_out).append(path)
        elif path.is_symlink():
            raise InputError(
                f"{path}: a link to a folder is not followed here: link the files, or list them in "
                "a CSV"
            )
    return found


def _has(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.suffix.lower() in suffixes


def _group(file: Path, folder: Path, root: Path) -> str:
    inside = file.relative_to(folder).parts
    return inside[0] if len(inside) > 1 else file.relative_to(root).as_posix()


def _warn(root: Path, left_out: list[Path]) -> None:
    if left_out:
        kinds = Counter(path.suffix.lower() or "without suffix" for path in left_out)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        warnings.warn(f"{root}: files of another kind were left out: {counts}", stacklevel=2)
