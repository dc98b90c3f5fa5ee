"""What is to be fetched, with its checksums: the files of the record, or those of a mirror."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import unquote

from pooch.downloaders import ZenodoRepository  # type: ignore[import-untyped]

from raw2logit.datasets.download.addresses import (
    check_address,
    is_web,
    join,
    split_query,
    without_secrets,
)
from raw2logit.datasets.download.archives import is_archive
from raw2logit.datasets.download.buckets import FsspecStore
from raw2logit.datasets.download.layout import Kind, is_junk, kind_of_name, locate
from raw2logit.datasets.download.members import safe_path
from raw2logit.datasets.download.stores import (
    AccessRefusedError,
    NotThereError,
    Store,
    patiently,
)
from raw2logit.datasets.download.transfer import RemoteFile
from raw2logit.datasets.download.web import HttpStore
from raw2logit.errors import InputError, MissingDataError

DOI = "10.5281/zenodo.5235536"
RECORD_API: str = ZenodoRepository.base_api_url
"""Where the records are asked for; tests name a server of their own."""

_SUMS = {"SHA256SUMS": ("sha256", 64), "MD5SUMS": ("md5", 32)}
_SUMS_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]+) [ *](?P<name>.+)")


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        address: As a person may name it; nothing secret in it.
        doi: Of the record; None for a mirror.
        store: What reads the files.
        files: To be fetched, by name.
        left_out: Names of listed files that are not fetched: they belong to the other data set.
        unknown: Names of listed files that are not fetched: neither archive nor data.
    """

    address: str
    doi: str | None
    store: Store
    files: tuple[RemoteFile, ...]
    left_out: tuple[str, ...]
    unknown: tuple[str, ...]


def open_source(kind: Kind, address: str | None) -> Source:
    """List what there is to fetch.

    Args:
        kind: Which data set.
        address: Of a bucket, a mirror or one archive; None: the published record.

    Raises:
        InputError: The list is broken, or there is no checksum for a file.
        MissingDataError: The record or the mirror is not there or does not answer.
    """
    if address is None:
        return _choose(kind, f"doi:{DOI}", DOI, _open_record())
    mirror = _open_mirror(check_address(address))
    return _choose(kind, without_secrets(address), None, mirror)


class _Listing(NamedTuple):
    store: Store
    files: list[RemoteFile]


class _Record(ZenodoRepository):  # type: ignore[misc]
    """Pooch's reader of a record, asking through our store, which waits and tries again."""

    def __init__(self, store: HttpStore) -> None:
        number = DOI.rpartition(".")[2]
        super().__init__(DOI, f"https://zenodo.org/records/{number}")
        self.address = f"{RECORD_API}/{number}"
        self._content = _read_json(store, self.address)

    @property
    def api_response(self) -> dict[str, Any]:
        return self._content


def _open_record() -> _Listing:
    store = HttpStore()
    try:
        record = _Record(store)
    except NotThereError as error:
        raise MissingDataError(
            f"the record with DOI {DOI} is not there any more ({error}): name a mirror with "
            "--from URL"
        ) from error
    registry: dict[str, str] = {}
    try:
        record.populate_registry(SimpleNamespace(registry=registry))
        # The two forms of the record's answer name the size differently.
        sizes = [
            int(file.get("size", file.get("filesize"))) for file in record.api_response["files"]
        ]
        files = [
            RemoteFile(_safe_name(name, record.address), record.download_url(name), size, checksum)
            for (name, checksum), size in zip(registry.items(), sizes, strict=True)
        ]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{record.address}: no list of files with sizes and checksums ({error}): name a mirror "
            "with --from URL"
        ) from error
    return _Listing(store, files)


def _read_json(store: HttpStore, address: str) -> dict[str, Any]:
    content = patiently(lambda: store.read(address))
    try:
        return dict(json.loads(content))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{address}: no description of a record: try again later, or name a mirror with "
            "--from URL"
        ) from error


