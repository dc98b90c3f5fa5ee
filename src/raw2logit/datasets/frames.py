"""Full frames and the masks that belong to them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from raw2logit.datasets.base import intensity_folder
from raw2logit.datasets.drone import FRAME_MASKS, FRAMES, MAX_FRAMES
from raw2logit.datasets.folder import CAMERA_FILE
from raw2logit.datasets.table import MASK_SUFFIXES
from raw2logit.errors import InputError, MissingDataError
from raw2logit.raw import SUFFIXES
from raw2logit.sensor import INTENSITIES


class Frame(NamedTuple):
    """A full frame.

    Attributes:
        number: In the order of the names, from 0.
        mask: File of its mask.
        images: Raw files by intensity.
    """

    number: int
    mask: Path
    images: dict[float, Path]

    @property
    def stem(self) -> str:
        """Stem of its files, the same under every intensity."""
        return next(iter(self.images.values())).stem


def drone_frames(folder: Path) -> list[Frame]:
    """List the full frames of the published layout, under every intensity that is there.

    Args:
        folder: ``drone/``.

    Raises:
        MissingDataError: There are none, or one lacks its mask or an intensity.
        InputError: Two files have one stem, there are too many frames, or a mask fits several.
    """
    folders = {
        intensity: path
        for intensity in INTENSITIES
        if (path := folder / FRAMES / intensity_folder(intensity)).is_dir()
    }
    if not folders:
        raise MissingDataError(
            f"{folder / FRAMES}: no full frames: unpack the published ones there (DOI "
            "10.5281/zenodo.5235536), make some (`raw2logit data generate drone --frames --root "
            f"{folder.parent}`), or name your own (--frames DIR --masks DIR --out DIR)"
        )
    listed = {intensity: _by_stem(path, SUFFIXES) for intensity, path in folders.items()}
    stems = {stem for images in listed.values() for stem in images}
    for intensity, images in listed.items():
        if missing := sorted(stems - images.keys()):
            raise MissingDataError(
                f"{folders[intensity]}: no frame {missing[0]}, but another intensity has one: add "
                "it, or take the folder away"
            )
    first = next(iter(listed.values()))
    if len(first) > MAX_FRAMES:
        raise InputError(
            f"{folder / FRAMES}: {len(first)} frames, but the published names number "
            f"{MAX_FRAMES}: tile them as frames of your own (--frames DIR --masks DIR --out DIR)"
        )
    masks = _pair(list(first.values()), folder / FRAME_MASKS)
    return [
        Frame(number, mask, {intensity: images[stem] for intensity, images in listed.items()})
        for number, (stem, mask) in enumerate(zip(first, masks, strict=True))
    ]


def own_frames(frames: Path, masks: Path) -> list[Frame]:
    """List the raw files of a folder with their masks in another.

    A mask has the stem of its frame, or contains it as a whole, see `holds_stem`: of several, the
    longest.

    Raises:
        MissingDataError: A folder is not there, or a file lacks its counterpart.
        InputError: A folder holds no such files, two files have one stem, or a mask fits several.
    """
    images = list(_by_stem(frames, SUFFIXES).values())
    paired = zip(images, _pair(images, masks), strict=True)
    return [Frame(number, mask, {1.0: image}) for number, (image, mask) in enumerate(paired)]


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of a folder by stem, in the order of their names."""
    if not folder.is_dir():
        raise MissingDataError(f"{folder}: no such folder: check the name")
    found: dict[str, Path] = {}
    left_out = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name == CAMERA_FILE:
            continue
        if path.suffix.lower() not in suffixes:
            left_out.append(path.name)
        elif path.stem in found:
            raise InputError(f"{path}: {found[path.stem].name} has the same stem: keep one of them")
        else:
            found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: nothing to tile: holds no file with {' '.join(suffixes)}")
    if left_out:
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        warnings.warn(f"{folder}: left out, of another kind: {left_out[0]}{more}", stacklevel=2)
    return found


def holds_stem(text: str, stem: str) -> bool:
    """Tell whether a name holds a stem as a whole: img10 does not hold img1, 001 not 1."""
    letter = r"[^\W\d_]"
    first, last = (r"\d" if end.isdigit() else letter for end in (stem[0], stem[-1]))
    before = f"(?<!{first})" if stem[0].isalnum() else ""
    after = f"(?!{last})" if stem[-1].isalnum() else ""
    return re.search(before + re.escape(stem) + after, text) is not None


def _pair(images: Sequence[Path], folder: Path) -> list[Path]:
    """Return the mask of each frame."""
    stems = [image.stem for image in images]
    masks: dict[str, Path] = {}
    for name, mask in _by_stem(folder, MASK_SUFFIXES).items():
        inside = [stem for stem in stems if holds_stem(name, stem)]
        longest = [stem for stem in inside if len(stem) == max(map(len, inside))]
        if not longest:
            raise MissingDataError(
                f"{mask}: its name contains that of no frame in {images[0].parent}: add the frame, "
                "or take the mask away"
            )
        if len(longest) > 1:
            raise InputError(
                f"{mask}: its name contains those of the frames {' and '.join(longest)}: give it "
                "the stem of one"
            )
        (stem,) = longest
        if stem in masks:
            raise InputError(
                f"{mask}: {masks[stem].name} is a mask of frame {stem} too: keep one of them"
            )
        masks[stem] = mask
    for image in images:
        if image.stem not in masks:
            raise MissingDataError(
                f"{image}: no mask with its name in {folder}: add one (all zero if it shows "
                "nothing), or take the frame away"
            )
    return [masks[stem] for stem in stems]
