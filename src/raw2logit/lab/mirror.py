"""Mirror the folder of a run into a lab: while it runs, at its end, or later."""

from __future__ import annotations

import logging
import math
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab.errors import environment, explain, lab_errors, shown
from raw2logit.lab.record import (
    HISTORY_FILE,
    RUN_FILE,
    SPLIT_FILE,
    RunRecord,
    SplitRecord,
    files_of,
    read_history,
    read_run,
    read_splits_of,
)
from raw2logit.lab.record import Status as RecordStatus
from raw2logit.lab.tracking import (
    KIND_TAG,
    NAME_LENGTH,
    PARENT_TAG,
    RUN_TAG,
    SPLIT_TAG,
    VERSION_TAG,
    Status,
    TrackedRun,
    cut,
    experiment_id,
    open_lab,
    tracking_uri,
)
from raw2logit.quiet import quiet

if TYPE_CHECKING:
    from mlflow.entities import Run

_PATIENCE_S = 10
# What is not done after this is left for later, and what is asked twice may be done twice.
_SOON = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_PATIENCE_S),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
_LOGGERS = ("alembic", "mlflow", "sqlalchemy", "urllib3")
# A record that says running is that of a killed run, once the run itself does not ask any more.
_ENDS: Mapping[RecordStatus, Status] = {
    "running": "KILLED",
    "finished": "FINISHED",
    "failed": "FAILED",
}


class Mirror:
    """The folder of a run in a lab: one MLflow run for it, and a child run a split.

    The lab is asked what it has, so that a run that was killed goes on in the same MLflow runs.
    Nothing of MLflow's own state in this process is changed.

    Args:
        folder: Of the run; its records say what there is.
        uri: Address of the lab; None: see `raw2logit.lab.tracking.tracking_uri`.
    """

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        """Ask nothing of the lab yet."""
        self._folder = folder
        self._uri = uri
        self._run: _MirroredRun | None = None
        self._given_up = False

    def update(self) -> None:
        """Bring parameters and new metrics into the lab.

        A lab that fails, or takes longer than some 10 s, is left alone from then on; a warning
        says so.
        """
        if self._given_up:
            return
        try:
            with _lab(self._folder, self._uri, _SOON) as address:
                self._run = self._run or _MirroredRun(self._folder, address)
                self._run.log(_PATIENCE_S)
                self._run.tell()
        except (InputError, MissingDataError) as error:
            self._given_up, self._run = True, None
            warnings.warn(
                f"{error}; the run goes on without the lab; {_mend(self._folder)}", stacklevel=2
            )

    def finish(self) -> str | None:
        """Bring everything into the lab, once the records say how the run ended.

        Returns:
            The id of the MLflow run, or None, with a warning, if the lab did not take all of it.
        """
        try:
            return import_run(self._folder, self._uri)
        except (InputError, MissingDataError) as error:
            warnings.warn(f"{error}; the run is whole; {_mend(self._folder)}", stacklevel=2)
            return None


def import_run(folder: Path, uri: str | None = None) -> str:
    """Bring a run into a lab, or what the lab lacks of it.

    If its record says that it is running, it was killed. A lab that does not take all of it shows
    it as failed until another import is through.

    Args:
        folder: Of the run.
        uri: Address of the lab; None: see `raw2logit.lab.tracking.tracking_uri`.

    Returns:
        The id of the MLflow run.

    Raises:
        MissingDataError: The folder holds no run.
        InputError: A record is broken, or the lab fails; the line says what to do.
    """
    with _lab(folder, uri, _SOON) as address:
        run = _MirroredRun(folder, address)
    try:
        with _lab(folder, uri, _SOON):
            run.log()
        with _lab(folder, uri, {}):
            run.complete()
    except BaseException:
        with suppress(InputError, MissingDataError), _lab(folder, uri, _SOON):
            run.fail()
        raise
    return run.id


@contextmanager
def _lab(folder: Path, uri: str | None, settings: Mapping[str, str]) -> Iterator[str]:
    """Yield the address of the lab, and turn whatever it raises in the block into one line.

    MLflow's notes stay off the terminal, and so do its addresses of web pages.

    Raises:
        MissingDataError: The folder holds no run.
        InputError: Anything else.
    """
    import mlflow  # noqa: F401 - sets the levels of its loggers, which are raised below

    experiment = read_run(folder).experiment
    address = tracking_uri(uri)
    quietly = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", **settings}
    with quiet(*_LOGGERS, level=logging.CRITICAL), environment(quietly), lab_errors(address):
        try:
            yield address
        except (InputError, MissingDataError):
            raise
        except Exception as error:
            if _is_forbidden(error):
                raise InputError(
                    f"{shown(address)}: your account may not write into the experiment "
                    f"{experiment!r}: ask its owner for `raw2logit lab share`, or name one of your "
                    "own with --experiment"
                ) from error
            raise InputError(explain(error, address)) from error


