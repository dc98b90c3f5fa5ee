"""What the tiles of a set are called and where they lie: as published, or for `RawFolder`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from raw2logit.datasets.base import intensity_folder
from raw2logit.datasets.drone import (
    CLASSES,
    CLASSIFICATION,
    CLASSIFICATION_CSV,
    CLASSIFICATION_MASKS,
    MASKS,
    TILES,
    classification_tiles,
)
from raw2logit.datasets.tile_table import (
    TILE_TABLE,
    TileRow,
    TileSet,
    write_csv,
    write_tile_table,
)
from raw2logit.datasets.tiles import Mask, Window, balance
from raw2logit.files import atomic_path
from raw2logit.raw import write_mosaic_tiff

LABELS = ("foreground", "background")
"""Classes of the tiles of one's own frames, in the order of the published ``car``, ``no car``."""


class Layout(ABC):
    """Where the tiles of a set lie; `DroneLayout` is the published one.

    Attributes:
        folder: Of the set.
    """

    folder: Path

    @abstractmethod
    def plan(self, number: int, frame: str, windows: Sequence[Window]) -> list[TileRow]:
        """Choose and name the tiles of a frame.

        Args:
            number: Of the frame, from 0.
            frame: Stem of its file.
            windows: All of the frame.
        """

    @abstractmethod
    def image_file(self, row: TileRow, intensity: float) -> Path:
        """Return where the mosaic of a tile lies."""

    @abstractmethod
    def mask_file(self, row: TileRow) -> Path | None:
        """Return where the mask of a tile lies; None: it has none."""

    @abstractmethod
    def write_tables(self, rows: Sequence[TileRow]) -> None:
        """Write what comes last: with it the set is whole."""

    @abstractmethod
    def occupied(self) -> list[Path]:
        """Return what stands where tiles would be written."""

    def files(self, rows: Iterable[TileRow], intensity: float) -> Iterator[Path]:
        """Yield all files of some tiles at one intensity."""
        for row in rows:
            yield self.image_file(row, intensity)
            if mask := self.mask_file(row):
                yield mask

    def write_images(
        self, rows: Iterable[TileRow], mosaic: Tensor, intensity: float, size: int
    ) -> None:
        """Write the mosaics of the tiles of a frame, 16-bit TIFF.

        Args:
            rows: From `plan` for this frame.
            mosaic: ``(H, W)`` of the frame, fraction of full scale in [0, 1].
            intensity: Exposure relative to full.
            size: Height and width of a tile in pixels.
        """
        for row in rows:
            write_mosaic_tiff(self.image_file(row, intensity), mosaic[_place(row, size)])

    def write_masks(self, rows: Iterable[TileRow], mask: Mask, size: int) -> None:
        """Write the masks of the tiles of a frame, if the set has any."""
        for row in rows:
            if path := self.mask_file(row):
                write_mask(path, mask[_place(row, size)])


@dataclass(frozen=True)
class DroneLayout(Layout):
    """The published drone set: tiles for segmentation, and balanced ones for classification.

    Attributes:
        folder: ``drone/``.
    """

    folder: Path

    def plan(
        self, number: int, frame: str, windows: Sequence[Window], *, limit: int | None = None
    ) -> list[TileRow]:
        """Name the tiles as published: frame and tile are numbered, each set by itself.

        Args:
            number: Of the frame, from 0.
            frame: Stem of its file.
            windows: All of the frame.
            limit: The most tiles for segmentation.
        """
        shown = [window for window in windows if window.share > 0][:limit]
        rows = [
            TileRow("segmentation", f"{number:02d}_{tile:05d}", frame, *window, "")
            for tile, window in enumerate(shown)
        ]
        labelled = [
            (window, label)
            for label, chosen in zip(CLASSES, balance(windows), strict=True)
            for window in chosen
        ]
        rows.extend(
            TileRow("classification", f"{number:02d}_{tile:05d}", frame, *window, label)
            for tile, (window, label) in enumerate(labelled)
        )
        return rows

    def image_file(self, row: TileRow, intensity: float) -> Path:
        """Return where the mosaic of a tile lies."""
        if row.set == "segmentation":
            return self.folder / TILES / intensity_folder(intensity) / f"{row.tile}.tif"
        return self.folder / classification_tiles(intensity) / f"{row.tile}.tif"

    def mask_file(self, row: TileRow) -> Path:
        """Return where the mask of a tile lies."""
        masks = MASKS if row.set == "segmentation" else CLASSIFICATION_MASKS
        return self.folder / masks / f"{row.tile}.png"

    def write_tables(self, rows: Sequence[TileRow]) -> None:
        """Write the table of tiles and then the published table of classes."""
        write_tile_table(self.folder, rows)
        labelled = [row for row in rows if row.set == "classification"]
        write_csv(
            self.folder / CLASSIFICATION_CSV,
            ("", "file name", "label"),
            ((index, row.tile, CLASSES.index(row.label)) for index, row in enumerate(labelled)),
        )

    def occupied(self) -> list[Path]:
        """Return the folders and tables of tiles that are there; the frames may lie beside."""
        parts = (TILES, MASKS, CLASSIFICATION, TILE_TABLE)
        return [path for part in parts if (path := self.folder / part).exists()]


@dataclass(frozen=True)
class FolderLayout(Layout):
    """Tiles of frames of one's own, named by frame, row and column.

    Attributes:
        folder: That `RawFolder` reads.
        task: Which tiles are kept.
    """

    folder: Path
    task: TileSet

    def plan(self, number: int, frame: str, windows: Sequence[Window]) -> list[TileRow]:
        """Choose the tiles of a frame by the published rule of the task."""
        if self.task == "segmentation":
            chosen = [(window, "") for window in windows if window.share > 0]
        else:
            chosen = [
                (window, label)
                for label, kept in zip(LABELS, balance(windows), strict=True)
                for window in kept
            ]
        return [
            TileRow(self.task, f"{frame}_{place.row:05d}_{place.column:05d}", frame, *place, label)
            for place, label in chosen
        ]

    def image_file(self, row: TileRow, intensity: float) -> Path:
        """Return where the mosaic of a tile lies."""
        return self.folder / "images" / f"{row.tile}.tif"

    def mask_file(self, row: TileRow) -> Path | None:
        """Return where the mask of a tile lies; a classification set has none."""
        return self.folder / "masks" / f"{row.tile}.png" if self.task == "segmentation" else None

    def write_tables(self, rows: Sequence[TileRow]) -> None:
        """Write the table that `RawFolder` reads."""
        target = "mask" if self.task == "segmentation" else "label"
        write_csv(
            self.folder / TILE_TABLE,
            ("file", target, "frame", "row", "column", "mask_share"),
            (
                (
                    f"images/{row.tile}.tif",
                    row.label or f"masks/{row.tile}.png",
                    *(row.frame, row.row, row.column, row.mask_share),
                )
                for row in rows
            ),
        )

    def occupied(self) -> list[Path]:
        """Return all that lies in the folder."""
        return sorted(self.folder.iterdir()) if self.folder.exists() else []


def write_mask(path: Path, mask: Mask) -> Path:
    """Write a mask as a PNG of one bit a pixel, complete or not at all."""
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary)
    return path


def _place(row: TileRow, size: int) -> tuple[slice, slice]:
    return slice(row.row, row.row + size), slice(row.column, row.column + size)
