"""Files of a web server, by HTTP with range requests; the record is one too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3

from raw2logit import __version__
from raw2logit.datasets.download.addresses import without_secrets
from raw2logit.datasets.download.stores import (
    TIMEOUT_S,
    AccessRefusedError,
    Interrupted,
    NotThereError,
    Stream,
    page_error,
    reason_of,
    refuse_page,
)
from raw2logit.errors import InputError

_CHUNK_BYTES = 1 << 18
_LARGEST_LIST_BYTES = 1 << 26
_USER_AGENT = f"raw2logit/{__version__}"


class HttpStore:
    """A web server; the record is one too."""

    def __init__(self) -> None:
        """Open one connection for all requests."""
        self._session = requests.Session()
        # Compressed on the way, neither size nor checksum would be those of the file.
        self._session.headers.update({"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})

    def size(self, address: str) -> int | None:
        """Return the size of a file in bytes, None if the server does not tell."""
        try:
            with self._request("HEAD", address, {}) as response:
                # Some servers answer 0 because the answer to HEAD has no content.
                return _number(response.headers.get("Content-Length")) or None
        except NotThereError:
            raise
        except InputError:
            return None  # HEAD alone may be forbidden; GET will tell

    def read(self, address: str) -> bytes:
        """Return the content of a small file."""
        with self.stream(address) as stream:
            content = bytearray()
            for chunk in stream.chunks:
                content += chunk
                if len(content) > _LARGEST_LIST_BYTES:
                    raise InputError(
                        f"{without_secrets(address)}: more than {_LARGEST_LIST_BYTES} bytes: this "
                        "is no list of files"
                    )
        if stream.total is not None and len(content) < stream.total:
            raise Interrupted(f"{without_secrets(address)}: the connection broke")
        return bytes(content)

    @contextmanager
    def stream(self, address: str, offset: int = 0, tag: str | None = None) -> Iterator[Stream]:
        """Open a file at `offset`, or at 0 if the server has another version or no ranges."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and tag:
            headers["If-Range"] = tag
        with self._request("GET", address, headers) as response:
            start, total = _place(response)
            etag = response.headers.get("ETag")
            if etag is not None and etag.startswith("W/"):
                etag = None  # weak: the bytes may differ
            other_version = start > 0 and tag is not None and etag not in (None, tag)
            if start == 0 or (start == offset and not other_version):
                yield Stream(start, total, etag, _chunks(response, address))
                return
            if offset == 0:
                raise InputError(
                    f"{without_secrets(address)}: sends a part that nobody asked for: name another "
                    "place with --from URL"
                )
        with self.stream(address) as stream:
            yield stream

    @contextmanager
    def _request(
        self, method: str, address: str, headers: dict[str, str]
    ) -> Iterator[requests.Response]:
        shown = without_secrets(address)
        answers: list[requests.Response] = []
        try:
            response = self._session.request(
                method,
                address,
                headers=headers,
                hooks={"response": lambda answer, *_, **__: answers.append(answer)},
                timeout=TIMEOUT_S,
                stream=True,
                allow_redirects=True,
            )
        except requests.exceptions.SSLError as error:
            raise InputError(
                f"{shown}: the server's certificate is not accepted ({reason_of(error)})"
            ) from error
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise Interrupted(f"{shown}: no connection ({reason_of(error)})") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            # Also for where the server redirects to, when requests forgets who did so.
            for answer in answers:
                answer.close()
            raise InputError(
                f"{shown}: cannot be asked for ({reason_of(error)}): check the address"
            ) from error
        with response:
            _refuse_status(response, shown)
            yield response


def _chunks(response: requests.Response, address: str) -> Iterator[bytes]:
    if response.status_code == requests.codes.requested_range_not_satisfiable:
        return
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise page_error(address)
    chunks = response.raw.stream(_CHUNK_BYTES, decode_content=False)
    try:
        if response.status_code == requests.codes.partial_content:
            yield from chunks
        else:
            yield from refuse_page(chunks, address)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Interrupted(
            f"{without_secrets(address)}: the connection broke ({reason_of(error)})"
        ) from error


def _place(response: requests.Response) -> tuple[int, int | None]:
    """Return where the bytes of an answer begin (-1: nowhere), and the size of the whole file."""
    content_range = response.headers.get("Content-Range", "").removeprefix("bytes").strip()
    span, _, whole = content_range.partition("/")
    if response.status_code == requests.codes.partial_content:
        start = _number(span.partition("-")[0])
        return (-1 if start is None else start), _number(whole)
    if response.status_code == requests.codes.requested_range_not_satisfiable:
        # Nothing is left to send when all is there.
        total = _number(whole)
        return (-1 if total is None else total), total
    return 0, _number(response.headers.get("Content-Length"))


def _refuse_status(response: requests.Response, shown: str) -> None:
    status = response.status_code
    if status in (200, 206, 416):
        return
    if status in (404, 410):
        raise NotThereError(f"{shown}: not there (HTTP {status})")
    if status in (401, 403):
        raise AccessRefusedError(
            f"{shown}: access is refused (HTTP {status}): check the address, or name another place "
            "with --from URL"
        )
    if status in (408, 425, 429) or (status >= 500 and status != 501):
        why = "too many requests" if status == 429 else "the server has trouble"
        raise Interrupted(
            f"{shown}: {why} (HTTP {status})", _retry_after_s(response.headers.get("Retry-After"))
        )
    raise InputError(f"{shown}: unexpected answer (HTTP {status}): check the address")


def _retry_after_s(value: str | None) -> float | None:
    """Read seconds or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
