"""Reading tar archives, whose headers are as little to be trusted as their content."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, cast

from raw2logit.datasets.download.members import (
    Member,
    Tally,
    broken_named,
    hostile,
    read_member,
    safe_path,
)

# Names and attributes are held in memory, file content never is.
_LARGEST_READ = 1 << 20
_TAIL_CHUNK_BYTES = 1 << 16


@contextmanager
def open_tar(raw: io.IOBase, name: str, limit: int, slack: int) -> Iterator[list[Member]]:
    """Check a tar archive and list its files.

    Args:
        raw: The archive without its compression; can seek.
        name: Of the archive, for messages.
        limit: Bytes that its files may have.
        slack: Bytes that it may have beside them: headers, padding.

    Yields:
        The files. They can be read inside of the block.

    Raises:
        InputError: See `raw2logit.datasets.download.archives.open_archive`.
    """
    tally = Tally(name, limit)
    guarded = _Guarded(raw, limit + slack, tally)
    with broken_named(name):
        archive = tarfile.TarFile(fileobj=cast("IO[bytes]", guarded))
    with archive:
        members = []
        while (info := _next(archive, name)) is not None:
            # Only what is needed is kept: a small archive can hold very many attributes.
            archive.members.clear()  # type: ignore[attr-defined]
            info.pax_headers = {}
            tally.add(info.size)
            if info.isdir() and not PurePosixPath(info.name).parts:
                continue
            checked = safe_path(info.name, name)
            if info.isdir():
                continue
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.issparse():
                raise hostile(name, info.name, "is a link, a device or sparse")
            members.append(Member(checked, info.size, _reader(archive, info, name)))
        with broken_named(name):
            _require_end(guarded)
        yield members


def _next(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo | None:
    with broken_named(name):
        return archive.next()


def _reader(
    archive: tarfile.TarFile, info: tarfile.TarInfo, name: str
) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with broken_named(name, info.name):
            stream = archive.extractfile(info)
        if stream is None:
            raise hostile(name, info.name, "is no file")
        with stream:
            yield from read_member(stream, info.size, name, info.name)

    return chunks


def _require_end(raw: _Guarded) -> None:
    """Raise `tarfile.ReadError` unless the last header is the end of the archive: zeros.

    For tarfile a header that is broken or cut off is the end as well.
    """
    if raw.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it ends with a broken header, or none")
    while block := raw.read(_TAIL_CHUNK_BYTES):
        if any(block):
            raise tarfile.ReadError("something follows its end")


class _Guarded(io.RawIOBase):
    """A stream that hands out no more at once than file names need, and no more than `most`.

    tarfile reads the header of a long name whole into memory, however long it says it is.

    Attributes:
        last: What was handed out last.
    """

    def __init__(self, raw: io.IOBase, most: int, tally: Tally) -> None:
        self._raw = cast("IO[bytes]", raw)
        self._most = most
        self._tally = tally
        self.last = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._raw.read(size)
        self._require_within(self._raw.tell())
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET:
            # Before the seek: in a compressed stream it reads all that lies between.
            self._require_within(offset)
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def _require_within(self, position: int) -> None:
        if position > self._most:
            raise self._tally.too_large()
