"""What a data set of one's own should consist of, without refusing what is broken."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

from raw2logit.camera import Camera, find_camera
from raw2logit.datasets.base import Task
from raw2logit.datasets.folder import CAMERA_FILE, RawFolder
from raw2logit.datasets.inventory import Section, try_read
from raw2logit.datasets.listing import list_samples
from raw2logit.datasets.table import Listing
from raw2logit.raw import SUFFIXES


def folder_section(
    path: Path,
    *,
    camera: Camera | str | Path | None = None,
    task: Task | None = None,
    crop_odd: bool = False,
) -> Section:
    """List the files of a data set of one's own; the arguments are those of `RawFolder`."""
    opened = partial(RawFolder, path, camera=camera, task=task, crop_odd=crop_odd)
    faults: list[str] = []
    folder = path if path.is_dir() else path.parent
    beside = folder / CAMERA_FILE
    given = beside if camera is None and beside.is_file() else camera
    known = None if given is None else try_read(partial(find_camera, given), faults)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever opens the section is told
        listing = try_read(partial(list_samples, path, task), faults) or Listing(
            "classification", [], []
        )
    keys = [str(file) for file in listing.files]
    targets = listing.classes or [f"{value:g}" for value in listing.values]
    return Section(
        "files",
        folder,
        {1.0: dict(zip(keys, listing.files, strict=True))},
        lambda value: opened(intensity=value),
        faults,
        labels=dict(zip(keys, targets, strict=False)),
        classes=tuple(sorted(set(listing.classes))),
        masks=dict(zip(keys, listing.masks, strict=False)),
        extra=_unlisted(path, listing),
        camera=known,
        crop_odd=crop_odd,
        task=listing.task,
        own=True,
    )


def _unlisted(path: Path, listing: Listing) -> list[Path]:
    """Return the raw files below a folder that a CSV in it does not name."""
    if not path.is_dir() or not listing.files:
        return []
    known = {file.resolve() for file in (*listing.files, *listing.masks)}
    return [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.resolve() not in known
    ]
