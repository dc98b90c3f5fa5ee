"""From the path of a file in an archive to its place in the published layout.

The archives' own folders are not known, and need not be: a file is known by its name and the
folder that it lies in. What is known by neither is left out, never guessed.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from raw2logit.datasets.base import intensity_folder
from raw2logit.datasets.drone import (
    CLASSIFICATION,
    CLASSIFICATION_CSV,
    CLASSIFICATION_MASKS,
    FRAME_MASKS,
    FRAMES,
    MASKS,
    TILES,
    classification_tiles,
)
from raw2logit.datasets.microscopy import LABEL_FILE
from raw2logit.datasets.tile_table import TILE_TABLE
from raw2logit.sensor import INTENSITIES

Kind = Literal["microscopy", "drone"]

TOP_FOLDERS: dict[Kind, tuple[str, ...]] = {
    "microscopy": ("images", LABEL_FILE.parts[0]),
    "drone": (FRAMES, FRAME_MASKS, TILES, MASKS, CLASSIFICATION.parts[0]),
}
"""The folders in the folder of a data set."""

_KIND_WORDS: dict[Kind, re.Pattern[str]] = {
    "microscopy": re.compile(r"micro|histo|white.?cell|leu[ck]o|blood|ma190c", re.IGNORECASE),
    "drone": re.compile(r"drone|dji|aerial|car.?seg|(images|masks)_(full|tiles)", re.IGNORECASE),
}
_JUNK = re.compile(r"\._.*|\.DS_Store|\.bzEmpty|Thumbs\.db|desktop\.ini|__MACOSX")
# What a pipeline made of the raw data goes by the same file names.
_PROCESSED = re.compile(r"(?<!un)process|(?<![a-z])views?(?![a-z])", re.IGNORECASE)

_INTENSITIES = {intensity_folder(value): value for value in INTENSITIES}
_INTENSITY = re.compile(r"(?:.*[^a-z0-9])?(raw_scale\d{3})(_thr_0\.01)?")
_CELL = re.compile(r"Ma190c_.+\.tiff")
_FRAME = re.compile(r"DJI_\d+\.DNG")
_FRAME_MASK = re.compile(r"DJI_\d+.*\.(png|tif|tiff|jpg|npy)")
_TILE = re.compile(r"\d{2}_\d{5}\.tif")
_MASK = re.compile(r"\d{2}_\d{5}\.png")


class Place(NamedTuple):
    """Which data set a file belongs to, and where it lies in the folder of that data set."""

    kind: Kind
    path: PurePosixPath


def kind_of_name(name: str) -> Kind | None:
    """Return the data set that the name of an archive tells, None if it tells none or both."""
    told = [kind for kind, words in _KIND_WORDS.items() if words.search(name)]
    return told[0] if len(told) == 1 else None


def is_junk(path: PurePosixPath) -> bool:
    """Tell whether a file is what an operating system or a browser of buckets leaves behind."""
    return any(_JUNK.fullmatch(part) for part in path.parts)


def locate(path: PurePosixPath) -> Place | None:
    """Return the place of a file, None if it has none.

    Args:
        path: In the archive, with the archive's own name without its ending in front.
    """
    folders, name = path.parts[:-1], path.name
    parent = folders[-1] if folders else ""
    if name == LABEL_FILE.name:
        return _place("microscopy", LABEL_FILE.as_posix())
    if name == CLASSIFICATION_CSV.name:
        return _place("drone", CLASSIFICATION_CSV.as_posix())
    if name == TILE_TABLE and (not parent or _ends(parent, "drone")):
        return _place("drone", TILE_TABLE)
    if any(_PROCESSED.search(folder) for folder in folders):
        return None
    if _FRAME_MASK.fullmatch(name) and _ends(parent, FRAME_MASKS):
        return _place("drone", f"{FRAME_MASKS}/{name}")
    if _MASK.fullmatch(name):
        return _locate_mask(folders, name)
    match = _INTENSITY.fullmatch(parent)
    if match is None or match[1] not in _INTENSITIES:
        return None
    if _TILE.fullmatch(name):
        if match[2] or _is_classification(folders):
            tiles = classification_tiles(_INTENSITIES[match[1]]).as_posix()
            return _place("drone", f"{tiles}/{name}")
        return _place("drone", f"{TILES}/{match[1]}/{name}")
    if match[2]:
        return None
    if _CELL.fullmatch(name):
        return _place("microscopy", f"images/{match[1]}/{name}")
    if _FRAME.fullmatch(name):
        return _place("drone", f"{FRAMES}/{match[1]}/{name}")
    return None


def _locate_mask(folders: tuple[str, ...], name: str) -> Place | None:
    parent = folders[-1] if folders else ""
    if _ends(parent, CLASSIFICATION_MASKS.name):
        return _place("drone", f"{CLASSIFICATION_MASKS.as_posix()}/{name}")
    if _ends(parent, MASKS):
        masks = CLASSIFICATION_MASKS.as_posix() if _is_classification(folders) else MASKS
        return _place("drone", f"{masks}/{name}")
    return None


def _is_classification(folders: tuple[str, ...]) -> bool:
    return any(_ends(folder, CLASSIFICATION.name) for folder in folders)


def _ends(folder: str, name: str) -> bool:
    """Tell whether a folder is called `name`, perhaps with a word in front of it."""
    return re.fullmatch(rf"(?:.*[^a-z0-9])?{re.escape(name)}", folder) is not None


def _place(kind: Kind, path: str) -> Place:
    return Place(kind, PurePosixPath(path))
