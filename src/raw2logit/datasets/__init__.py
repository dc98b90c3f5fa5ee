"""The data sets, one a file, and how commands name them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from raw2logit.camera import Camera
from raw2logit.datasets.base import RawDataset, Task, default_root
from raw2logit.datasets.drone import RawDrone
from raw2logit.datasets.folder import RawFolder
from raw2logit.datasets.microscopy import RawMicroscopy
from raw2logit.datasets.splits import Split, make_splits, read_splits, write_splits
from raw2logit.errors import InputError

DATASETS: dict[str, Callable[..., RawDataset]] = {
    "microscopy": RawMicroscopy,
    "drone": RawDrone,
    "drone-classification": partial(RawDrone, task="classification"),
}


FOLDER = "folder:"
"""What stands before the path of a data set of one's own."""


def folder_path(name: str) -> Path:
    """Return the path in ``folder:PATH``.

    Raises:
        InputError: There is none.
    """
    path = name.removeprefix(FOLDER)
    if not path:
        raise InputError(f"--data {name}: name the folder or the CSV, as in {FOLDER}PATH")
    # The shell expands no tilde behind a colon.
    return Path(path).expanduser() if path.startswith("~/") else Path(path)


def open_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    intensity: float = 1.0,
    camera: Camera | str | Path | None = None,
    task: Task | None = None,
    crop_odd: bool = False,
) -> RawDataset:
    """Open a data set by the name that commands use.

    Args:
        name: One of `DATASETS`, or ``folder:PATH`` with the path of a `RawFolder`.
        root: Where the data sets with a name lie; None: `default_root`.
        intensity: Exposure relative to full.
        camera: Of a `RawFolder`.
        task: Of a `RawFolder`.
        crop_odd: Of a `RawFolder`.

    Raises:
        InputError: The name is unknown, an option does not fit it, or the data is broken.
        MissingDataError: The data is not there.
    """
    if name.startswith(FOLDER):
        path = folder_path(name)
        if root is not None:
            raise InputError(f"--root: --data {name} is a path of its own: leave --root out")
        return RawFolder(path, camera=camera, task=task, crop_odd=crop_odd, intensity=intensity)
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}: known are {' '.join(DATASETS)} {FOLDER}PATH")
    for option, value in (("camera", camera), ("task", task), ("crop-odd", crop_odd or None)):
        if value is not None:
            raise InputError(
                f"--{option} is for --data {FOLDER}PATH; {name} has its own: leave it out"
            )
    return DATASETS[name](root, intensity=intensity)


__all__ = [
    "DATASETS",
    "RawDataset",
    "RawDrone",
    "RawFolder",
    "RawMicroscopy",
    "Split",
    "default_root",
    "folder_path",
    "make_splits",
    "open_dataset",
    "read_splits",
    "write_splits",
]
