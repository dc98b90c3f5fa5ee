"""Files of a bucket, of a folder of this machine, or of anything else that fsspec reads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fsspec.core import url_to_fs

from raw2logit.datasets.download.stores import (
    TIMEOUT_S,
    AccessRefusedError,
    Interrupted,
    NotThereError,
    Stream,
    reason_of,
    refuse_page,
    without_secrets,
)
from raw2logit.errors import InputError

_BLOCK_BYTES = 1 << 22
_S3 = ("s3", "s3a")
# What botocore reads credentials from, without asking a server for them.
_S3_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_MD5 = re.compile(r"[0-9a-f]{32}")
_T = TypeVar("_T")


class FsspecStore:
    """A bucket, a folder of this machine, or anything else that fsspec reads."""

    def __init__(self, address: str) -> None:
        """Choose the file system by the address.

        Raises:
            InputError: The scheme is unknown, or what reads it is not installed.
        """
        scheme = urlsplit(address).scheme if "://" in address else "file"
        options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
        if scheme in _S3:
            options["anon"] = not any(os.environ.get(name) for name in _S3_CREDENTIALS)
            # One place decides how often to try again: `Patience`.
            options["config_kwargs"] = {
                "retries": {"total_max_attempts": 1},
                "connect_timeout": TIMEOUT_S[0],
                "read_timeout": TIMEOUT_S[1],
            }
        try:
            self._system = url_to_fs(address, **options)[0]
        except ImportError as error:
            mend = "pip install 'raw2logit[s3]'" if scheme in _S3 else f"more ({error})"
            raise InputError(f"--from {without_secrets(address)}: needs {mend}") from error
        except ValueError as error:
            raise InputError(
                f"--from {without_secrets(address)}: unknown scheme {scheme!r}: name an http(s), "
                "s3 or file address, or a path"
            ) from error
        if scheme in _S3:
            self._system.retries = 1

    def size(self, address: str) -> int | None:
        """Return the size of a file in bytes."""
        return self._info(address)[0]

    def read(self, address: str) -> bytes:
        """Return the content of a small file."""
        return bytes(self._call(address, self._system.cat_file))

    @contextmanager
    def stream(self, address: str, offset: int = 0, tag: str | None = None) -> Iterator[Stream]:
        """Open a file at `offset`, or at 0 if it is another version or shorter now."""
        size, etag = self._info(address)
        start = offset if offset <= size and (tag is None or tag == etag) else 0

        def chunks() -> Iterator[bytes]:
            position = start
            while position < size:
                end = min(position + _BLOCK_BYTES, size)
                block = self._call(address, self._system.cat_file, start=position, end=end)
                if not block:
                    raise Interrupted(f"{without_secrets(address)}: the connection broke")
                position += len(block)
                yield block

        yield Stream(start, size, etag, chunks() if start else refuse_page(chunks(), address))

    def md5_sums(self, folder: str) -> dict[str, str | None]:
        """Return the MD5 of each file below a folder by its relative name, from S3 ETags.

        It is None where there is no ETag, or one that is no MD5, as after an upload in parts.

        Raises:
            NotThereError: There is no file.
        """
        top = self._system._strip_protocol(folder).rstrip("/") + "/"
        found = self._call(folder, lambda path: self._system.find(path, detail=True))
        if not found:
            raise NotThereError(f"{without_secrets(folder)}: not there, or empty")
        etags = {
            path.removeprefix(top): str(info.get("ETag", "")).strip('"')
            for path, info in found.items()
        }
        return {name: etag if _MD5.fullmatch(etag) else None for name, etag in etags.items()}

    def _info(self, address: str) -> tuple[int, str | None]:
        info = self._call(address, self._system.info)
        if info.get("type") == "directory":
            raise NotThereError(f"{without_secrets(address)}: a folder, not a file")
        return int(info["size"]), info.get("ETag")

    def _call(self, address: str, action: Callable[..., _T], **options: int) -> _T:
        shown = without_secrets(address)
        try:
            return action(self._system._strip_protocol(address), **options)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotThereError(f"{shown}: not there") from error
        except PermissionError as error:
            raise AccessRefusedError(
                f"{shown}: access is refused ({error}): check the address and the credentials in "
                "the environment"
            ) from error
        except Exception as error:  # every file system has its own kinds
            raise Interrupted(f"{shown}: {reason_of(error)}") from error
