"""The generated data sets, packed under odd folders as a record might hold them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

JUNK = ("__MACOSX/._a", ".DS_Store", "deep/.bzEmpty")


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def below(folder: Path, prefix: str = "") -> dict[str, bytes]:
    return {
        prefix + path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pack_microscopy(root: Path) -> dict[str, bytes]:
    """Flat in a zip of the folder's name, under the bucket's folders, and a tar for the labels."""
    images = root / "microscopy" / "images"
    bucket = "Data histopathology/WhiteCellsImages/raw_scale010/"
    return {
        "raw_scale100.zip": zipped(below(images / "raw_scale100")),
        "WhiteCellsImages_reduced.zip": zipped(
            {name: b"junk" for name in JUNK} | below(images / "raw_scale010", bucket)
        ),
        "WhiteCellsLabels.tar.gz": tarred(below(root / "microscopy" / "labels", "x/y/")),
    }


def pack_drone(root: Path) -> dict[str, bytes]:
    """Archives in an archive, a prefix at a folder's name, and the original's folders."""
    drone = root / "drone"
    tiles = {
        f"drone/images/{folder.name}.zip": zipped(below(folder), zipfile.ZIP_STORED)
        for folder in sorted((drone / "images_tiles_256").iterdir())
    }
    return {
        "drone_tiles.zip": zipped(tiles),
        "drone_masks.zip": zipped(
            below(drone / "masks_tiles_256", "drone/masks/masks_tiles_256/")
            | below(drone / "masks_full", "drone/masks/masks_full/")
            | {"drone/tiles.csv": (drone / "tiles.csv").read_bytes()}
        ),
        "drone_full.tar": tarred(below(drone / "images_full", "full/images/"), "w:"),
        "car_classification.tar.xz": tarred(
            below(drone / "classification", "any/drone_classification/"), "w:xz"
        ),
    }


def published(root: Path, kind: str) -> dict[str, bytes]:
    """Return the files that a download must end with, without its manifest."""
    files = below(root / kind)
    del files["generated.json"]
    return files
