"""``raw2logit lab import``."""

from __future__ import annotations

import sys

from raw2logit.cli._console import show_progress
from raw2logit.cli._options import Files


def bring(folders: Files, /, *, tracking_uri: str | None = None) -> int:
    """Bring runs into the lab that were made without it, or while it was down or full.

    What the lab has already is not brought twice, so the same can be repeated. Prints MLflow's id
    and the folder of each run; exit code 2 if one could not be brought in.

    Args:
        folders: Folders of runs, or folders with such in them.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.errors import InputError, MissingDataError
    from raw2logit.lab.mirror import import_run
    from raw2logit.lab.record import find_runs

    if not folders:
        raise InputError("no folder given: name the folder of a run (the --out of its command)")
    runs = [run for folder in folders for run in find_runs(folder)]
    failed = False
    with show_progress() as progress:
        for number, run in enumerate(runs):
            progress(str(run), number, len(runs))
            try:
                run_id = import_run(run, tracking_uri)
            except (InputError, MissingDataError) as error:
                failed = True
                print(f"raw2logit: {run}: {' '.join(str(error).split())}", file=sys.stderr)
            else:
                print(run_id, run)
        progress("done", len(runs), len(runs))
    return 2 if failed else 0
