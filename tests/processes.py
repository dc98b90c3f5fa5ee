"""Which processes of a group are left after its first one was killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def running(group: int) -> list[str]:
    """Return the command lines of the processes of a group, without those that merely wait to be
    reaped."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            # Behind the name in brackets, which may hold anything: state, parent, group.
            state, _, its_group = (place / "stat").read_text().rpartition(")")[2].split()[:3]
            command = (place / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended in between
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(command)
    return found


def wait_for_end(group: int, limit_s: float = 20) -> float:
    """Wait until no process of a group is left; return how long that took.

    Those that are left after `limit_s` are killed.
    """
    start = time.monotonic()
    while left := running(group):
        if time.monotonic() - start > limit_s:
            os.killpg(group, signal.SIGKILL)
            raise AssertionError(f"{len(left)} processes were left: {left}")
        time.sleep(0.01)
    return time.monotonic() - start
