"""The disk that a download goes to: its space, its errors, and one download at a time on it."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raw2logit.errors import InputError, MissingDataError

if sys.platform != "win32":
    import fcntl

LOCK = "lock"
"""Name of the lock in a staging folder."""
INCOMING = ".incoming.raw2logit-00000000"
"""Name of what is being copied into a folder; a killed copy is overwritten by the next one."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class DiskError(InputError):
    """The disk does not take it; nothing is wrong with what was fetched."""


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raise `DiskError` if the disk of a folder has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskError(
            f"{folder}: {what} needs {in_units(needed)}, but {in_units(free)} are free: free "
            f"{in_units(needed - free)} more, or choose another --root"
        )


@contextmanager
def disk_errors_named(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into a `DiskError` that names the mend.

    Args:
        folder: Named where the error itself names no file, and where the disk is full.
    """
    try:
        yield
    except MissingDataError:
        raise
    except OSError as error:
        place = error.filename2 or error.filename or folder
        if error.errno in _FULL:
            why = "the disk is full: free some space and repeat the command, which resumes"
            place = folder
        elif error.errno == errno.EFBIG:
            why = "no file can be that large there: repeat the command on another file system"
        else:
            why = (
                f"cannot be written or read ({error.strerror or error}): mend that and repeat the "
                "command, which resumes"
            )
        raise DiskError(f"{place}: {why}, or choose another --root") from error


def in_units(size: int) -> str:
    """Return a number of bytes as people read it."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def nearest(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def move(path: Path, target: Path) -> None:
    """Move a file; it appears complete or not at all, on another file system too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    incoming = target.parent / INCOMING
    with disk_errors_named(target.parent):
        try:
            shutil.copyfile(path, incoming)
            incoming.replace(target)
        except OSError:
            incoming.unlink(missing_ok=True)
            raise
    path.unlink()


def require_folder(path: Path) -> None:
    """Raise `InputError` if something else stands where a folder is needed."""
    if path.is_dir() or not (path.exists() or path.is_symlink()):
        return
    what = "a file" if path.exists() else "a link to nothing"
    raise InputError(
        f"{path}: is {what}, where a folder is needed: move it away, or choose another --root; "
        "nothing is overwritten"
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and hold it for this download alone; a killed one holds nothing.

    Raises:
        InputError: Another download holds it.
        OSError: It cannot be made.
    """
    if sys.platform == "win32":
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()
        return
    lock = _lock(folder)
    try:
        yield
    finally:
        # While it is held: afterwards it may be another's.
        with suppress(OSError):
            (folder / LOCK).unlink()
        os.close(lock)
        with suppress(OSError):
            folder.rmdir()  # if it is empty


def _lock(folder: Path) -> int:
    """Return the descriptor of the lock."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # whoever held it took the folder away just now
        try:
            _take(lock, folder)
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # of a file that was taken away just now


def _take(lock: int, folder: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems know no locks: there nobody can be kept out.
        if error.errno in _LOCKED:
            raise InputError(
                f"--root {folder.parent}: another download is at work in {folder.parent}: wait for "
                "it, then repeat the command"
            ) from error


def empty(folder: Path) -> None:
    """Take away all that is in a folder but its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)
