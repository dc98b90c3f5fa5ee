"""Bring what a lab keeps of a run into a folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raw2logit.errors import InputError, MissingDataError
from raw2logit.progress import Progress, silent

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import Run

    from raw2logit.lab.artifacts import Artifacts
    from raw2logit.lab.loading import Kind

What = Literal["pipeline", "task", "both", "all"]
_ID, _PREFIX = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{6,31}")
_SPLITS = "splits.json"
_SHOWN = 12


@dataclass(frozen=True)
class _File:
    """One file to bring: whose it is, and where it goes below the folder."""

    artifacts: Artifacts
    path: str
    target: str


def fetch_run(
    run: str,
    folder: Path,
    *,
    what: What = "both",
    tracking_uri: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Bring the models of a run, or all that it kept, into a folder.

    Of a run with splits, what belongs to a split goes into ``split-1/`` and so on. Each file
    appears complete or not at all.

    Args:
        run: Id of a run or of one of its splits, as MLflow or the run's own record has it; at
            least 6 digits of MLflow's that only one has; or the run's name.
        folder: Made if it is not there.
        what: The pipeline, the task model, both, or all files.
        tracking_uri: Address of the lab; None: ``$MLFLOW_TRACKING_URI``, else the default lab.
        overwrite: Replace files that are there.
        progress: Told of each file.

    Returns:
        The files.

    Raises:
        MissingDataError: There is no such run, or it does not keep what is asked for.
        InputError: The run is one of several, a file is there already, the lab does not answer, or
            an artifact has a name that is not safe.
    """
    from raw2logit.lab.artifacts import reading_lab, run_artifacts, splits_of

    with reading_lab(tracking_uri) as (client, lab):
        found = find_run(client, run)
        places = {"": run_artifacts(found, lab)}
        for number, child in splits_of(client, found).items():
            places[f"split-{number}/"] = run_artifacts(child, lab)
        files = [file for prefix, place in places.items() for file in _wanted(place, prefix, what)]
        if not files:
            raise _nothing(found, what, places)
        _refuse_to_replace(folder, files, overwrite=overwrite)
        return _bring(folder, files, progress)


@contextmanager
def fetched_splits(address: str, *, tracking_uri: str | None = None) -> Iterator[Path]:
    """Yield the ``splits.json`` of a run in a lab, which is there until the block ends.

    Args:
        address: ``runs:/RUN``; RUN as in `fetch_run`.
        tracking_uri: As in `fetch_run`.

    Raises:
        MissingDataError: There is no such run, or it keeps no splits.
        InputError: The run is one of several, or the lab does not answer.
    """
    from raw2logit.lab.artifacts import reading_lab, run_artifacts

    with tempfile.TemporaryDirectory(prefix="raw2logit-") as temporary:
        with reading_lab(tracking_uri) as (client, lab):
            artifacts = run_artifacts(find_run(client, address.removeprefix("runs:/")), lab)
            if not artifacts.has(_SPLITS):
                raise MissingDataError(
                    f"{address}: keeps no {_SPLITS}: name a run that `raw2logit train` made"
                )
            path = artifacts.download(_SPLITS, Path(temporary))
        yield path


def find_run(client: mlflow.MlflowClient, name: str) -> Run:
    """Return the run that an id, the beginning of one, or a name means.

    Args:
        client: Of the lab.
        name: See `fetch_run`.

    Raises:
        MissingDataError: None is meant.
        InputError: Several are.
    """
    from raw2logit.lab.artifacts import all_runs
    from raw2logit.lab.tracking import PARENT_TAG, RUN_TAG

    experiments = [str(one.experiment_id) for one in _experiments(client)]
    quote = '"' if "'" in name else "'"
    if quote in name:
        raise InputError(
            f"run {name!r}: give its id: a name with both kinds of quotes is not found"
        )
    filters = [f"attributes.run_name = {quote}{name}{quote}"]
    if _ID.fullmatch(name):
        filters += [f"attributes.run_id = '{name}'", f"tags.`{RUN_TAG}` = '{name}'"]
    elif _PREFIX.fullmatch(name):
        filters.append(f"attributes.run_id LIKE '{name}%'")
    found: dict[str, Run] = {}
    if experiments:
        for one in filters:
            found |= {run.info.run_id: run for run in all_runs(client, experiments, one)}
    # A run's name, and the id in its record, may stand at its splits too.
    runs = [run for run in found.values() if run.data.tags.get(PARENT_TAG) not in found]
    if not runs:
        raise MissingDataError(
            f"run {name!r}: none has this id or name, nor an id that begins so (6 digits or more): "
            "`raw2logit lab runs` lists them"
        )
    if len(runs) > 1:
        runs.sort(key=lambda run: -int(run.info.start_time or 0))
        listed = "; ".join(
            f"{run.info.run_id} ({run.info.run_name}, {_date(run)})" for run in runs[:_SHOWN]
        )
        more = f"; and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
        raise InputError(f"run {name!r}: {len(runs)} are meant: name one of {listed}{more}")
    return runs[0]


def _experiments(client: mlflow.MlflowClient) -> Iterator[mlflow.entities.Experiment]:
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _wanted(artifacts: Artifacts, prefix: str, what: What) -> Iterator[_File]:
    from raw2logit.lab.loading import KINDS, file_of

    if what == "all":
        for path in artifacts.files():
            yield _File(artifacts, path, prefix + path)
        return
    kinds: tuple[Kind, ...] = KINDS if what == "both" else (what,)
    for kind in kinds:
        if artifacts.has(path := file_of(kind)):
            yield _File(artifacts, path, prefix + path)


def _nothing(run: Run, what: What, places: dict[str, Artifacts]) -> MissingDataError:
    kept = [
        prefix + (name if name.isprintable() else repr(name))
        for prefix, place in places.items()
        for name in place.names()
    ]
    wanted = {"both": "pipeline and no task model", "task": "task model", "all": "file"}
    listed = f"it has {' '.join(kept[:_SHOWN])}; get it with --what all" if kept else "it has none"
    return MissingDataError(
        f"run {run.info.run_id} ({run.info.run_name}): keeps no {wanted.get(what, what)}: {listed}"
    )


def _refuse_to_replace(folder: Path, files: list[_File], *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file: name a folder")
    for file in files:
        if (folder / file.target).is_dir():
            raise InputError(f"{folder / file.target}: is a folder: move it, or name another")
    if overwrite:
        return
    there = [target for file in files if (target := folder / file.target).exists()]
    if there:
        raise InputError(
            f"{there[0]}: is there already ({len(there)} of {len(files)} files are): pass "
            "--overwrite, or name another folder"
        )


def _bring(folder: Path, files: list[_File], progress: Progress) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    brought: list[Path] = []
    # In the same folder, so that a file moves into place in one step.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".raw2logit-") as temporary:
        for number, file in enumerate(files):
            progress(f"fetching {file.target}", number, len(files))
            target = folder / file.target
            source = file.artifacts.download(file.path, Path(temporary) / str(number))
            target.parent.mkdir(parents=True, exist_ok=True)
            brought.append(source.replace(target))
    progress("fetching", len(files), len(files))
    return brought


def _date(run: Run) -> str:
    return f"{datetime.fromtimestamp((run.info.start_time or 0) / 1000, UTC):%Y-%m-%d %H:%M} UTC"
