"""The data sets, one a file, and how commands name them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from raw2logit.datasets.base import RawDataset, default_root
from raw2logit.datasets.drone import RawDrone
from raw2logit.datasets.microscopy import RawMicroscopy
from raw2logit.datasets.splits import Split, make_splits
from raw2logit.errors import InputError

DATASETS: dict[str, Callable[..., RawDataset]] = {
    "microscopy": RawMicroscopy,
    "drone": RawDrone,
    "drone-classification": partial(RawDrone, task="classification"),
}


def open_dataset(
    name: str, root: str | Path | None = None, *, intensity: float = 1.0
) -> RawDataset:
    """Open a data set by the name that commands use.

    Raises:
        InputError: The name is unknown.
        MissingDataError: The data is not there.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}: known are {' '.join(DATASETS)}")
    return DATASETS[name](root, intensity=intensity)


__all__ = [
    "DATASETS",
    "RawDataset",
    "RawDrone",
    "RawMicroscopy",
    "Split",
    "default_root",
    "make_splits",
    "open_dataset",
]
