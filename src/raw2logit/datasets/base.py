"""What every data set offers, and where data sets lie."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from raw2logit.camera import Camera
from raw2logit.errors import InputError, MissingDataError
from raw2logit.progress import Progress, silent
from raw2logit.raw import read_raw
from raw2logit.sensor import INTENSITIES

Task = Literal["classification", "segmentation"]


def default_root() -> Path:
    """Return where data sets lie: ``$RAW2LOGIT_DATA``, else ``./data``."""
    return Path(os.environ.get("RAW2LOGIT_DATA") or "data")


def intensity_folder(intensity: float) -> str:
    """Return the published folder name of an intensity, ``raw_scale100`` for 1.0.

    Raises:
        InputError: The intensity has no folder in the published layout.
    """
    if intensity not in INTENSITIES:
        raise InputError(
            f"intensity {intensity:g} is none of {' '.join(f'{value:g}' for value in INTENSITIES)}"
        )
    return f"raw_scale{round(intensity * 100):03d}"


class RawDataset(Dataset[tuple[Tensor, Tensor]], ABC):
    """Mosaics and their targets.

    ``dataset[i]`` is ``(mosaic, target)``: the mosaic ``(H, W)`` float32 in [0, 1]; the target a
    class index (int64 scalar) or a mask ``(H, W)`` float32 of zeros and ones.

    Attributes:
        name: What commands and reports call the data set.
        task: ``classification`` or ``segmentation``.
        classes: Names of the classes, by index.
        camera: Of all images.
        files: One raw file a sample.
        groups: One label a sample: samples of one group show the same scene or slide and must
            stay on one side of a split.
        labels: One class index a sample; for segmentation all zero.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    camera: Camera
    files: list[Path]
    groups: list[str]
    labels: list[int]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Read one sample."""
        return read_raw(self.files[index]).mosaic, self.target(index)

    @abstractmethod
    def target(self, index: int) -> Tensor:
        """Read the target of one sample."""

    def target_files(self) -> list[Path]:
        """Return the files that hold the targets, for the fingerprint and for checks."""
        return []

    def class_counts(self) -> dict[str, int]:
        """Return the number of samples of each class."""
        return {name: self.labels.count(index) for index, name in enumerate(self.classes)}

    def fingerprint(self) -> str:
        """Return a digest of all raw files, targets and labels, in order (16 hex digits)."""
        digest = hashlib.sha256()
        for file, label in zip(self.files, self.labels, strict=True):
            digest.update(f"{file.name} {label}\n".encode())
            digest.update(file.read_bytes())
        for file in self.target_files():
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def load(self, progress: Progress = silent) -> tuple[Tensor, Tensor]:
        """Read everything into memory.

        Args:
            progress: Told after every file.

        Returns:
            Mosaics ``(N, H, W)`` float32 and targets ``(N,)`` int64 or ``(N, H, W)`` float32.

        Raises:
            InputError: The images, or an image and its mask, differ in size.
        """
        mosaics: list[Tensor] = []
        targets: list[Tensor] = []
        for index in range(len(self)):
            mosaic, target = self[index]
            if mosaics and mosaic.shape != mosaics[0].shape:
                raise InputError(
                    f"{self.files[index]}: {tuple(mosaic.shape)} pixels, but "
                    f"{self.files[0].name} has {tuple(mosaics[0].shape)}: tile them to one size"
                )
            if target.dim() and target.shape != mosaic.shape:
                raise InputError(
                    f"{self.target_files()[index]}: {tuple(target.shape)} pixels, but its image "
                    f"has {tuple(mosaic.shape)}: cut both from one place"
                )
            mosaics.append(mosaic)
            targets.append(target)
            progress(f"reading {self.name}", index + 1, len(self))
        return torch.stack(mosaics), torch.stack(targets)


MANIFEST = "generated.json"
"""Lies in the folder of a generated data set and holds the options that made it."""


def is_generated(dataset: RawDataset) -> bool:
    """Tell whether a data set was written by the generator."""
    return any((parent / MANIFEST).is_file() for parent in dataset.files[0].parents)


def require_data(path: Path, kind: str, root: Path, intensity: float) -> None:
    """Raise `MissingDataError` with the ways to get a data set unless a part of it is there.

    Args:
        path: A folder or file of the data set.
        kind: ``microscopy`` or ``drone``.
        root: Folder that holds all data sets.
        intensity: Which one is asked for.
    """
    if path.exists():
        return
    command = f"raw2logit data generate {kind} --root {root}"
    manifest = root / kind / MANIFEST
    if intensity != 1.0:
        command += f" --intensity {intensity:g}"
    if manifest.is_file():
        options = json.loads(manifest.read_text(encoding="utf-8"))
        command += "".join(f" --{name} {value}" for name, value in options.items())
        raise MissingDataError(
            f"{path}: not there: the generated data set is incomplete. Complete it with `{command}`"
        )
    raise MissingDataError(
        f"{path}: not there. Generate the data set with `{command}`, or unpack the published one "
        f"(DOI 10.5281/zenodo.5235536) into {root / kind}"
    )


def require_files(files: Sequence[Path], source: str) -> None:
    """Raise `MissingDataError` naming the first of `files` that is not there."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MissingDataError(
            f"{missing[0]}{more}: no such file, but {source} names it: restore the file or take "
            "the line out"
        )
    if not files:
        raise MissingDataError(f"{source}: names no image: generate or download the data set again")
