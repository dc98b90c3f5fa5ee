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
from raw2logit.datasets.tile_table import TILE_TABLE, TileSet, read_tile_table
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
CLASSES = ("car", "no car")
TILE_COUNT = 548
"""Published tiles for segmentation."""
CLASS_COUNTS = dict.fromkeys(CLASSES, 465)
"""Published tiles of each class."""
FRAME_COUNT = 12
FRAME_SHAPE = (3648, 5472)
"""Height and width of the published frames in pixels."""
MAX_FRAMES = 100
"""The published names have two digits for the frame."""
TILING = "tiles.json"
"""Lies in a folder that ``raw2logit data tile`` filled and holds how."""


def classification_tiles(intensity: float) -> Path:
    """Return the folder of the classification tiles, below ``drone/``."""
    return CLASSIFICATION / TILES / f"{intensity_folder(intensity)}_thr_0.01"


class RawDrone(RawDataset):
    """Car segmentation, or car / no car classification. All tiles of a frame are one group."""

    group_noun = "drone frame"
    group_caveat = (
        "No drone frame is in two parts, but frames of one flight are: other flights and places "
        "may be harder."
    )

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        task: Task = "segmentation",
        intensity: float = 1.0,
        download: bool = False,
    ) -> None:
        """List tiles and targets.

        Args:
            root: Folder that holds ``drone/``; None: `default_root`.
            task: ``segmentation``: every tile that shows part of a car, with its mask;
                ``classification``: the published balanced choice of tiles, 0 car, 1 no car.
            intensity: One of `raw2logit.sensor.INTENSITIES`.
            download: Download the published data set first, as far as it is not there.

        Raises:
            MissingDataError: The data set is not there, or a tile has no mask.
            InputError: The task or the intensity is unknown, or the table of classes is broken.
        """
        root = default_root() if root is None else Path(root)
        if download:
            from raw2logit.datasets.download import download_dataset

            download_dataset("drone", root)
        folder = root / "drone"
        self.task = task
        self.camera = Camera.preset("drone")
        self._masks: list[Path] = []
        if task == "segmentation":
            self.name = "drone"
            self.classes = ("car",)
            tiles = folder / TILES / intensity_folder(intensity)
            _require_whole(folder, root, intensity)
            require_data(tiles, "drone", root, intensity)
            # Hidden files are what a killed writer left.
            self.files = sorted(tiles.glob("[!.]*.tif"))
            self.labels = [0] * len(self.files)
            self._masks = [folder / MASKS / f"{file.stem}.png" for file in self.files]
            require_files(self._masks, str(tiles))
            masked = sorted((folder / MASKS).glob("[!.]*.png"))
            require_files([tiles / f"{mask.stem}.tif" for mask in masked], str(folder / MASKS))
        elif task == "classification":
            self.name = "drone-classification"
            self.classes = CLASSES
            tiles = folder / classification_tiles(intensity)
            table = folder / CLASSIFICATION_CSV
            _require_whole(folder, root, intensity)
            require_data(tiles, "drone", root, intensity)
            require_data(table, "drone", root, intensity)
            rows = read_classes(table)
            self.files = [tiles / f"{stem}.tif" for stem, _ in rows]
            self.labels = [label for _, label in rows]
            require_files(self.files, str(table))
        else:
            raise InputError(
                f"unknown task {task!r} for drone: choose segmentation or classification"
            )
        self.groups = _frames(folder, task, self.files)

    def target(self, index: int) -> Tensor:
        """Return the mask ``(H, W)``, 1 where a car is, or the class index."""
        if self.task == "segmentation":
            return read_mask(self._masks[index])
        return torch.tensor(self.labels[index])

    def target_files(self) -> list[Path]:
        """Return the mask files."""
        return self._masks


def read_mask(path: Path, *, one_class: bool = False) -> Tensor:
    """Read a mask: ``(H, W)`` float32, 1 where the file is not zero.

    Args:
        path: A picture that Pillow reads.
        one_class: Refuse a mask that holds more than one value beside zero.

    Raises:
        MissingDataError: There is no such file.
        InputError: The file is broken, or holds more than one class.
    """
    if not path.is_file():
        raise MissingDataError(f"{path}: no such mask: restore it or take its tile out")
    try:
        with Image.open(path) as image:
            # Grey values of more than 8 bits would not survive Pillow's conversion.
            one_band = len(image.getbands()) == 1 and image.mode != "P"
            mask = np.asarray(image if one_band else image.convert("L"))
    except Exception as error:  # Pillow meets broken files with many kinds of exception
        raise InputError(f"{path}: broken mask ({error}): copy or download it again") from error
    if one_class and len(classes := np.unique(mask[mask != 0])) > 1:
        some = " ".join(f"{value:g}" for value in classes[:4])
        raise InputError(
            f"{path}: holds {len(classes)} values beside 0 ({some}{' ...' * (len(classes) > 4)}): "
            "a mask is 0 for background and one other value for the class"
        )
    return torch.from_numpy((mask > 0).astype(np.float32))


def _require_whole(folder: Path, root: Path, intensity: float) -> None:
    """Refuse what an interrupted command left; both that write tiles write this table last."""
    table = folder / CLASSIFICATION_CSV
    if (folder / TILING).is_file() and not table.is_file():
        raise MissingDataError(
            f"{table}: not there: the tiles are incomplete. Complete them with "
            f"`raw2logit data tile {root}` and the options it was called with"
        )
    if (folder / MANIFEST).is_file():
        require_data(table, "drone", root, intensity)


def _frames(folder: Path, task: TileSet, files: list[Path]) -> list[str]:
    """Return the frame of each tile: from the table of tiles, or else by the published names."""
    table = folder / TILE_TABLE
    frames = {row.tile: row.frame for row in read_tile_table(folder) if row.set == task}
    if not table.is_file():
        return [file.stem.split("_")[0] for file in files]
    if unknown := [file for file in files if file.stem not in frames]:
        raise InputError(
            f"{unknown[0]}: {table} does not name it: take away the tiles that are not of this set"
        )
    if task == "segmentation":
        require_files([files[0].with_name(f"{tile}.tif") for tile in frames], str(table))
    return [frames[file.stem] for file in files]


def read_classes(path: Path) -> list[tuple[str, int]]:
    """Return stem and class index of each tile in the table of classes.

    Raises:
        InputError: The table is broken or names an unknown class.
    """
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
