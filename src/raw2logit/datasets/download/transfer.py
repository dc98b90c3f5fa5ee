"""One file: fetched in as many pieces as it takes, then checked against its checksum."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from raw2logit.datasets.download.addresses import without_secrets
from raw2logit.datasets.download.disk import disk_errors_named, require_space
from raw2logit.datasets.download.stores import Interrupted, Patience, Store
from raw2logit.errors import InputError
from raw2logit.files import write_text
from raw2logit.progress import PartProgress

_HASH_CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        name: Relative to the source, with ``/``.
        address: What its store reads.
        size: Bytes; None where only the transfer will tell.
        checksum: ``md5:`` or ``sha256:`` and hexadecimal digits.
    """

    name: str
    address: str
    size: int | None
    checksum: str

    @property
    def key(self) -> str:
        """A file name of its own in the staging folder; another content has another one."""
        return hashlib.sha256(f"{self.name}\n{self.checksum}".encode()).hexdigest()[:16]


def fetch(store: Store, file: RemoteFile, part: Path, progress: PartProgress) -> None:
    """Fetch a file to `part`, going on from what is there, and verify it.

    Args:
        store: Where the file lies.
        file: Which one.
        part: A folder that is there, and the name of the file in it. An interrupted call leaves
            what it got; beside it stands the version that it is of.
        progress: Told the bytes that are there.

    Raises:
        InputError: Size or checksum are wrong, a web page came instead, or the disk is full.
        MissingDataError: The file is not there, or no try came further.
    """
    resumed = _size(part) > 0
    _transfer(store, file, part, progress)
    if (got := checksum_of(part, file.checksum)) != file.checksum and resumed:
        # The first bytes may be of an older version, or of a disk that was full.
        _forget(part)
        _transfer(store, file, part, progress)
        got = checksum_of(part, file.checksum)
    if got != file.checksum:
        _forget(part)
        raise InputError(
            f"{without_secrets(file.address)}: wrong checksum: got {got}, expected "
            f"{file.checksum}: repeat the command, or name another place with --from URL"
        )
    _tag_file(part).unlink(missing_ok=True)


def checksum_of(path: Path, like: str) -> str:
    """Return the checksum of a file, of the same kind as `like`."""
    kind = like.partition(":")[0]
    with path.open("rb") as stream:
        digest = hashlib.new(kind, usedforsecurity=False)
        while chunk := stream.read(_HASH_CHUNK):
            digest.update(chunk)
    return f"{kind}:{digest.hexdigest()}"


def _transfer(store: Store, file: RemoteFile, part: Path, progress: PartProgress) -> None:
    patience = Patience()
    furthest = _size(part)
    if file.size is not None and furthest > file.size:
        _forget(part)
        furthest = 0
    while not _is_whole(part, file):
        try:
            _receive(store, file, part, progress)
            return
        except InputError:
            if not _size(part):
                _forget(part)
            raise
        except Interrupted as error:
            if _size(part) > furthest:
                furthest = _size(part)
                patience.renew()
            elif not furthest:
                _forget(part)
            patience.fail(error)
    progress(furthest, "")


def _is_whole(part: Path, file: RemoteFile) -> bool:
    return part.is_file() and file.size == _size(part)


def _receive(store: Store, file: RemoteFile, part: Path, progress: PartProgress) -> None:
    """Append one answer of the store; raise `Interrupted` if it ends early."""
    tag_file = _tag_file(part)
    tag = _read_tag(tag_file)
    with store.stream(file.address, _size(part), tag) as stream:
        known = stream.total if file.size is None else file.size
        if stream.total is not None and stream.total != known:
            raise InputError(
                f"{without_secrets(file.address)}: has {stream.total} bytes, but {known} are "
                "expected: name another place with --from URL"
            )
        if known is not None:
            require_space(part.parent, known - stream.start, file.name)
        with disk_errors_named(part.parent), part.open("r+b" if stream.start else "wb") as out:
            if stream.tag is None:
                tag_file.unlink(missing_ok=True)
            elif stream.tag != tag:
                write_text(tag_file, stream.tag)
            out.truncate(stream.start)
            done = out.seek(stream.start)
            progress(done, "")
            for chunk in stream.chunks:
                if known is not None and done + len(chunk) > known:
                    raise InputError(
                        f"{without_secrets(file.address)}: sends more than the {known} bytes that "
                        "are expected: name another place with --from URL"
                    )
                done += out.write(chunk)
                out.flush()
                progress(done, "")
    if known is not None and done < known:
        raise Interrupted(
            f"{without_secrets(file.address)}: the connection broke at {done} of {known} bytes"
        )


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_suffix(".tag")


def _read_tag(path: Path) -> str | None:
    """Return the version that a part is of; None if it is not known, or broken by a power cut."""
    if not path.is_file():
        return None
    tag = path.read_text(encoding="utf-8", errors="replace")
    return tag if tag and tag.isascii() and tag.isprintable() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
