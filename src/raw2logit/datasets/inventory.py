"""What the data sets with a name should consist of, without refusing what is broken.

The loaders stop at the first thing that is wrong. Here all of it is wanted: a table that cannot be
read is a fault of its section and counts as empty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from raw2logit.camera import Camera
from raw2logit.datasets import drone, microscopy
from raw2logit.datasets.base import Task, intensity_folder
from raw2logit.datasets.frames import drone_frames, holds_stem
from raw2logit.datasets.table import MASK_SUFFIXES
from raw2logit.datasets.tile_table import TileRow, TileSet, read_tile_table
from raw2logit.datasets.tiles import PUBLISHED_SIZE
from raw2logit.errors import InputError
from raw2logit.raw import SUFFIXES, TIFF_SUFFIXES
from raw2logit.sensor import INTENSITIES

_TILE = (PUBLISHED_SIZE, PUBLISHED_SIZE)

Content = TypeVar("Content")


class Published(NamedTuple):
    """What the published data set has of a section.

    Attributes:
        files: Of each intensity.
        classes: Files of each class.
        shape: Height and width in pixels.
    """

    files: int
    classes: dict[str, int]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Section:
    """Raw files of one kind under one or more intensities, and what belongs to them.

    Attributes:
        name: ``images``, ``tiles``, ``classification``, ``frames`` or ``files``.
        place: Where they lie.
        images: By intensity and key: the files that should be there.
        open: Opens an intensity as other commands do, and raises what they would.
        faults: What is wrong with the tables.
        labels: Class or number by key; empty: there are none, or none are known.
        classes: Names of the classes.
        masks: By key: the files that should be there.
        extra: Files that nothing names.
        camera: Constants of files that do not bring their own; None: they must.
        own_cameras: Whether a file's own constants count more.
        crop_odd: Drop the last row or column of odd-sized files.
        task: Of the user's own files.
        own: Whether it is data of one's own: files of several sizes are no fault, masks of several
            classes are.
        published: None: the section has no published counterpart.
    """

    name: str
    place: Path
    images: dict[float, dict[str, Path]]
    open: Callable[[float], object]
    faults: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    masks: dict[str, Path] = field(default_factory=dict)
    extra: list[Path] = field(default_factory=list)
    camera: Camera | None = None
    own_cameras: bool = False
    crop_odd: bool = False
    task: Task | None = None
    own: bool = False
    published: Published | None = None

    @property
    def keys(self) -> list[str]:
        """What there should be under every intensity."""
        return list(next(iter(self.images.values())))


def microscopy_sections(root: Path) -> list[Section]:
    """List what ``root/microscopy`` should hold by its label file."""
    folder = root / "microscopy"
    faults: list[str] = []
    labels, left_out = try_read(
        partial(microscopy.read_labels, folder / microscopy.LABEL_FILE), faults
    ) or microscopy.Labels({}, set())
    there = _Folders(lambda value: folder / microscopy.IMAGES / intensity_folder(value))
    images = there.files(labels or there.stems(TIFF_SUFFIXES), microscopy.SUFFIX)
    counts = microscopy.CLASS_COUNTS
    return [
        Section(
            "images",
            folder / microscopy.IMAGES,
            images,
            lambda value: microscopy.RawMicroscopy(root, intensity=value),
            faults,
            labels=labels,
            classes=tuple(counts),
            extra=[file for file in there.extra(images) if file.stem not in left_out],
            camera=Camera.preset("microscopy"),
            published=Published(sum(counts.values()), counts, _TILE),
        )
    ]


def drone_sections(root: Path, *, tiles: bool) -> list[Section]:
    """List what ``root/drone`` should hold by its tables, its masks and its other intensities.

    Args:
        root: Holds ``drone/``.
        tiles: A command that writes both sets of tiles was here, so they should be, too.
    """
    folder = root / "drone"
    sections = []
    if tiles or (folder / drone.TILES).is_dir() or (folder / drone.MASKS).is_dir():
        sections.append(_tiles(root, folder))
    if tiles or (folder / drone.CLASSIFICATION).is_dir():
        sections.append(_classification(root, folder))
    if (folder / drone.FRAMES).is_dir() or (folder / drone.FRAME_MASKS).is_dir():
        sections.append(_frames(folder))
    return sections or [_tiles(root, folder)]


def _tiles(root: Path, folder: Path) -> Section:
    there = _Folders(lambda value: folder / drone.TILES / intensity_folder(value))
    masks = _visible(folder / drone.MASKS)
    faults: list[str] = []
    stems = _tabled(folder, "segmentation", faults) or (
        there.stems(TIFF_SUFFIXES) | _stems(masks, MASK_SUFFIXES)
    )
    images = there.files(stems, ".tif")
    expected = {stem: folder / drone.MASKS / f"{stem}.png" for stem in images[there.first]}
    return Section(
        "tiles",
        folder / drone.TILES,
        images,
        lambda value: drone.RawDrone(root, intensity=value),
        faults,
        masks=expected,
        extra=there.extra(images) + _besides(masks, expected.values()),
        camera=Camera.preset("drone"),
        published=Published(drone.TILE_COUNT, {}, _TILE),
    )


def _classification(root: Path, folder: Path) -> Section:
    there = _Folders(lambda value: folder / drone.classification_tiles(value))
    faults: list[str] = []
    rows = try_read(partial(drone.read_classes, folder / drone.CLASSIFICATION_CSV), faults) or []
    labels = {stem: drone.CLASSES[index] for stem, index in rows}
    images = there.files(labels or there.stems(TIFF_SUFFIXES), ".tif")
    masks = _visible(folder / drone.CLASSIFICATION_MASKS)
    # The loader does not need them; but if there are some, there should be all.
    stems = images[there.first] if masks else ()
    expected = {stem: folder / drone.CLASSIFICATION_MASKS / f"{stem}.png" for stem in stems}
    return Section(
        "classification",
        folder / drone.CLASSIFICATION / drone.TILES,
        images,
        lambda value: drone.RawDrone(root, task="classification", intensity=value),
        faults,
        labels=labels,
        classes=drone.CLASSES,
        masks=expected,
        extra=there.extra(images) + _besides(masks, expected.values()),
        camera=Camera.preset("drone"),
        published=Published(sum(drone.CLASS_COUNTS.values()), drone.CLASS_COUNTS, _TILE),
    )


def _frames(folder: Path) -> Section:
    there = _Folders(lambda value: folder / drone.FRAMES / intensity_folder(value))
    faults: list[str] = []
    stems = sorted(there.stems(SUFFIXES) | {row.frame for row in _table(folder, faults)})
    images = {
        value: {stem: there.file(value, stem) or place / f"{stem}.DNG" for stem in stems}
        for value, place in there.places.items()
    }
    masks = _visible(folder / drone.FRAME_MASKS)
    expected = {
        stem: next(
            (mask for mask in masks if holds_stem(mask.stem, stem)),
            folder / drone.FRAME_MASKS / f"{stem}.png",
        )
        for stem in stems
    }
    return Section(
        "frames",
        folder / drone.FRAMES,
        images,
        lambda _: drone_frames(folder),
        faults,
        masks=expected,
        extra=there.extra(images) + _besides(masks, expected.values()),
        camera=Camera.preset("drone"),
        own_cameras=True,
        published=Published(drone.FRAME_COUNT, {}, drone.FRAME_SHAPE),
    )


class _Folders:
    """The folders of a section, one an intensity, and the files in them."""

    def __init__(self, of: Callable[[float], Path]) -> None:
        self.places = {value: of(value) for value in INTENSITIES if of(value).is_dir()}
        self._strangers = _besides(_visible(of(1.0).parent), self.places.values())
        self.places = self.places or {1.0: of(1.0)}
        self.first = next(iter(self.places))
        self._found = {value: _visible(place) for value, place in self.places.items()}

    def stems(self, suffixes: tuple[str, ...]) -> set[str]:
        return {stem for files in self._found.values() for stem in _stems(files, suffixes)}

    def file(self, value: float, stem: str) -> Path | None:
        return next((file for file in self._found[value] if file.stem == stem), None)

    def files(self, stems: Collection[str], suffix: str) -> dict[float, dict[str, Path]]:
        # Those of a table stay in its order.
        order = sorted(stems) if isinstance(stems, set) else stems
        return {
            value: {stem: place / f"{stem}{suffix}" for stem in order}
            for value, place in self.places.items()
        }

    def extra(self, images: dict[float, dict[str, Path]]) -> list[Path]:
        inside = (_besides(files, images[value].values()) for value, files in self._found.items())
        return [*self._strangers, *(file for files in inside for file in files)]


def _visible(folder: Path) -> list[Path]:
    """Return what lies in a folder; hidden files are what a killed writer left."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _besides(files: list[Path], known: Collection[Path]) -> list[Path]:
    named = set(known)
    return [file for file in files if file not in named]


def _stems(files: list[Path], suffixes: tuple[str, ...]) -> set[str]:
    return {file.stem for file in files if file.suffix.lower() in suffixes}


def _table(folder: Path, faults: list[str]) -> list[TileRow]:
    return try_read(partial(read_tile_table, folder), faults) or []


def _tabled(folder: Path, which: TileSet, faults: list[str]) -> list[str]:
    return [row.tile for row in _table(folder, faults) if row.set == which]


def try_read(read: Callable[[], Content], faults: list[str]) -> Content | None:
    """Return what is read; None: it is broken, and a fault, or not there."""
    try:
        return read()
    except FileNotFoundError:
        return None  # whoever opens the section is told
    except (InputError, OSError) as error:
        faults.append(str(error))
        return None
