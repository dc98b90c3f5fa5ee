"""Files that appear complete or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TOKEN_BYTES = 4
# Unmistakable: what has such a name may be deleted.
_MARK = ".raw2logit-"
_LEFTOVER = re.compile(
    rf"\..+{re.escape(_MARK)}[0-9a-f]{{{2 * _TOKEN_BYTES}}}(\.[^.]+)?", re.DOTALL
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename what is made there when the block succeeds.

    Missing parent folders are made. If the block raises, nothing is left behind and a file that
    stood at `path` stays as it was. A process that is killed in the block leaves the temporary
    file: see `find_leftovers`.

    Args:
        path: Where the finished file or folder shall stand; a folder must not be there yet.

    Yields:
        The temporary path; it keeps the suffix, by which many writers choose their format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(_TOKEN_BYTES)
    temporary = path.with_name(f".{path.stem}{_MARK}{token}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def find_leftovers(folder: Path) -> list[Path]:
    """Return what killed writers left in a folder and below: the temporary paths of `atomic_path`.

    They are known by their names alone, so they may also belong to a process that is at work.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        inner = [name for name in folders if _LEFTOVER.fullmatch(name)]
        found.extend(Path(place, name) for name in (*inner, *filter(_LEFTOVER.fullmatch, files)))
        folders[:] = [name for name in folders if name not in inner]
    return sorted(found)


def remove_leftovers(folder: Path) -> None:
    """Take away what `find_leftovers` finds; for folders in which nobody else writes."""
    for path in find_leftovers(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text to `path`, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes to `path`, complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
