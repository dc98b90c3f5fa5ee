"""``downloaded.json``: what a downloaded data set consists of, and where it came from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from raw2logit.errors import InputError

DOWNLOADED = "downloaded.json"
"""Lies in the folder of a downloaded data set, and is written last: with it the set is complete."""


@dataclass(frozen=True)
class FetchedFile:
    """One file of the source: an archive, or a file of the data set itself.

    Attributes:
        name: Relative to the source.
        size: Bytes.
        checksum: ``md5:`` or ``sha256:`` and hexadecimal digits, as the source states it.
    """

    name: str
    size: int
    checksum: str


@dataclass(frozen=True)
class DataFile:
    """One file of the data set.

    Attributes:
        path: Relative to the folder of the data set, with ``/``.
        size: Bytes.
        sha256: Hexadecimal digits.
        archive: Name of the fetched file that it came in.
    """

    path: str
    size: int
    sha256: str
    archive: str


@dataclass(frozen=True)
class Downloaded:
    """The manifest of a downloaded data set; the same download gives the same bytes.

    Attributes:
        source: ``doi:...`` or the address of the mirror, without anything secret.
        doi: Of the record; None for a mirror.
        archives: What was fetched, by name.
        files: What the data set consists of, by path.
        left_out: Names of files that the source lists and that were not fetched.
    """

    source: str
    doi: str | None
    archives: tuple[FetchedFile, ...]
    files: tuple[DataFile, ...]
    left_out: tuple[str, ...]

    def missing(self, folder: Path) -> list[DataFile]:
        """Return the files that are not in `folder` with their size."""
        return [file for file in self.files if not is_there(folder / file.path, file.size)]

    def to_json(self) -> str:
        """Return the text of ``downloaded.json``."""
        return json.dumps(asdict(self), indent=1) + "\n"


def is_there(path: Path, size: int) -> bool:
    """Tell whether a file is there with its size."""
    return path.is_file() and path.stat().st_size == size


def read_manifest(folder: Path) -> Downloaded | None:
    """Read the manifest of a data set.

    Args:
        folder: ``<root>/microscopy`` or ``<root>/drone``.

    Returns:
        The manifest; None if the data set was not downloaded, or not to the end.

    Raises:
        InputError: The manifest is broken.
    """
    path = folder / DOWNLOADED
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Downloaded(
            source=content["source"],
            doi=content["doi"],
            archives=tuple(FetchedFile(**archive) for archive in content["archives"]),
            files=tuple(DataFile(**file) for file in content["files"]),
            left_out=tuple(content["left_out"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: broken ({error}): delete it and repeat the download; files that are there "
            "are kept"
        ) from error
