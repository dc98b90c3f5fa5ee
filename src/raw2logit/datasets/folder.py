"""Raw files of one's own, with classes, numbers or masks."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from raw2logit.camera import Camera, find_camera
from raw2logit.datasets.base import ONE_CAMERA, RawDataset, Task
from raw2logit.datasets.drone import read_mask
from raw2logit.datasets.listing import list_samples
from raw2logit.datasets.reference import reference_camera, to_reference
from raw2logit.dng import VENDOR_SUFFIXES
from raw2logit.errors import InputError
from raw2logit.raw import RawImage, read_raw

CAMERA_FILE = "camera.yaml"
"""Lies in a folder and holds the camera of all its files."""


class RawFolder(RawDataset):
    """A folder per class, images and masks, or a CSV with a raw file a line.

    ``PATH/<class>/*``: classification; classes in alphabetical order. ``PATH/images/*`` and
    ``PATH/masks/*`` with equal stems: segmentation. A CSV (`path` itself, or the only one in the
    folder) with the header ``file,label[,group]``: classification, or regression if every label is
    a number; with ``file,mask[,group]``: segmentation. A group is what a split must not cut: the
    column ``group``, or a folder inside a class or inside ``images``; else each file is its own.

    One camera for all files is `camera`, or else ``camera.yaml`` beside them. Without one, every
    file must bring its own (DNG, vendor formats) of the same camera model; their black and white
    levels and as-shot gains are brought to common ones, see `raw2logit.datasets.reference`. For
    this, opening reads every file once.

    Attributes:
        crop_odd: Whether the last row or column of odd-sized images and masks is dropped.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        camera: Camera | str | Path | None = None,
        task: Task | None = None,
        crop_odd: bool = False,
        intensity: float = 1.0,
    ) -> None:
        """List files and targets, and find the camera; images are read when they are asked for.

        Args:
            path: A folder or a CSV.
            camera: Of all files: a `Camera`, a preset's name or a YAML file.
            task: What the targets are; None: as above. ``classification`` reads numbers as codes
                of classes.
            crop_odd: Drop the last row or column of odd-sized images and their masks.
            intensity: Only 1: a folder has no exposures beside its own.

        Raises:
            MissingDataError: Something is not there.
            InputError: The files do not make a data set, or their camera is unknown.
        """
        if intensity != 1.0:
            raise InputError(
                f"intensity {intensity:g}: a folder of one's own has the exposure of its files: "
                "leave the option out"
            )
        path = Path(path)
        listing = list_samples(path, task)
        self.name = f"folder:{path}"
        self.task = listing.task
        self.files = listing.files
        self.groups = listing.groups
        self.labels = [0] * len(self.files)
        self.classes = ()
        self._values = listing.values
        self._masks = listing.masks
        self.crop_odd = crop_odd
        if self.task == "classification":
            self.classes = tuple(sorted(set(listing.classes)))
            self.labels = [self.classes.index(name) for name in listing.classes]
            if len(self.classes) < 2:
                raise InputError(f"{path}: one class, {self.classes[0]!r}: at least 2 are needed")
        elif self.task == "regression":
            if min(self._values) == max(self._values):
                raise InputError(f"{path}: all labels are {self._values[0]:g}: nothing to predict")
        else:
            self.classes = ("foreground",)
        self._own_cameras: list[Camera] = []
        beside = (path if path.is_dir() else path.parent) / CAMERA_FILE
        if camera is not None or beside.is_file():
            self.camera = find_camera(beside if camera is None else camera)
        else:
            self._own_cameras = [_own_camera(file) for file in self.files]
            self.camera = reference_camera(
                dict(zip(self.files, self._own_cameras, strict=True)), path.resolve().name
            )
        self._say_what_was_not_controlled()

    def mosaic(self, index: int) -> Tensor:
        """Read the mosaic of one sample, ``(H, W)`` float32 in [0, 1], as of `camera`."""
        mosaic = self.image(index).mosaic
        own = self.camera_of(index)
        return mosaic if own is self.camera else to_reference(mosaic, own, self.camera)

    def image(self, index: int) -> RawImage:
        """Read one sample as its file holds it, with the camera of that file."""
        image = read_raw(self.files[index], crop_odd=self.crop_odd)
        camera = self.camera_of(index)
        if camera is self.camera and image.camera is not None and image.camera.cfa != camera.cfa:
            raise InputError(
                f"{self.files[index]}: its metadata says {image.camera.cfa}, camera "
                f"{camera.name!r} says {camera.cfa}: mend the camera"
            )
        return RawImage(image.mosaic, camera, image.path)

    def camera_of(self, index: int) -> Camera:
        """Return the camera of one file; it is `camera` itself unless files bring their own."""
        return self._own_cameras[index] if self._own_cameras else self.camera

    def target(self, index: int) -> Tensor:
        """Return the class index, the number, or the mask ``(H, W)``, 1 where it is not zero."""
        if self.task == "classification":
            return torch.tensor(self.labels[index])
        if self.task == "regression":
            return torch.tensor(self._values[index], dtype=torch.float32)
        mask = read_mask(self._masks[index], one_class=True)
        if self.crop_odd:
            height, width = mask.shape
            mask = mask[: height - height % 2, : width - width % 2]
        return mask

    def target_files(self) -> list[Path]:
        """Return the mask files."""
        return self._masks

    def _say_what_was_not_controlled(self) -> None:
        if len(set(self.groups)) == len(self.groups):
            self.group_noun = "image"
            self.group_caveat = (
                "Nothing tells which images belong together, so each is a group of its own: images "
                "of one scene, slide or patient may be in two parts, and scores then are too high."
            )
        else:
            self.group_caveat = (
                "No group is in two parts, but groups may share a place, a device or a day: "
                "others may be harder."
            )
        if not self._own_cameras:
            self.caveats = (
                f"All images were read with the constants of one camera, {self.camera.name}, that "
                "was given; whether they come from it was not checked.",
            )
        elif any(camera.white_balance != self.camera.white_balance for camera in self._own_cameras):
            self.caveats = (
                ONE_CAMERA,
                "The files differ in their as-shot white balance. The difference was taken up "
                "before demosaicing: exact for bilinear views, close for Malvar and Menon; none "
                "and neural see the mosaic with it.",
            )


def _own_camera(file: Path) -> Camera:
    camera = read_raw(file).camera if file.suffix.lower() in VENDOR_SUFFIXES else None
    if camera is None:
        raise InputError(
            f"{file}: the file does not tell its camera: put a {CAMERA_FILE} beside the data, or "
            "give one (--camera with a preset's name or a YAML file)"
        )
    return camera
