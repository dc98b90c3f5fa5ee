"""How verbs talk to a person: progress while they work, one line at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from raw2logit.errors import InputError
from raw2logit.progress import Progress

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show progress on standard error: a bar on a terminal, a line every few seconds elsewhere.

    Yields:
        What the library calls.
    """
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task("starting", total=None)

        def report(task: str, done: int, total: int) -> None:
            bar.update(row, description=task, completed=done, total=total)

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


class _Lines:
    """Progress for a log file."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, task: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _SECONDS_BETWEEN_LINES
            print(f"[{done}/{total}] {task}", file=sys.stderr, flush=True)
