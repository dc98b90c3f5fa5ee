"""Raw-Drone: cars seen from a drone, as masks or as car / no car tiles.

Oala, Aversa et al., "Data Models for Dataset Drift Controls in Machine Learning With Optical
Images", TMLR 2023; data DOI 10.5281/zenodo.5235536, CC BY 4.0.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.datasets.base import (
    MANIFEST,
    RawDataset,
    Task,
    default_root,
    intensity_folder,
    require_data,
    require_files,
)
from raw2logit.errors import InputError, MissingDataError

# The published folder names; they keep the 256 whatever the size of the tiles.
TILES = "images_tiles_256"
MASKS = "masks_tiles_256"
FRAMES = "images_full"
FRAME_MASKS = "masks_full"
CLASSIFICATION = Path("classification")
CLASSIFICATION_CSV = CLASSIFICATION / "dataset_tiles_256_72_0.01.csv"
CLASSIFICATION_MASKS = CLASSIFICATION / "masks_tiles_256_thr_0.01"
MASK_SHARE_OF_CAR = 0.01
"""A tile with a larger share of car pixels is ``car``, one with none ``no car``."""


def classification_tiles(intensity: float) -> Path:
    """Return the folder of the classification tiles, below ``drone/``."""
    return CLASSIFICATION / TILES / f"{intensity_folder(intensity)}_thr_0.01"


class RawDrone(RawDataset):
    """Car segmentation, or car / no car classification. All tiles of a frame are one group."""

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        task: Task = "segmentation",
        intensity: float = 1.0,
    ) -> None:
        """List tiles and targets.

        Args:
            root: Folder that holds ``drone/``; None: `default_root`.
            task: ``segmentation``: every tile that shows part of a car, with its mask;
                ``classification``: the published balanced choice of tiles, 0 car, 1 no car.
            intensity: One of `raw2logit.sensor.INTENSITIES`.

        Raises:
            MissingDataError: The data set is not there, or a tile has no mask.
            InputError: The task or the intensity is unknown, or the table of classes is broken.
        """
        root = default_root() if root is None else Path(root)
        folder = root / "drone"
        self.task = task
        self.camera = Camera.preset("drone")
        self._masks: list[Path] = []
        if task == "segmentation":
            self.name = "drone"
            self.classes = ("car",)
            tiles = folder / TILES / intensity_folder(intensity)
            require_data(tiles, "drone", root, intensity)
            if (folder / MANIFEST).is_file():
                # The generator writes the table last.
                require_data(folder / CLASSIFICATION_CSV, "drone", root, intensity)
            # Hidden files are what a killed writer left.
            self.files = sorted(tiles.glob("[!.]*.tif"))
            self.labels = [0] * len(self.files)
            self._masks = [folder / MASKS / f"{file.stem}.png" for file in self.files]
            require_files(self._masks, str(tiles))
            masked = sorted((folder / MASKS).glob("[!.]*.png"))
            require_files([tiles / f"{mask.stem}.tif" for mask in masked], str(folder / MASKS))
        elif task == "classification":
            self.name = "drone-classification"
            self.classes = ("car", "no car")
            tiles = folder / classification_tiles(intensity)
            table = folder / CLASSIFICATION_CSV
            require_data(tiles, "drone", root, intensity)
            require_data(table, "drone", root, intensity)
            rows = _read_table(table)
            self.files = [tiles / f"{stem}.tif" for stem, _ in rows]
            self.labels = [label for _, label in rows]
            require_files(self.files, str(table))
        else:
            raise InputError(
                f"unknown task {task!r} for drone: choose segmentation or classification"
            )
        self.groups = [file.stem.split("_")[0] for file in self.files]

    def target(self, index: int) -> Tensor:
        """Return the mask ``(H, W)``, 1 where a car is, or the class index."""
        if self.task == "segmentation":
            return read_mask(self._masks[index])
        return torch.tensor(self.labels[index])

    def target_files(self) -> list[Path]:
        """Return the mask files."""
        return self._masks


def read_mask(path: Path) -> Tensor:
    """Read a mask: ``(H, W)`` float32, 1 where the file is not zero.

    Raises:
        MissingDataError: There is no such file.
        InputError: The file is broken.
    """
    if not path.is_file():
        raise MissingDataError(f"{path}: no such mask: restore it or take its tile out")
    try:
        with Image.open(path) as image:
            mask = np.asarray(image.convert("L"))
    except Exception as error:  # Pillow meets broken files with many kinds of exception
        raise InputError(f"{path}: broken mask ({error}): copy or download it again") from error
    return torch.from_numpy((mask > 0).astype(np.float32))


def _read_table(path: Path) -> list[tuple[str, int]]:
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        table = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no table ({error}): download or generate it again") from error
    if not {"file name", "label"} <= set(reader.fieldnames or ()):
        raise InputError(f"{path}: needs the columns 'file name' and 'label'")
    rows = []
    for number, row in enumerate(table, start=2):
        if row["label"] not in ("0", "1"):
            raise InputError(
                f"{path}:{number}: unknown class {row['label']!r}: 0 is car, 1 is no car"
            )
        rows.append((row["file name"], int(row["label"])))
    return rows
