"""How long work tells of itself, so that no part of the library prints by itself."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is in all."""


PartProgress = Callable[[int, str], None]
"""Called with how much of a part is done, and a word on where in it the work stands."""


def part(progress: Progress, task: str, start: int, total: int) -> PartProgress:
    """Return a function that tells `progress` of a part of the work that began at `start`."""
    return lambda done, where: progress(f"{task}{where}", start + done, total)


def silent(task: str, done: int, total: int) -> None:
    """Tell nobody."""
