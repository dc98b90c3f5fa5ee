"""What web servers and buckets have in common: the interface, and when to try again.

A store tells four ends apart: bytes; `NotThereError`; `Interrupted`, which may pass and is tried
again by `patiently`; and any other `InputError`, which will not pass.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

import urllib3

from raw2logit.datasets.download.addresses import scrub, without_secrets
from raw2logit.errors import InputError, MissingDataError

TIMEOUT_S = (10.0, 30.0)
"""To connect, and between two pieces of an answer."""
TRIES = 5
"""Failures in a row that end a download; only the first of them may have brought bytes."""
FIRST_WAIT_S = 1.0
"""Doubled after each failure."""
LONGEST_WAIT_S = 120.0
"""A server that asks for more is taken at its word: the download ends and can be repeated."""

_T = TypeVar("_T")


class NotThereError(MissingDataError):
    """The server answers, and has no such file."""


class AccessRefusedError(InputError):
    """The server answers, and does not say whether it has the file."""


class Interrupted(Exception):
    """A transfer or a request failed in a way that may pass."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep for how long the server asks to be left alone, if it does."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stream(NamedTuple):
    """An answer: bytes from `start` on, of `total` if known, of the version `tag` if it has one."""

    start: int
    total: int | None
    tag: str | None
    chunks: Iterator[bytes]


class Store(Protocol):
    """What `transfer` needs."""

    def size(self, address: str) -> int | None:
        """Return the size of a file in bytes, None if the store does not tell."""

    def read(self, address: str) -> bytes:
        """Return the content of a small file."""

    @contextmanager
    def stream(self, address: str, offset: int = 0, tag: str | None = None) -> Iterator[Stream]:
        """Open a file at `offset`, or at 0 where that is not possible any more."""


class Patience:
    """How often, and after which wait, to try again."""

    def __init__(self) -> None:
        """Begin with all tries left."""
        self.renew()

    def renew(self) -> None:
        """Something came forward: all tries are left again."""
        self._failures = 0

    def fail(self, error: Interrupted) -> None:
        """Wait, or raise `MissingDataError` when that has been done often enough."""
        self._failures += 1
        if error.retry_after_s is not None and error.retry_after_s > LONGEST_WAIT_S:
            raise MissingDataError(
                f"{error}: it asks to wait {error.retry_after_s:.0f} s: repeat the command then; "
                "it resumes"
            ) from error
        if self._failures >= TRIES:
            raise MissingDataError(
                f"{error}: tried {TRIES} times: check the network, then repeat the command, which "
                "resumes, or name another place with --from URL"
            ) from error
        # Clients that were thrown out together must not come back together.
        wait_s = FIRST_WAIT_S * 2 ** (self._failures - 1) * random.uniform(0.75, 1.25)
        time.sleep(wait_s if error.retry_after_s is None else error.retry_after_s)


def patiently(action: Callable[[], _T]) -> _T:
    """Return what `action` returns, trying again when it is `Interrupted`."""
    patience = Patience()
    while True:
        try:
            return action()
        except Interrupted as error:
            patience.fail(error)


def refuse_page(chunks: Iterator[bytes], address: str) -> Iterator[bytes]:
    """Hand chunks on unless the first one is the start of a web page."""
    for number, chunk in enumerate(chunks):
        head = chunk[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if number == 0 and head.startswith((b"<!doctype html", b"<html")):
            raise page_error(address)
        yield chunk


def page_error(address: str) -> InputError:
    """Return the error for a web page in place of a file."""
    return InputError(
        f"{without_secrets(address)}: a web page came instead of the file: open the address in a "
        "browser to see what it says, or name another place with --from URL"
    )


def reason_of(error: BaseException) -> str:
    """Return a few words for the innermost cause that has some."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for cause in reversed(causes):
        if isinstance(cause, socket.gaierror):
            return "the name of the server is not found"
        if isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    # Before it is cut, which could hide the end of a secret's address but not the secret.
    return scrub(" ".join(str(causes[-1]).split()))[:200] or type(causes[-1]).__name__
