"""The files in an archive: their names, their content, and the bounds that both are held to."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from raw2logit.errors import InputError

MOST_MEMBERS = 1_000_000
LONGEST_NAME_BYTES = 255
"""Of a file or folder; no usual file system takes more."""

_CHUNK_BYTES = 1 << 18
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


class Tally:
    """Counts what an archive declares, and refuses too much of it."""

    def __init__(self, name: str, limit: int) -> None:
        """Begin to count the members of the archive `name`, up to `limit` bytes."""
        self._name = name
        self._limit = limit
        self._bytes = 0
        self._members = 0

    def add(self, size: int) -> None:
        """Count a member."""
        self._bytes += size
        self._members += 1
        if self._bytes > self._limit or size < 0:
            raise self.too_large()
        if self._members > MOST_MEMBERS:
            raise InputError(
                f"{self._name}: refused, nothing of it is used: it has more than {MOST_MEMBERS} "
                "members"
            )

    def too_large(self) -> InputError:
        """Return the error for an archive that holds more than the limit."""
        return InputError(
            f"{self._name}: refused, nothing of it is used: it would expand to more than "
            f"{self._limit} bytes: this is no data set"
        )


def safe_path(name: str, where: str) -> PurePosixPath:
    """Return a name as a path below a folder, or raise `InputError` if it could lead elsewhere.

    So does a name that no file can have, or that would upset a terminal.
    """
    path = PurePosixPath(name)
    why = None
    if not name.isprintable():
        why = "has characters that cannot be printed"
    elif (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or re.match(r"[A-Za-z]:", name)
    ):
        why = "leads out of its folder or is no name for a file"
    elif any(len(part.encode()) > LONGEST_NAME_BYTES for part in path.parts):
        why = f"is longer than {LONGEST_NAME_BYTES} bytes"
    if why is not None:
        raise InputError(f"{where}: refused, nothing of it is used: the name {name[:80]!r} {why}")
    return path


def read_member(stream: IO[bytes], size: int, name: str, member: str) -> Iterator[bytes]:
    """Yield a member's content; raise `InputError` unless it is `size` bytes long."""
    done = 0
    while True:
        with broken_named(name, member):
            chunk = stream.read(_CHUNK_BYTES)
        done += len(chunk)
        if done > size or (not chunk and done < size):
            raise InputError(
                f"{name}: refused: {member} is declared with {size} bytes and has "
                f"{'more' if done > size else done}"
            )
        if not chunk:
            return
        yield chunk


@contextmanager
def broken_named(name: str, member: str = "") -> Iterator[None]:
    """Turn what a broken archive raises into an `InputError` that names it."""
    try:
        yield
    except InputError:
        raise
    except _BROKEN as error:
        inside = f" at {member}" if member else ""
        raise InputError(
            f"{name}: broken archive{inside} ({error}): repeat the command, or name another place "
            "with --from URL"
        ) from error


def hostile(name: str, member: str, why: str) -> InputError:
    """Return the error for a member for which the whole archive is refused."""
    return InputError(f"{name}: refused, nothing of it is used: {member[:80]!r} {why}")
