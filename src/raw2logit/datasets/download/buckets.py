"""Files of a bucket, of a folder of this machine, or of anything else that fsspec reads."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fsspec import available_protocols
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from raw2logit.datasets.download.addresses import S3_SCHEMES, scrub, without_secrets
from raw2logit.datasets.download.stores import (
    TIMEOUT_S,
    AccessRefusedError,
    Interrupted,
    NotThereError,
    Stream,
    reason_of,
    refuse_page,
)
from raw2logit.errors import InputError, MissingDataError

_BLOCK_BYTES = 1 << 22
# What botocore reads credentials from, without asking a server for them.
_S3_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_MISTAKES = (ValueError, TypeError, AttributeError, LookupError, NotImplementedError)
# Of botocore, by name: it comes with an extra.
_BOTO_MISTAKES = {
    "ConfigNotFound",
    "ConfigParseError",
    "InvalidConfigError",
    "InvalidRegionError",
    "NoCredentialsError",
    "NoRegionError",
    "ParamValidationError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
}
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
        if scheme in S3_SCHEMES:
            options["anon"] = not any(os.environ.get(name) for name in _S3_CREDENTIALS)
            # One place decides how often to try again: `Patience`.
            options["config_kwargs"] = {
                "retries": {"total_max_attempts": 1},
                "connect_timeout": TIMEOUT_S[0],
                "read_timeout": TIMEOUT_S[1],
            }
        shown = f"--from {without_secrets(address)}"
        try:
            self._system = url_to_fs(address, **options)[0]
        except ImportError as error:
            mend = "pip install 'raw2logit[s3]'" if scheme in S3_SCHEMES else f"more ({error})"
            raise InputError(f"{shown}: needs {mend}") from error
        except OSError as error:
            raise MissingDataError(
                f"{shown}: no answer ({reason_of(error)}): check the address and the network"
            ) from error
        except Exception as error:  # every file system has its own kinds
            if scheme not in available_protocols():
                why = f"unknown scheme {scheme!r}"
            else:
                why = f"the address is not enough for {scheme!r} ({reason_of(error)})"
            raise InputError(
                f"{shown}: {why}: name an http(s), s3 or file address, or a path"
            ) from (error)
        self._is_local = isinstance(self._system, LocalFileSystem)
        if scheme in S3_SCHEMES:
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

        It is None where there is no ETag, or one that is no MD5, as after an upload in parts. On
        this machine nothing has an ETag, and nothing is looked for.

        Raises:
            NotThereError: There is no file, or no folder on this machine.
        """
        if self._is_local and self._call(folder, self._system.isdir):
            return {}
        top = self._call(folder, str).rstrip("/") + "/"
        find = self._system.find
        found = {} if self._is_local else self._call(folder, lambda path: find(path, detail=True))
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
                f"{shown}: access is refused ({scrub(str(error))}): check the address and the "
                "credentials in the environment"
            ) from error
        except Exception as error:  # every file system has its own kinds
            if _is_mistake(error):
                raise InputError(
                    f"{shown}: {reason_of(error)}: check the address given by --from, and the "
                    "settings of its server in the environment"
                ) from error
            raise Interrupted(f"{shown}: {reason_of(error)}") from error


def _is_mistake(error: Exception) -> bool:
    """Tell whether trying again is of no use: an address or a setting is wrong, not the network."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, _MISTAKES) or not kinds.isdisjoint(_BOTO_MISTAKES)