def _open_mirror(address: str) -> _Listing:
    store: HttpStore | FsspecStore = HttpStore() if is_web(address) else FsspecStore(address)
    base, query = split_query(address)
    # Not a bucket that is called like an archive.
    if is_archive(base) and ("://" not in base or "/" in base.partition("://")[2]):
        folder, slash, name = base.rpartition("/")
        listed = unquote(name) if is_web(address) else name
        all_sums = _read_sums(store, (folder or slash or ".") + query)
        sums = {name: all_sums[name] for name in (listed,) if name in all_sums}
        addresses = {listed: address}
    else:
        sums = _read_sums(store, address)
        addresses = {name: join(address, name) for name in sums}
    if not sums:
        raise _no_checksum(address)
    files = [RemoteFile(name, addresses[name], None, sums[name]) for name in sorted(sums)]
    return _Listing(store, files)


def _read_sums(store: HttpStore | FsspecStore, folder: str) -> dict[str, str]:
    """Return the checksum of each file of a mirror by its name; none if there is no list."""
    refused: AccessRefusedError | None = None
    for name, (kind, digits) in _SUMS.items():
        try:
            content = patiently(partial(store.read, join(folder, name)))
        except NotThereError:
            continue
        except AccessRefusedError as error:
            refused = error  # a bucket that may not be listed says so of a missing file
            continue
        return _parse_sums(content, kind, digits, without_secrets(join(folder, name)))
    if refused is not None:
        raise refused
    if isinstance(store, FsspecStore):
        try:
            sums = patiently(lambda: store.md5_sums(folder))
        except NotThereError as error:
            raise MissingDataError(f"{error}: check the address given by --from") from error
        for file, digest in sums.items():
            if digest is None:
                raise _no_checksum(join(folder, file))
        return {_safe_name(file, folder): f"md5:{digest}" for file, digest in sums.items()}
    return {}


def _no_checksum(address: str) -> InputError:
    return InputError(
        f"{without_secrets(address)}: no checksum to verify it by: make a list in its folder with "
        "`sha256sum * > SHA256SUMS`"
    )


def _parse_sums(content: bytes, kind: str, digits: int, where: str) -> dict[str, str]:
    """Read what ``sha256sum`` and ``md5sum`` write."""
    sums: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        match = _SUMS_LINE.fullmatch(line)
        if match is None or len(match["digest"]) != digits:
            raise InputError(
                f"{where}:{number}: expected '<{kind} sum>  <file>', got {line[:80]!r}: make the "
                f"list with `{kind}sum`"
            )
        name = _safe_name(match["name"].removeprefix("./"), where)
        # `sha256sum * > SHA256SUMS` lists the list itself, while it is still empty.
        if name not in _SUMS:
            sums[name] = f"{kind}:{match['digest'].lower()}"
    return sums


def _safe_name(name: str, where: str) -> str:
    return str(safe_path(name, without_secrets(where)))


def _choose(kind: Kind, address: str, doi: str | None, listing: _Listing) -> Source:
    """Keep the files of one data set; what cannot be told by its name is fetched and looked at."""
    chosen, left_out, unknown = [], [], []
    for file in listing.files:
        path = PurePosixPath(file.name)
        if is_junk(path):
            continue
        if is_archive(file.name):
            belongs = kind_of_name(file.name) or kind
        else:
            place = locate(path)
            if place is None:
                unknown.append(file.name)
                continue
            belongs = place.kind
        if belongs == kind:
            chosen.append(file)
        else:
            left_out.append(file.name)
    if not chosen:
        some = ", ".join([*left_out, *unknown][:3]) or "nothing"
        raise InputError(
            f"{address}: lists no file of {kind}, but {some}: name another place with --from URL"
        )
    store = listing.store
    sized = [
        replace(file, size=patiently(partial(store.size, file.address)))
        if file.size is None
        else file
        for file in chosen
    ]
    return Source(address, doi, store, tuple(sized), tuple(left_out), tuple(unknown))
