"""Run by test_kill: die at every single change of the file system in turn, then repeat.

    python kill_everywhere.py MIRROR FOLDER

Prints the number of places where a download was killed. A download forked off for each place ends
as by SIGKILL, with no chance to tidy up; the next call must end with the same tree as an
undisturbed one.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path

from raw2logit.datasets.download import download_dataset

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}


def main(mirror: str, folder: Path) -> None:
    undisturbed = folder / "undisturbed"
    _download(mirror, undisturbed)
    expected = _tree(undisturbed)
    for place in itertools.count(1):
        root = folder / "killed"
        if not _is_killed(mirror, root, place):
            break
        _download(mirror, root)
        if _tree(root) != expected:
            sys.exit(f"killed at change {place}: the tree differs: {sorted(_tree(root))}")
        shutil.rmtree(root)
    print(place - 1)


def _is_killed(mirror: str, root: Path, place: int) -> bool:
    """Download in a process of its own that dies before the given change."""
    child = os.fork()
    if child == 0:
        seen = itertools.count(1)

        def count(event: str, arguments: tuple[object, ...]) -> None:
            written = event == "open" and isinstance(arguments[1], str) and arguments[1] != "rb"
            if (event in CHANGES or written) and next(seen) == place:
                os._exit(9)

        sys.addaudithook(count)
        _download(mirror, root)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 9):
        sys.exit(f"change {place}: exit code {code}")
    return code == 9


def _download(mirror: str, root: Path) -> None:
    download_dataset("microscopy", root, source=mirror, keep_archives=True)


def _tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
