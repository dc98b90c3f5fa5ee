"""Reading archives that nobody vouches for.

All members of an archive are looked at before the first byte of one is written: one hostile member
and nothing is taken from it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from raw2logit.errors import InputError

LARGEST_RATIO = 100
"""Expanded bytes for each byte of the archive."""
SMALL_BYTES = 1 << 26
"""What any archive may expand to, however small it is."""
MOST_MEMBERS = 1_000_000

_CHUNK = 1 << 20
# Names and attributes are held in memory, file content never is.
_LARGEST_READ = 1 << 24
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
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        path: Safe to join to a folder.
        size: Bytes, as the archive declares it; `chunks` holds it to that.
        chunks: Reads it.
    """

    path: PurePosixPath
    size: int
    chunks: Callable[[], Iterator[bytes]]


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive."""
    return _suffix(name) is not None


def stem(name: str) -> str:
    """Return the name of an archive without its ending and folders."""
    last = PurePosixPath(name).name
    return last[: len(last) - len(_suffix(last) or "")]


def safe_path(name: str, where: str) -> PurePosixPath:
    """Return a name as a path below a folder, or raise `InputError` if it could lead elsewhere."""
    path = PurePosixPath(name)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or re.match(r"[A-Za-z]:", name)
        or not name.isprintable()
    ):
        raise InputError(
            f"{where}: refused, nothing of it is used: the name {name[:80]!r} leads out of its "
            "folder or is no name for a file"
        )
    return path


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
    if suffix in _OPENERS:
        opened = _open_tar(_OPENERS[suffix], path, name, limit)
    else:
        opened = _open_zip(path, name, limit)
    with opened as members:
        yield members


@contextmanager
def _open_zip(path: Path, name: str, limit: int) -> Iterator[list[Member]]:
    with _broken_named(name):
        archive = zipfile.ZipFile(path)
    with archive:
        tally = _Tally(name, limit)
        members = []
        for info in archive.infolist():
            # The name as it is stored: zipfile itself cuts and replaces.
            checked = safe_path(info.orig_filename, name)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _hostile(name, info.filename, "is a link or a device")
            if info.flag_bits & 1:
                raise _hostile(name, info.filename, "is encrypted")
            tally.add(info.file_size)
            if not info.is_dir():
                reader = _zip_reader(archive, info, name)
                members.append(Member(checked, info.file_size, reader))
        yield members


def _zip_reader(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str
) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with _broken_named(name, info.filename):
            stream = archive.open(info)
        with stream:
            yield from _read(stream, info.file_size, name, info.filename)

    return chunks


@contextmanager
def _open_tar(
    opener: Callable[[Path], io.IOBase], path: Path, name: str, limit: int
) -> Iterator[list[Member]]:
    with opener(path) as raw:
        with _broken_named(name):
            archive = tarfile.TarFile(fileobj=cast("IO[bytes]", _Guarded(raw)))
        with archive:
            tally = _Tally(name, limit)
            members = []
            while (info := _next(archive, name)) is not None:
                if info.isdir() and info.name == ".":
                    continue
                checked = safe_path(info.name, name)
                tally.add(info.size)
                if info.isdir():
                    continue
                if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.issparse():
                    raise _hostile(name, info.name, "is a link, a device or sparse")
                members.append(Member(checked, info.size, _tar_reader(archive, info, name)))
            yield members


def _next(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo | None:
    with _broken_named(name):
        return archive.next()


def _tar_reader(
    archive: tarfile.TarFile, info: tarfile.TarInfo, name: str
) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with _broken_named(name, info.name):
            stream = archive.extractfile(info)
        if stream is None:
            raise _hostile(name, info.name, "is no file")
        with stream:
            yield from _read(stream, info.size, name, info.name)

    return chunks


def _read(stream: IO[bytes], size: int, name: str, member: str) -> Iterator[bytes]:
    """Yield a member's content; raise `InputError` unless it is `size` bytes long."""
    done = 0
    while True:
        with _broken_named(name, member):
            chunk = stream.read(_CHUNK)
        done += len(chunk)
        if done > size or (not chunk and done < size):
            raise InputError(
                f"{name}: refused: {member} is declared with {size} bytes and has "
                f"{'more' if done > size else done}"
            )
        if not chunk:
            return
        yield chunk


class _Tally:
    """Counts what an archive declares, and refuses too much of it."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._bytes = 0
        self._members = 0

    def add(self, size: int) -> None:
        self._bytes += size
        self._members += 1
        if self._bytes > self._limit or size < 0:
            raise InputError(
                f"{self._name}: refused, nothing of it is used: it would expand to more than "
                f"{self._limit} bytes: this is no data set"
            )
        if self._members > MOST_MEMBERS:
            raise InputError(
                f"{self._name}: refused, nothing of it is used: it has more than {MOST_MEMBERS} "
                "members"
            )


class _Guarded(io.RawIOBase):
    """A stream that hands out no more at once than file names need.

    tarfile reads the header of a long name whole into memory, however long it says it is.
    """

    def __init__(self, raw: io.IOBase) -> None:
        self._raw = cast("IO[bytes]", raw)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._raw.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()


@contextmanager
def _broken_named(name: str, member: str = "") -> Iterator[None]:
    """Turn what a broken archive raises into an `InputError` that names it."""
    try:
        yield
    except _BROKEN as error:
        inside = f" at {member}" if member else ""
        raise InputError(
            f"{name}: broken archive{inside} ({error}): repeat the command, or name another place "
            "with --from URL"
        ) from error


def _hostile(name: str, member: str, why: str) -> InputError:
    return InputError(f"{name}: refused, nothing of it is used: {member[:80]!r} {why}")


def _suffix(name: str) -> str | None:
    lower = name.lower()
    return next((suffix for suffix in _SUFFIXES if lower.endswith(suffix)), None)
