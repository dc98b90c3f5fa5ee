"""Unpacking a fetched archive, with the archives in it, into the layout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from raw2logit.datasets.download.archives import expansion_limit, is_archive, open_archive, stem
from raw2logit.datasets.download.disk import require_space
from raw2logit.datasets.download.layout import Kind, is_junk, kind_of_name, locate
from raw2logit.datasets.download.members import Member
from raw2logit.errors import InputError
from raw2logit.progress import Progress

_DEEPEST = 2
"""Archives in archives are unpacked, those in them are not."""


class Entry(NamedTuple):
    """An unpacked file: its size in bytes, and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


@dataclass
class Index:
    """What a fetched file holds of the data set.

    Attributes:
        size: Of the fetched file, bytes.
        files: By their place in the folder of the data set.
        unknown: Number of files that have no place in any data set.
        example: One of them.
    """

    size: int
    files: dict[str, Entry] = field(default_factory=dict)
    unknown: int = 0
    example: str = ""


class Unpacking:
    """Unpacks one fetched archive with those in it."""

    def __init__(self, kind: Kind, new: Path, index: Index, limit: int, progress: Progress) -> None:
        """Unpack into the folder `new`, no more than `limit` bytes, and note it in `index`."""
        self._kind = kind
        self._new = new
        self._index = index
        self._left = limit
        self._progress = progress
        self._done = 0
        self._total = 0

    def archive(self, path: Path, name: PurePosixPath, depth: int) -> None:
        """Unpack what belongs to the data set."""
        with open_archive(path, str(name), min(self._left, expansion_limit(path))) as members:
            self._left -= sum(member.size for member in members)
            wanted = [
                (member, inside, place)
                for member in members
                for inside in [name.parent / stem(name.name) / member.path]
                for place in [self._place(inside, depth)]
                if place is not None
            ]
            needed = sum(member.size for member, _, _ in wanted)
            require_space(self._new.parent, needed, f"unpacking {name}")
            self._total += needed
            for member, inside, place in wanted:
                incoming = self._new / f"incoming-{depth}"
                entry = self._write(member, incoming, f"unpacking {name.name}")
                if is_archive(place):
                    self.archive(incoming, inside, depth + 1)
                    incoming.unlink()
                else:
                    self._take(incoming, place, entry, str(inside))

    def _place(self, inside: PurePosixPath, depth: int) -> str | None:
        """Return where a member goes, its own name for an archive, None if it is left out."""
        if is_junk(inside):
            return None
        if depth < _DEEPEST and is_archive(inside.name):
            other = kind_of_name(str(inside)) not in (None, self._kind)
            return None if other else inside.name
        place = locate(inside)
        if place is None:
            self._index.unknown += 1
            self._index.example = self._index.example or str(inside)
            return None
        return str(place.path) if place.kind == self._kind else None

    def _write(self, member: Member, path: Path, task: str) -> Entry:
        digest = hashlib.sha256()
        with path.open("wb") as out:
            for chunk in member.chunks():
                digest.update(chunk)
                out.write(chunk)
                self._done += len(chunk)
                self._progress(task, self._done, self._total)
        return Entry(member.size, digest.hexdigest())

    def _take(self, incoming: Path, place: str, entry: Entry, inside: str) -> None:
        if self._index.files.setdefault(place, entry) != entry:
            raise InputError(
                f"{inside}: another file of the archive has the same place, {place}, and other "
                "content: name another archive with --from URL"
            )
        target = self._new / "files" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        incoming.replace(target)