def _is_forbidden(error: Exception) -> bool:
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return str(error.error_code) == "PERMISSION_DENIED"
    return (
        isinstance(error, requests.HTTPError)
        and error.response is not None
        and error.response.status_code == 403
    )


def _mend(folder: Path) -> str:
    return f"bring it in later: raw2logit lab import {shlex.quote(str(folder))}"


class _MirroredRun:
    """What a lab has of a run: its MLflow run and those of the splits that have begun."""

    def __init__(self, folder: Path, address: str) -> None:
        """Ask the lab, and make the MLflow run if it is not there."""
        self._folder = folder
        self._address = address
        self._record = record = read_run(folder)
        self._begun: list[tuple[Path, SplitRecord]] = []
        self._client = open_lab(address, make=True)
        self._experiment = experiment_id(self._client, record.experiment, address)
        found = self._client.search_runs(
            [self._experiment], f"tags.`{RUN_TAG}` = '{record.id}'", order_by=["start_time ASC"]
        )
        whole = next((run for run in found if PARENT_TAG not in run.data.tags), None)
        if whole is None:
            whole = self._create(record.name, _tags(record), _start_of(record))
        self._whole = TrackedRun(self._client, whole)
        self.id = self._whole.id
        self._splits = {
            int(run.data.tags[SPLIT_TAG]): TrackedRun(self._client, run)
            for run in found
            if run.data.tags.get(PARENT_TAG) == self.id
        }
        self._complete: set[str] = set()

    def log(self, patience_s: float = math.inf) -> None:
        """Send new parameters and metrics.

        Raises:
            InputError: It takes longer than `patience_s`.
        """
        began = time.monotonic()
        self._record, self._begun = read_run(self._folder), read_splits_of(self._folder)
        params = self._record.params
        written = _written(self._folder / RUN_FILE)
        metrics = self._record.metrics
        self._whole.log(params, [], metrics, history_ms=written, final_ms=written)
        for place, split in self._begun:
            if time.monotonic() - began > patience_s:
                raise InputError(f"{shown(self._address)}: takes longer than {patience_s:g} s")
            tracked = self._splits.get(split.number) or self._begin(place, split)
            tracked.log(
                {**params, **split.params},
                read_history(place),
                split.metrics,
                history_ms=_written(place / HISTORY_FILE, place / SPLIT_FILE),
                final_ms=_written(place / SPLIT_FILE),
            )

    def tell(self) -> None:
        """Say which splits run and which have ended, while the run goes on."""
        self._whole.resume()
        for place, split in self._begun:
            tracked = self._splits[split.number]
            if split.status == "running":
                tracked.resume()
            elif tracked.status != _ENDS[split.status]:
                tracked.end(_ENDS[split.status], _written(*files_of(place)))

    def complete(self) -> None:
        """Send the files, register the models, and say how everything ended."""
        from raw2logit.lab.models import register_models

        record = self._record
        for place, split in self._begun:
            tracked = self._splits[split.number]
            files = files_of(place)
            tracked.upload(place, files)
            if record.register_models and split.status == "finished":
                register_models(self._client, tracked.id, record.name, split.number)
            self._end(tracked, split.status, _written(*files))
        files = files_of(self._folder, record)
        self._whole.upload(self._folder, files)
        self._end(self._whole, record.status, _written(*files))

    def fail(self) -> None:
        """Say of what is not complete in the lab that it has failed."""
        for tracked in (self._whole, *self._splits.values()):
            if tracked.id not in self._complete:
                tracked.end("FAILED", round(time.time() * 1000))

    def _end(self, tracked: TrackedRun, status: RecordStatus, ended_ms: int) -> None:
        tracked.end(_ENDS[status], ended_ms)
        self._complete.add(tracked.id)

    def _begin(self, place: Path, split: SplitRecord) -> TrackedRun:
        tags = _tags(self._record) | {PARENT_TAG: self.id, SPLIT_TAG: str(split.number)}
        began = min(round(path.stat().st_mtime * 1000) for path in files_of(place))
        run = self._create(f"split {split.number}", tags, began)
        self._splits[split.number] = tracked = TrackedRun(self._client, run)
        return tracked

    def _create(self, name: str, tags: Mapping[str, str], began_ms: int) -> Run:
        name = cut(name, NAME_LENGTH)
        return self._client.create_run(self._experiment, began_ms, dict(tags), name)


def _tags(record: RunRecord) -> dict[str, str]:
    source = {"mlflow.source.name": f"raw2logit {record.kind}", "mlflow.source.type": "LOCAL"}
    return {RUN_TAG: record.id, KIND_TAG: record.kind, VERSION_TAG: record.version, **source}


def _start_of(record: RunRecord) -> int:
    return round(datetime.fromisoformat(record.started).timestamp() * 1000)


def _written(*files: Path) -> int:
    """Return when the newest of files was written, ms since 1970; those not there do not count."""
    return max(round(path.stat().st_mtime * 1000) for path in files if path.exists())
