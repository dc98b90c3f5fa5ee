"""What every data set offers, and where data sets lie."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from raw2logit.camera import Camera
from raw2logit.errors import InputError, MissingDataError
from raw2logit.progress import Progress, silent
from raw2logit.raw import RawImage, read_raw
from raw2logit.sensor import INTENSITIES

Task = Literal["classification", "segmentation", "regression"]

ONE_CAMERA = "All images come from one camera model; other optics and sensors were not tried."


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
    class index (int64 scalar), a mask ``(H, W)`` float32 of zeros and ones, or for regression a
    number (float32 scalar).

    Attributes:
        name: What commands and reports call the data set.
        task: ``classification``, ``segmentation`` or ``regression``.
        classes: Names of the classes, by index; none for regression.
        camera: Of all images.
        files: One raw file a sample.
        groups: One label a sample: samples of one group show the same scene or slide and must
            stay on one side of a split.
        labels: One class index a sample; for segmentation and regression all zero.
        group_noun: What a group is, for reports.
        group_caveat: What a report says of splits by group.
        caveats: Further sentences on what a reader of a report must not conclude from this data.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    camera: Camera
    files: list[Path]
    groups: list[str]
    labels: list[int]
    group_noun: str = "group"
    group_caveat: str = (
        "No group is in two parts; what several groups have in common was not tested."
    )
    caveats: tuple[str, ...] = (ONE_CAMERA,)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Read one sample."""
        return self.mosaic(index), self.target(index)

    def mosaic(self, index: int) -> Tensor:
        """Read the mosaic of one sample, ``(H, W)`` float32 in [0, 1]."""
        return read_raw(self.files[index]).mosaic

    def camera_of(self, index: int) -> Camera:
        """Return the camera of one file; it is `camera` itself unless files bring their own."""
        return self.camera

    def image(self, index: int) -> RawImage:
        """Read one sample as its file holds it, with the camera of that file."""
        return RawImage(self.mosaic(index), self.camera, self.files[index])

    @abstractmethod
    def target(self, index: int) -> Tensor:
        """Read the target of one sample."""

    def target_files(self) -> list[Path]:
        """Return the files that hold the targets, for the fingerprint and for checks."""
        return []

    def sample_names(self) -> list[str]:
        """Return a name for each sample that stays when the data set moves, in order.

        It is the stem of the file. Files that lie in several folders keep those, and files that
        share a stem their suffix.

        Raises:
            InputError: Two files would have the same name, or one has a name that is no text.
        """
        # No `..` may stay: it would lead out of a folder that is named by it.
        whole = [Path(os.path.abspath(file)) for file in self.files]  # noqa: PTH100
        parent = os.path.commonpath([file.parent for file in whole])
        relative = [file.relative_to(parent) for file in whole]
        stems = Counter(path.with_suffix("") for path in relative)
        names: dict[str, Path] = {}
        for file, path in zip(self.files, relative, strict=True):
            stem = path.with_suffix("")
            name = (path if stems[stem] > 1 else stem).as_posix()
            if name.encode(errors="ignore").decode() != name:
                raise InputError(f"{file}: no table can hold this name: rename the file")
            if name in names:
                raise InputError(
                    f"{file}: would have the name of {names[name].name}: rename one of them"
                )
            names[name] = file
        return list(names)

    def class_counts(self) -> dict[str, int]:
        """Return the number of samples of each class."""
        return {name: self.labels.count(index) for index, name in enumerate(self.classes)}

    def fingerprint(self) -> str:
        """Return a digest of all mosaics, targets, labels and file names, in order (16 hex digits).

        It takes as long as `load`, but holds one sample at a time.
        """
        digest = _Digest(self.task)
        for index, sample in enumerate(self._samples(silent)):
            digest.update(self.files[index].name, self.labels[index], *sample)
        return str(digest)

    def load(self, progress: Progress = silent) -> tuple[Tensor, Tensor]:
        """Read everything into memory.

        Args:
            progress: Told after every file.

        Returns:
            Mosaics ``(N, H, W)`` float32 and targets ``(N,)`` int64, ``(N,)`` float32 for
            regression, or ``(N, H, W)`` float32 for segmentation.

        Raises:
            InputError: The images, or an image and its mask, differ in size.
        """
        mosaics, targets, _ = self.load_with_fingerprint(progress)
        return mosaics, targets

    def load_with_fingerprint(self, progress: Progress = silent) -> tuple[Tensor, Tensor, str]:
        """Return what `load` and `fingerprint` do, reading every file once."""
        mosaics: list[Tensor] = []
        targets: list[Tensor] = []
        digest = _Digest(self.task)
        for index, (mosaic, target) in enumerate(self._samples(progress)):
            digest.update(self.files[index].name, self.labels[index], mosaic, target)
            mosaics.append(mosaic)
            targets.append(target)
        return torch.stack(mosaics), torch.stack(targets), str(digest)

    def _samples(self, progress: Progress) -> Iterator[tuple[Tensor, Tensor]]:
        """Read one sample after the other, and refuse those that differ in size."""
        shape: torch.Size | None = None
        for index in range(len(self)):
            mosaic, target = self[index]
            shape = shape or mosaic.shape
            if mosaic.shape != shape:
                raise InputError(
                    f"{self.files[index]}: {tuple(mosaic.shape)} pixels, but "
                    f"{self.files[0].name} has {tuple(shape)}: tile them to one size"
                )
            if target.dim() and target.shape != mosaic.shape:
                raise InputError(
                    f"{self.target_files()[index]}: {tuple(target.shape)} pixels, but its image "
                    f"has {tuple(mosaic.shape)}: cut both from one place"
                )
            yield mosaic, target
            progress(f"reading {self.name}", index + 1, len(self))


class _Digest:
    """Of what is read rather than of the files, so that one pass over them is enough."""

    def __init__(self, task: Task) -> None:
        self._hash = hashlib.sha256(f"{task}\n".encode())

    def update(self, name: str, label: int, mosaic: Tensor, target: Tensor) -> None:
        self._hash.update(f"{name} {label} {tuple(mosaic.shape)}\n".encode())
        for tensor in (mosaic, target):
            values = tensor.contiguous().numpy()
            # The same bytes on every machine.
            self._hash.update(values.astype(values.dtype.newbyteorder("<"), copy=False).data)

    def __str__(self) -> str:
        return self._hash.hexdigest()[:16]


MANIFEST = "generated.json"
"""Lies in the folder of a generated data set and holds the options that made it."""

REDUCED = "intensities.json"
"""Lies in the folder of a data set of which `raw2logit data intensities` made lower ones."""


def read_options(manifest: Path) -> dict[str, Any]:
    """Return the options that made a generated data set.

    Raises:
        InputError: The manifest is broken.
    """
    try:
        return dict(json.loads(manifest.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{manifest}: broken ({error}): choose another --root, or delete the folder"
        ) from error


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
        command += "".join(f" --{name} {value}" for name, value in read_options(manifest).items())
        raise MissingDataError(
            f"{path}: not there: the generated data set is incomplete. Complete it with `{command}`"
        )
    raise MissingDataError(
        f"{path}: not there. Generate the data set with `{command}`, or download the published one "
        f"(DOI 10.5281/zenodo.5235536) with `raw2logit data download {kind} --root {root}`"
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
