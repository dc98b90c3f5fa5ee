"""The staging folder: what is fetched and unpacked lies here until all of it is known to be good.

Each fetched file has a key, see `RemoteFile`. ``KEY.part`` is what came so far, ``KEY.whole`` is
verified, ``KEY.new/`` is being unpacked, and ``KEY/`` holds an index and the unpacked files in
their places. Each step ends with a rename, so that a killed call is taken up where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from raw2logit.datasets.download.archives import (
    Member,
    expansion_limit,
    is_archive,
    open_archive,
    stem,
)
from raw2logit.datasets.download.layout import Kind, is_junk, kind_of_name, locate
from raw2logit.datasets.download.manifest import is_there
from raw2logit.datasets.download.stores import Store
from raw2logit.datasets.download.transfer import (
    DiskFullError,
    RemoteFile,
    checksum_of,
    fetch,
    full_disk_named,
    require_space,
)
from raw2logit.errors import InputError
from raw2logit.progress import PartProgress, Progress

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


class Staging:
    """The staging folder of one data set.

    Attributes:
        path: The folder, beside that of the data set, so that a rename is enough to move a file.
    """

    def __init__(self, root: Path, kind: Kind) -> None:
        """Name the folder; it is made by `open`."""
        self.path = root / f".download-{kind}"
        self._folder = root / kind
        self._kind = kind

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the folder; if it holds nothing at the end, take it away.

        Raises:
            InputError: It cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--root {self.path.parent}: no folder can be made there ({error.strerror}): name "
                "another"
            ) from error
        try:
            with full_disk_named(self.path.parent):
                yield
        finally:
            if self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()

    def remove(self) -> None:
        """Take the folder away with all that is in it."""
        if self.path.is_dir():
            shutil.rmtree(self.path)

    def bytes_there(self, file: RemoteFile) -> int:
        """Return how many bytes of a file need not be fetched any more."""
        for path in (self._whole(file), self._part(file)):
            if path.is_file():
                return path.stat().st_size
        return (file.size or 0) if self._index(file) is not None else 0

    def get(
        self,
        store: Store,
        file: RemoteFile,
        kept: Path | None,
        fetching: PartProgress,
        progress: Progress,
    ) -> Index:
        """Fetch and unpack a file, as far as that is not done yet.

        Args:
            store: Where the file lies.
            file: Which one.
            kept: Where the fetched file shall go in the end, None if nowhere.
            fetching: Told the bytes that came.
            progress: Told the bytes that are unpacked.

        Raises:
            InputError: What came is broken or hostile, or the disk is full.
            MissingDataError: It did not come.
        """
        index = self._index(file)
        whole = self._whole(file)
        if index is not None and (kept is None or whole.is_file() or kept.is_file()):
            return index
        if not whole.is_file():
            fetch(store, file, self._part(file), fetching)
            self._part(file).replace(whole)
        new = self.path / f"{file.key}.new"
        done = self.path / file.key
        for leftover in (new, done):
            if leftover.is_dir():
                shutil.rmtree(leftover)
        try:
            index = self._unpack(file, whole, new, progress)
            (new / "index.json").write_text(json.dumps(asdict(index)), encoding="utf-8")
            new.replace(done)
        except BaseException:
            if new.is_dir():
                shutil.rmtree(new)
            raise
        return index

    def drop_archive(self, file: RemoteFile) -> None:
        """Take a fetched archive away: it is unpacked."""
        self._whole(file).unlink(missing_ok=True)

    def keep_archive(self, file: RemoteFile, path: Path) -> None:
        """Move a fetched archive to `path`, unless that was done before."""
        whole = self._whole(file)
        if whole.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            whole.replace(path)

    def install(self, indexes: Sequence[tuple[RemoteFile, Index]]) -> None:
        """Move all unpacked files to their places.

        Raises:
            InputError: Two archives, or an archive and what is there already, have different files
                for one place. Then nothing is moved.
        """
        owners: dict[str, tuple[str, Entry]] = {}
        for file, index in indexes:
            for path, entry in index.files.items():
                name, other = owners.setdefault(path, (file.name, entry))
                if other != entry:
                    raise InputError(
                        f"{file.name} and {name} hold different files for {path}: name one of them "
                        "with --from URL"
                    )
        for path, (_, entry) in owners.items():
            target = self._folder / path
            if target.exists() and not _same(target, entry):
                raise InputError(
                    f"{target}: has other content than the download: move it away, or choose "
                    "another --root; nothing is overwritten"
                )
        for file, index in indexes:
            for path in index.files:
                staged, target = self._staged(file, path), self._folder / path
                if staged.is_file() and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    staged.replace(target)

    def _unpack(self, file: RemoteFile, whole: Path, new: Path, progress: Progress) -> Index:
        (new / "files").mkdir(parents=True)
        index = Index(whole.stat().st_size)
        name = PurePosixPath(file.name)
        if is_archive(file.name):
            work = _Unpacking(self._kind, new, index, expansion_limit(whole), progress)
            try:
                work.archive(whole, name, depth=1)
            except DiskFullError:
                raise
            except InputError:
                whole.unlink()  # no use can be made of it
                raise
            return index
        place = locate(name)
        if place is None:
            raise InputError(f"{file.name}: has no place in the data set")
        index.files[str(place.path)] = Entry(index.size, _sha256(whole))
        target = new / "files" / place.path
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.replace(target)
        return index

    def _index(self, file: RemoteFile) -> Index | None:
        """Return the index of an unpacked file if all that it names is still there."""
        path = self.path / file.key / "index.json"
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        content["files"] = {name: Entry(*entry) for name, entry in content["files"].items()}
        index = Index(**content)
        for name, entry in index.files.items():
            if not self._staged(file, name).is_file() and not is_there(
                self._folder / name, entry.size
            ):
                return None
        return index

    def _staged(self, file: RemoteFile, path: str) -> Path:
        return self.path / file.key / "files" / path

    def _part(self, file: RemoteFile) -> Path:
        return self.path / f"{file.key}.part"

    def _whole(self, file: RemoteFile) -> Path:
        return self.path / f"{file.key}.whole"


class _Unpacking:
    """Unpacks one fetched archive with those in it."""

    def __init__(self, kind: Kind, new: Path, index: Index, limit: int, progress: Progress) -> None:
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


def _same(path: Path, entry: Entry) -> bool:
    return is_there(path, entry.size) and _sha256(path) == entry.sha256


def _sha256(path: Path) -> str:
    return checksum_of(path, "sha256:").removeprefix("sha256:")
