"""Take hold of the folder of a run: for one process at a time, and for one run."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import remove_leftovers
from raw2logit.lab.record import RUN_FILE, RunRecord, read_run, read_splits_of

if sys.platform != "win32":
    import fcntl


def lock(folder: Path) -> int | None:
    """Keep other processes out of the folder of a run until `unlock`.

    Returns:
        What `unlock` takes.

    Raises:
        InputError: Another process is at work there.
    """
    if sys.platform == "win32":
        return None
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise InputError(
            f"--out {folder}: another command is at work in it: wait for it, or name another --out"
        ) from error
    except OSError:
        # Some network file systems know no locks: there nobody can be kept out.
        os.close(held)
        return None
    return held


def unlock(held: int | None) -> None:
    """Let others in again; what `lock` returned."""
    if held is not None:
        os.close(held)


def same_or_new(folder: Path, record: RunRecord, *, resume: bool) -> RunRecord:
    """Return the record that lies in the folder if it is of the very same run, else the new one.

    What another run kept of its splits in the folder is removed.

    Args:
        folder: Locked.
        record: The new one.
        resume: Whether it must be of the very same run.

    Raises:
        InputError: It is not.
    """
    try:
        old = read_run(folder)
    except MissingDataError:
        old = None
    if old is not None:
        splits = [place for place, _ in read_splits_of(folder)]
        same = (old.kind, old.experiment, old.name, old.params) == (
            *(record.kind, record.experiment, record.name),
            record.params,
        )
        if same:
            for place in (folder / "models", *splits):  # the folder itself may hold anything
                remove_leftovers(place)
            return replace(record, id=old.id, started=old.started)
        if resume:
            names = {*old.params, *record.params}
            other = [name for name in names if old.params.get(name) != record.params.get(name)]
            raise InputError(
                f"--resume: {folder} holds another run ({min(other, default='its name')} differs): "
                "without --resume the command starts anew, in the place of that run"
            )
        for place in splits:
            shutil.rmtree(place)
        (folder / RUN_FILE).unlink()
    return record
