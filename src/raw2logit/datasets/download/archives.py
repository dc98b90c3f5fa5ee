"""Reading archives that nobody vouches for.

All members of an archive are looked at before the first byte of one is written: one hostile member
and nothing is taken from it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from raw2logit.datasets.download.members import (
    Member,
    Tally,
    broken_named,
    hostile,
    read_member,
    safe_path,
)
from raw2logit.datasets.download.tars import open_tar

LARGEST_RATIO = 100
"""Expanded bytes for each byte of the archive."""
SMALL_BYTES = 1 << 26
"""What any archive may expand to, however small it is."""

_OPENERS: dict[str, Callable[[Path], io.IOBase]] = {
    ".tar": io.FileIO,
    ".tar.gz": gzip.GzipFile,
    ".tgz": gzip.GzipFile,
    ".tar.bz2": bz2.BZ2File,
    ".tbz2": bz2.BZ2File,
    ".tar.xz": lzma.LZMAFile,
    ".txz": lzma.LZMAFile,
}
_SUFFIXES = (".zip", *_OPENERS)


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive."""
    return _suffix(name) is not None


def stem(name: str) -> str:
    """Return the name of an archive without its ending and folders."""
    last = PurePosixPath(name).name
    return last[: len(last) - len(_suffix(last) or "")]


def expansion_limit(path: Path) -> int:
    """Return to how many bytes an archive may expand."""
    return max(LARGEST_RATIO * path.stat().st_size, SMALL_BYTES)


@contextmanager
def open_archive(path: Path, name: str, limit: int) -> Iterator[list[Member]]:
    """Check an archive and list its files.

    Args:
        path: Where it lies.
        name: Of the archive, for messages; its ending tells the format.
        limit: Bytes that it may expand to.

    Yields:
        The files, in the archive's order. They can be read inside of the block.

    Raises:
        InputError: The archive is broken, or a member is hostile: a path that leads out, a link, a
            device, an encrypted file, or more content than `limit`.
    """
    suffix = _suffix(name)
    if suffix not in _OPENERS:
        with _open_zip(path, name, limit) as members:
            yield members
        return
    with _OPENERS[suffix](path) as raw, open_tar(raw, name, limit, SMALL_BYTES) as members:
        yield members


@contextmanager
def _open_zip(path: Path, name: str, limit: int) -> Iterator[list[Member]]:
    with broken_named(name):
        archive = zipfile.ZipFile(path)
    with archive:
        tally = Tally(name, limit)
        members = []
        for info in archive.infolist():
            tally.add(info.file_size)
            if info.orig_filename == "./":
                continue
            # The name as it is stored: zipfile itself cuts and replaces.
            checked = safe_path(info.orig_filename, name)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise hostile(name, info.filename, "is a link or a device")
            if info.flag_bits & 1:
                raise hostile(name, info.filename, "is encrypted")
            if not info.is_dir():
                reader = _zip_reader(archive, info, name)
                members.append(Member(checked, info.file_size, reader))
        yield members


def _zip_reader(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str
) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with broken_named(name, info.filename):
            stream = archive.open(info)
        with stream:
            yield from read_member(stream, info.file_size, name, info.filename)

    return chunks


def _suffix(name: str) -> str | None:
    lower = name.lower()
    return next((suffix for suffix in _SUFFIXES if lower.endswith(suffix)), None)
