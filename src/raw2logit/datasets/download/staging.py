"""The staging folder: what is fetched and unpacked lies here until all of it is known to be good.

Each fetched file has a key, see `RemoteFile`. ``KEY.part`` is what came so far, ``KEY.whole`` is
verified, ``KEY.new/`` is being unpacked, and ``KEY/`` holds an index and the unpacked files in
their places. Each step ends with a rename, so that a killed call is taken up where it was. A lock
keeps out a second download.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from raw2logit.datasets.download.archives import expansion_limit, is_archive
from raw2logit.datasets.download.disk import (
    DiskError,
    disk_errors_named,
    empty,
    locked,
    move,
    nearest,
    require_folder,
    require_space,
)
from raw2logit.datasets.download.layout import TOP_FOLDERS, Kind, locate
from raw2logit.datasets.download.manifest import is_there
from raw2logit.datasets.download.stores import Store
from raw2logit.datasets.download.transfer import RemoteFile, fetch
from raw2logit.datasets.download.unpacking import Entry, Index, Unpacking
from raw2logit.errors import InputError
from raw2logit.files import sha256_of
from raw2logit.progress import PartProgress, Progress


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
            InputError: It cannot be made, or another download is at work in it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path))
            except OSError as error:
                raise InputError(
                    f"--root {self.path.parent}: no folder can be made there ({error.strerror}): "
                    "name another"
                ) from error
            with disk_errors_named(self.path.parent):
                yield

    def remove(self) -> None:
        """Take away all that is in the folder; it is `open`."""
        empty(self.path)

    def tidy(self) -> None:
        """Take away what is left beside a complete data set, if that can be done."""
        if self.path.is_dir():
            with suppress(InputError, OSError), locked(self.path):
                empty(self.path)

    def require_room(self, needed: int) -> None:
        """Raise `InputError` unless `needed` bytes can be fetched and moved to their places.

        Nothing is known yet of how far they expand.
        """
        for name in ("", *TOP_FOLDERS[self._kind]):
            require_folder(self._folder / name)
        require_space(self.path, needed, "the download")
        place = nearest(self._folder)
        if place.stat().st_dev != self.path.stat().st_dev:
            require_space(place, needed, "the download")

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
        if path.is_file():
            whole.unlink(missing_ok=True)
        elif whole.is_file():
            move(whole, path)

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
            for parent in target.relative_to(self._folder).parents:
                require_folder(self._folder / parent)
            if target.exists() and not _same(target, entry):
                raise InputError(
                    f"{target}: has other content than the download: move it away, or choose "
                    "another --root; nothing is overwritten"
                )
        for file, index in indexes:
            for path in index.files:
                staged, target = self._staged(file, path), self._folder / path
                if staged.is_file() and not target.exists():
                    move(staged, target)

    def _unpack(self, file: RemoteFile, whole: Path, new: Path, progress: Progress) -> Index:
        (new / "files").mkdir(parents=True)
        index = Index(whole.stat().st_size)
        name = PurePosixPath(file.name)
        if is_archive(file.name):
            work = Unpacking(self._kind, new, index, expansion_limit(whole), progress)
            try:
                work.archive(whole, name, depth=1)
            except DiskError:
                raise
            except InputError:
                whole.unlink()  # no use can be made of it
                raise
            return index
        place = locate(name)
        if place is None:
            raise InputError(f"{file.name}: has no place in the data set")
        index.files[str(place.path)] = Entry(index.size, sha256_of(whole))
        target = new / "files" / place.path
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.replace(target)
        return index

    def _index(self, file: RemoteFile) -> Index | None:
        """Return the index of an unpacked file if all that it names is still there."""
        path = self.path / file.key / "index.json"
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content["files"] = {name: Entry(*entry) for name, entry in content["files"].items()}
            index = Index(**content)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # as after a power cut: it is unpacked again
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


def _same(path: Path, entry: Entry) -> bool:
    return is_there(path, entry.size) and sha256_of(path) == entry.sha256
