"""Raw-Microscopy: leukocytes on blood smears, nine classes.

Oala, Aversa et al., "Data Models for Dataset Drift Controls in Machine Learning With Optical
Images", TMLR 2023; data DOI 10.5281/zenodo.5235536, CC BY 4.0.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.datasets.base import (
    RawDataset,
    default_root,
    intensity_folder,
    require_data,
    require_files,
)
from raw2logit.errors import InputError

CLASS_COUNTS = {
    "BAS": 18,
    "EOS": 54,
    "KSC": 163,
    "LYA": 30,
    "LYT": 230,
    "MON": 191,
    "NGB": 8,
    "NGS": 216,
    "UNC": 30,
}
"""The nine classes with their published number of images, 940 in all; the order is the index.

Basophil, eosinophil, smudge cell, atypical and typical lymphocyte, monocyte, band and segmented
neutrophil, unclear.
"""

# Codes of the annotation scheme with four published images or fewer: left out, as published.
_RARE_CODES = frozenset({"EBO", "MMZ", "MOB", "MYB", "MYO", "PMB", "PMO"})
_INVALID_STEMS = frozenset({"Ma190c_lame3_zone13_composite_Mcropped_2"})

IMAGES = "images"
SUFFIX = ".tiff"
LABEL_FILE = Path("labels") / "Ma190c_annotations.dat"
_STEM = re.compile(r"Ma190c_(lame\d+_zone\d+)_composite_Mcropped_\d+")


class RawMicroscopy(RawDataset):
    """Leukocyte classification.

    All images of one zone of a slide are one group: they share stain, light and focus.
    """

    group_noun = "zone of a slide"
    group_caveat = (
        "No zone of a slide is in two parts, but zones of one slide are: other slides and "
        "patients may be harder."
    )

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        intensity: float = 1.0,
        download: bool = False,
    ) -> None:
        """Read the label file.

        Args:
            root: Folder that holds ``microscopy/``; None: `default_root`.
            intensity: One of `raw2logit.sensor.INTENSITIES`.
            download: Download the published data set first, as far as it is not there.

        Raises:
            MissingDataError: The data set or an image that is labelled is not there.
            InputError: A line of the label file is broken or names an unknown class.
        """
        root = default_root() if root is None else Path(root)
        if download:
            from raw2logit.datasets.download import download_dataset

            download_dataset("microscopy", root)
        folder = root / "microscopy"
        images = folder / IMAGES / intensity_folder(intensity)
        label_file = folder / LABEL_FILE
        require_data(images, "microscopy", root, intensity)
        require_data(label_file, "microscopy", root, intensity)
        self.name = "microscopy"
        self.task = "classification"
        self.classes = tuple(CLASS_COUNTS)
        self.camera = Camera.preset("microscopy")
        labelled = read_labels(label_file).classes
        self.files = [images / f"{stem}{SUFFIX}" for stem in labelled]
        self.labels = [self.classes.index(code) for code in labelled.values()]
        self.groups = [_group(stem) for stem in labelled]
        require_files(self.files, str(label_file))

    def target(self, index: int) -> Tensor:
        """Return the class index, an int64 scalar."""
        return torch.tensor(self.labels[index])


class Labels(NamedTuple):
    """What the label file names.

    Attributes:
        classes: Code of the class of each stem that is used.
        left_out: Stems that are left out, as published: their class is rare, or they are invalid.
    """

    classes: dict[str, str]
    left_out: set[str]


def read_labels(path: Path) -> Labels:
    """Read the label file.

    Raises:
        InputError: A line is broken or names an unknown class.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text ({error}): download or generate it again") from error
    labels = Labels({}, set())
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        words = line.split()
        if len(words) != 2:
            raise InputError(f"{path}:{number}: expected '<file stem> <class code>', got {line!r}")
        stem, code = words
        if code in _RARE_CODES or stem in _INVALID_STEMS:
            labels.left_out.add(stem)
            continue
        if code not in CLASS_COUNTS:
            raise InputError(
                f"{path}:{number}: unknown class {code!r}: known are {' '.join(CLASS_COUNTS)}"
            )
        if labels.classes.setdefault(stem, code) != code:
            raise InputError(
                f"{path}:{number}: {stem} is {code} here and {labels.classes[stem]} above: keep one"
            )
    return labels


def _group(stem: str) -> str:
    match = _STEM.fullmatch(stem)
    return match.group(1) if match else stem
