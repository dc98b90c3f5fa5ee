"""The published layout, spelled out, and hand-made data in it."""

import hashlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIZE = 32
COUNT = 28
DRONE_COUNT = 40
INTENSITIES = (1.0, 0.1)
FOLDERS = ("raw_scale100", "raw_scale010")


def stem(number: int) -> str:
    """Return a published file name: eight cells a zone, ten zones a slide."""
    lame, zone, cell = number // 80 + 1, number // 8 % 10 + 1, number % 8 + 1
    return f"Ma190c_lame{lame}_zone{zone}_composite_Mcropped_{cell}"


def write_image(path: Path, size: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(path.name.encode()).digest()
    values = np.random.default_rng(list(digest)).integers(0, 65536, (size, size), np.uint16)
    tifffile.imwrite(path, values)
    return path


def write_microscopy(root: Path, labels: str, *, images: bool = True) -> Path:
    """Write a label file word for word, and a tiny image for each first word of a line."""
    label_file = root / "microscopy" / "labels" / "Ma190c_annotations.dat"
    label_file.parent.mkdir(parents=True)
    label_file.write_text(labels, encoding="utf-8")
    folder = root / "microscopy" / "images" / "raw_scale100"
    folder.mkdir(parents=True)
    for line in labels.splitlines() if images else ():
        if line.split():
            write_image(folder / f"{line.split()[0]}.tiff")
    return label_file


def write_mask(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
