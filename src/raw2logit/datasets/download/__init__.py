"""Downloading the published data sets, from their record or from any bucket or mirror."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from raw2logit.datasets.base import MANIFEST
from raw2logit.datasets.download.archives import is_archive
from raw2logit.datasets.download.disk import move, require_folder
from raw2logit.datasets.download.layout import Kind
from raw2logit.datasets.download.manifest import (
    DOWNLOADED,
    DataFile,
    Downloaded,
    FetchedFile,
    read_manifest,
)
from raw2logit.datasets.download.sources import DOI, Source, open_source
from raw2logit.datasets.download.staging import Staging
from raw2logit.datasets.download.transfer import RemoteFile, checksum_of
from raw2logit.datasets.download.unpacking import Entry, Index
from raw2logit.errors import InputError
from raw2logit.files import write_text
from raw2logit.progress import Progress, part, silent

ARCHIVES = "archives"
"""Folder for the fetched archives where they are kept."""


def download_dataset(
    kind: Kind,
    root: str | Path,
    *,
    source: str | None = None,
    keep_archives: bool = False,
    progress: Progress = silent,
) -> Path:
    """Fetch, verify and unpack a published data set.

    Nothing appears in the folder of the data set before all of it is verified, and nothing that is
    there is overwritten. A call that was interrupted or killed is taken up by the next one. If the
    data set is complete, the network is not touched.

    Args:
        kind: ``microscopy`` or ``drone``.
        root: The data set's folder is made in it.
        source: None: the record with the DOI of the data. Else an ``http(s)://`` address of a
            folder with a list ``SHA256SUMS`` or ``MD5SUMS``, of one archive beside such a list, or
            what fsspec reads: ``s3://``, ``file://``, a path. The endpoint and the credentials of
            a bucket come from the environment; without credentials it is read anonymously.
        keep_archives: Keep what was fetched in the folder ``archives``.
        progress: Told the bytes that are there and those in all, 0 if that is not known.

    Returns:
        The folder ``root/kind``.

    Raises:
        InputError: What came is broken, hostile or has the wrong checksum; there is no checksum;
            the disk is full; another download is at work; or the folder holds other data.
        MissingDataError: The source is not there, or does not answer.
    """
    root = Path(root)
    folder = root / kind
    if (folder / MANIFEST).is_file():
        raise InputError(
            f"{folder}: holds a generated data set: choose another --root, so that the two are "
            "never mixed"
        )
    staging = Staging(root, kind)
    old = read_manifest(folder)
    if old is not None and not old.missing(folder):
        staging.tidy()
        _tell_complete(folder, old, keep_archives, progress)
        return folder
    opened = open_source(kind, source)
    kept = folder / ARCHIVES if keep_archives else None
    with staging.open():
        old = read_manifest(folder)  # another download may have come to its end
        there = _indexes_there(opened, old, folder)
        if kept is not None:
            _require_free(kept, opened)
        indexes = _get_all(opened, there, staging, kept, progress)
        _require_all(folder, opened, old, indexes, staging)
        staging.install(indexes)
        if kept is not None:
            for file in _archives(opened):
                staging.keep_archive(file, kept / file.name)
        manifest = _manifest(opened, indexes)
        # A temporary name in the folder of the data set could be left there by a kill.
        staged = write_text(staging.path / DOWNLOADED, manifest.to_json())
        move(staged, folder / DOWNLOADED)
        staging.remove()
    if kept is not None:
        _warn_of_unkept(kept, [file.name for file in _archives(opened)])
    _warn_of_unknown(opened, [index for _, index in indexes])
    return folder


def _tell_complete(folder: Path, old: Downloaded, keep_archives: bool, progress: Progress) -> None:
    total = sum(file.size for file in old.files)
    progress(f"{folder} is complete: nothing to fetch", total, total)
    if keep_archives:
        archives = [file.name for file in old.archives if is_archive(file.name)]
        _warn_of_unkept(folder / ARCHIVES, archives)


def _require_free(kept: Path, opened: Source) -> None:
    """Raise `InputError` if something else lies where an archive is to be kept."""
    require_folder(kept)
    for file in _archives(opened):
        path = kept / file.name
        if path.exists() and (
            not path.is_file() or checksum_of(path, file.checksum) != file.checksum
        ):
            raise InputError(
                f"{path}: has other content than the download: move it away, or leave out "
                "--keep-archives; nothing is overwritten"
            )


def _warn_of_unkept(kept: Path, names: Sequence[str]) -> None:
    unkept = [name for name in names if not (kept / name).is_file()]
    if unkept:
        warnings.warn(
            f"{kept}: does not get {unkept[0]}, as what is in it is there already and is not "
            "fetched again: to keep the archives, download to another --root",
            stacklevel=3,
        )


def _indexes_there(opened: Source, old: Downloaded | None, folder: Path) -> dict[str, Index]:
    """Return, by key, the indexes of fetched files of which nothing is missing in the folder."""
    if old is None:
        return {}
    missing = {file.archive for file in old.missing(folder)}
    sizes = {(file.name, file.checksum): file.size for file in old.archives}
    return {
        file.key: Index(
            sizes[file.name, file.checksum],
            {
                data.path: Entry(data.size, data.sha256)
                for data in old.files
                if data.archive == file.name
            },
        )
        for file in opened.files
        if (file.name, file.checksum) in sizes and file.name not in missing
    }


def _get_all(
    opened: Source,
    there: dict[str, Index],
    staging: Staging,
    kept: Path | None,
    progress: Progress,
) -> list[tuple[RemoteFile, Index]]:
    files = [file for file in opened.files if file.key not in there]
    known = sum(file.size or 0 for file in files)
    left = known - sum(staging.bytes_there(file) for file in files)
    staging.require_room(max(left, 0))
    total = 0 if any(file.size is None for file in files) else known
    indexes = dict(there)
    before = 0
    for file in files:
        keep = kept / file.name if kept is not None and is_archive(file.name) else None
        fetching = part(progress, f"fetching {file.name}", before, total)
        index = staging.get(opened.store, file, keep, fetching, progress)
        if keep is None:
            staging.drop_archive(file)
        indexes[file.key] = index
        before += index.size
    return [(file, indexes[file.key]) for file in opened.files]


def _require_all(
    folder: Path,
    opened: Source,
    old: Downloaded | None,
    indexes: Sequence[tuple[RemoteFile, Index]],
    staging: Staging,
) -> None:
    """Raise `InputError` unless something was found, and all that was there before."""
    found = {path for _, index in indexes for path in index.files}
    if not found:
        staging.remove()
        example = next((index.example for _, index in indexes if index.example), "nothing")
        raise InputError(
            f"{opened.address}: holds no file of {folder.name}, but {example}: name another place "
            "with --from URL"
        )
    if old is not None and (lost := [file for file in old.files if file.path not in found]):
        raise InputError(
            f"{folder}: was downloaded from {old.source}, and {opened.address} does not hold "
            f"{lost[0].path} of it: download from {old.source} again"
        )


def _manifest(opened: Source, indexes: Sequence[tuple[RemoteFile, Index]]) -> Downloaded:
    files: dict[str, DataFile] = {}
    for file, index in indexes:
        for path, entry in index.files.items():
            files.setdefault(path, DataFile(path, entry.size, entry.sha256, file.name))
    return Downloaded(
        source=opened.address,
        doi=opened.doi,
        archives=tuple(
            FetchedFile(file.name, index.size, file.checksum)
            for file, index in sorted(indexes, key=lambda pair: pair[0].name)
        ),
        files=tuple(files[path] for path in sorted(files)),
        left_out=tuple(sorted((*opened.left_out, *opened.unknown))),
    )


def _warn_of_unknown(opened: Source, indexes: Sequence[Index]) -> None:
    count = len(opened.unknown) + sum(index.unknown for index in indexes)
    examples = (*opened.unknown, *(index.example for index in indexes if index.example))
    if count:
        warnings.warn(
            f"{opened.address}: left out {count} files that have no place in the layout of the "
            f"data sets, for instance {examples[0]}",
            stacklevel=3,
        )


def _archives(opened: Source) -> list[RemoteFile]:
    return [file for file in opened.files if is_archive(file.name)]


__all__ = [
    "ARCHIVES",
    "DOI",
    "DOWNLOADED",
    "DataFile",
    "Downloaded",
    "FetchedFile",
    "download_dataset",
    "read_manifest",
]
