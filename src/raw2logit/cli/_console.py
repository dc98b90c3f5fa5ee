"""How verbs talk to a person: progress while they work, one line at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from raw2logit.errors import InputError
from raw2logit.progress import Progress

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def show_progress(unit: Literal["items", "bytes"] = "items") -> Iterator[Progress]:
    """Show progress on standard error: a bar on a terminal, a line every few seconds elsewhere.

    Args:
        unit: What is counted; bytes are shown with their rate.

    Yields:
        What the library calls.
    """
    if not sys.stderr.isatty():
        yield _ByteLines() if unit == "bytes" else _Lines()
        return
    counts = (
        (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
    )
    # The name of a file may look like markup.
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), *counts, TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task("starting", total=None)
        stretch = _Stretch()

        def report(task: str, done: int, total: int) -> None:
            nonlocal row
            if stretch.is_new(task, done, total):
                # A new row: an old one cannot forget its total.
                bar.remove_task(row)
                row = bar.add_task(task, total=total or None, completed=done)
            bar.update(row, completed=done)

        yield report


def claim_folder(out: Path) -> Path:
    """Make the folder of a run before the work starts, so that no work is lost for want of it.

    Raises:
        InputError: It cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {out}: no folder can be made there ({error.strerror}): name another"
        ) from error
    return out


def require_outside(data: str, out: Path | None) -> Path:
    """Return the folder for what is made of a data set of one's own.

    Args:
        data: ``folder:PATH``.
        out: What the user names.

    Raises:
        InputError: None is named, or it lies in the data set, which would read what is in it.
    """
    from raw2logit.datasets import folder_path

    if out is None:
        raise InputError(f"--data {data} needs --out: name a folder outside of it")
    place = folder_path(data)
    if place.is_dir() and out.resolve().is_relative_to(place.resolve()):
        raise InputError(
            f"--out {out}: lies in the data set, which would take what is written for raw files: "
            "name a folder outside of it"
        )
    return out


class _Stretch:
    """Tells where a rate begins anew: what was there at the start came with no speed."""

    def __init__(self) -> None:
        self._work: tuple[str, int] | None = None
        self._done = 0

    def is_new(self, task: str, done: int, total: int) -> bool:
        before, self._done = self._done, done
        work, self._work = self._work, (task, total)
        return work != self._work or done < before


class _Lines:
    """Progress for a log file."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _SECONDS_BETWEEN_LINES
            print(f"[{done}/{total}] {task}", file=sys.stderr, flush=True)


class _ByteLines:
    """Progress of bytes for a log file, with their rate and the time left if it is known."""

    def __init__(self) -> None:
        self._next = 0.0
        self._start = (0.0, 0)
        self._stretch = _Stretch()

    def __call__(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._stretch.is_new(task, done, total):
            self._start = (now, done)
        if now < self._next and done != total:
            return
        self._next = now + _SECONDS_BETWEEN_LINES
        words = f"{decimal(done)} of {decimal(total)}" if total else decimal(done)
        seconds, came = now - self._start[0], done - self._start[1]
        if seconds > 0 and came > 0:
            rate = came / seconds
            words += f", {decimal(int(rate))}/s"
            if total:
                words += f", {_clock((total - done) / rate)} left"
        print(f"[{words}] {task}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(max(seconds, 0)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}"
