"""``raw2logit lab fetch``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from raw2logit.cli._console import show_progress
from raw2logit.cli._options import Out

_BY_NAME = 12
"""So many files are printed one a line, as the models of six splits are."""


def fetch(
    run: str,
    /,
    *,
    what: Literal["pipeline", "task", "both", "all"] = "both",
    out: Out,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    tracking_uri: str | None = None,
) -> None:
    """Get the trained models of a run, or all that it kept, into a folder.

    What belongs to a split goes into split-1/ and so on. In Python, load_pipeline and load_task of
    raw2logit take that folder; they never run what a file says.

    Args:
        run: Its name or its id (6 digits of it will do, if no other begins so); a split's id
            brings that split alone.
        what: pipeline, task (the task model), both, or all: images, tensors, reports too.
        out: Folder that gets the files.
        overwrite: Replace files that are there.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.lab.fetch import fetch_run

    with show_progress() as progress:
        files = fetch_run(
            run,
            out,
            what=what,
            tracking_uri=tracking_uri,
            overwrite=overwrite,
            progress=progress,
        )
    if len(files) <= _BY_NAME:
        for file in files:
            print(file)
        return
    folders = sorted({file.relative_to(out).parts[0] for file in files if file.parent != out})
    inside = f", in it {' '.join(f'{name}/' for name in folders)}" if folders else ""
    print(f"{out}: {len(files)} files{inside}")
