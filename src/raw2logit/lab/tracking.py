"""Where runs are tracked, and what one MLflow run holds of one of ours."""

from __future__ import annotations

import hashlib
import math
import os
import posixpath
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import sha256_of
from raw2logit.lab.errors import shown

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import Metric, Run

DEFAULT_LAB = Path("runs") / "lab"
RUN_TAG, KIND_TAG, VERSION_TAG = "raw2logit.run", "raw2logit.kind", "raw2logit.version"
SPLIT_TAG, FILES_TAG = "raw2logit.split", "raw2logit.files"
PARENT_TAG = "mlflow.parentRunId"
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
_Value = TypeVar("_Value")

_POSTGRESQL = "postgresql+psycopg://"
_DATABASES = ("sqlite:", "sqlite+", "postgresql:", "postgresql+")
# Any number will do that nobody else takes in the same database.
_LOCK = 7_229_031
_DATABASE_TIMEOUT_S, _TABLES_TIMEOUT_S = 8, 60
# What every MLflow server takes. Values: 6000 since MLflow 2.8, 500 before.
NAME_LENGTH, _KEY_LENGTH, _VALUE_LENGTH = 250, 250, 500


def tracking_uri(given: str | None = None) -> str:
    """Return where runs are tracked: `given`, else ``$MLFLOW_TRACKING_URI``, else a SQLite file.

    The one place that decides it: MLflow's own default is a folder that MLflow refuses.
    PostgreSQL is reached with psycopg 3, whose name MLflow wants to be told.
    """
    if chosen := given or os.environ.get("MLFLOW_TRACKING_URI"):
        return re.sub(r"^postgres(ql)?://", _POSTGRESQL, chosen)
    # Absolute: MLflow keeps stores open by address, whatever the working folder becomes.
    return f"sqlite:///{(DEFAULT_LAB / 'mlflow.db').resolve().as_posix()}"


def default_experiment(kind: str, *, attack: bool, learned: bool, data: str) -> str:
    """Return the experiment that a run belongs to in the published map of the lab.

    Args:
        kind: The verb: ``train``, ``synthesis``.
        attack: The training searches for parameters of the pipeline that break the task model.
        learned: The pipeline is learned.
        data: Name of the data set.
    """
    if kind == "synthesis":
        return "1 Controlled synthesis of hardware-drift test cases (Test)"
    if attack:
        return "2 Modular hardware-drift forensics"
    if learned:
        names = ("Microscopy", "Drone")
        known = next((name for name in names if data.lower().startswith(name.lower())), None)
        return "3 Image processing customization" + (f" ({known})" if known else "")
    return "1 Controlled synthesis of hardware-drift test cases (Train)"


def open_lab(address: str, *, make: bool = False) -> mlflow.MlflowClient:
    """Return a client of a lab; a database that cannot be opened is noticed within 10 s.

    Args:
        address: As `tracking_uri` returns it.
        make: Whether a SQLite file that is not there is made, with its folder.

    Raises:
        MissingDataError: The SQLite file is not there.
        InputError: The driver of PostgreSQL is not installed, or a SQLite file is held up.
        OSError: The folder of a SQLite file cannot be made.
        sqlalchemy.exc.SQLAlchemyError: The database cannot be opened.
    """
    import mlflow

    if not address.startswith(_DATABASES):
        return mlflow.MlflowClient(address)
    file = _sqlite_file(address)
    if file and make:
        file.parent.mkdir(parents=True, exist_ok=True)
    elif file and not file.exists():
        raise no_lab(file)
    with _opening(address, file):
        return mlflow.MlflowClient(address)


def no_lab(place: object) -> MissingDataError:
    """Return the error that says that there is no lab at a place."""
    return MissingDataError(
        f"{place}: no such lab: run `raw2logit train` first, or name the lab with --tracking-uri "
        "or its database with --database"
    )


def experiment_id(client: mlflow.MlflowClient, name: str, address: str) -> str:
    """Return the id of an experiment, which is made if it is not there.

    Args:
        client: Of the lab.
        name: Of the experiment; a long one is cut, as databases do not take all of it.
        address: Of the lab, as `tracking_uri` returns it.

    Raises:
        InputError: It was deleted in the lab, which keeps its name.
    """
    from mlflow.exceptions import MlflowException

    name = cut(name, NAME_LENGTH)
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifacts_of(address)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Another process made it in the meantime.
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        number = f" {found.experiment_id}" if found else ""
        raise InputError(
            f"{shown(address)}: the experiment {name!r} was deleted there: name another with "
            f"--experiment, or restore it (mlflow experiments restore --experiment-id{number})"
        )
    return str(found.experiment_id)


class TrackedRun:
    """One MLflow run and what it holds, so that nothing is sent twice.

    Args:
        client: Of the lab.
        run: As the lab returned it.
    """

    def __init__(self, client: mlflow.MlflowClient, run: Run) -> None:
        """Take over what the lab says of the run."""
        self.id = str(run.info.run_id)
        self._client = client
        self._state = (run.info.status, run.info.end_time)
        self._params = set(run.data.params)
        self._latest = dict(run.data.metrics)
        self._steps: dict[str, set[int]] = {}
        self._files = run.data.tags.get(FILES_TAG)

    @property
    def status(self) -> str:
        """What the lab says of it."""
        return str(self._state[0])

    def log(
        self,
        params: Mapping[str, object],
        history: Sequence[Mapping[str, float]],
        final: Mapping[str, float],
        *,
        history_ms: int,
        final_ms: int,
    ) -> None:
        """Send what the lab lacks of parameters and metrics.

        A parameter that is there keeps its value: MLflow lets none change. So does a step of a
        metric. A final figure that has changed is sent again at the last step, as the newer one.

        Args:
            params: By name; long values are cut.
            history: Rows with ``epoch``, which is the step of the others.
            final: Figures of the end.
            history_ms: When the history was written, ms since 1970.
            final_ms: When the final figures were written, ms since 1970.
        """
        from mlflow.entities import Metric, Param

        texts = {key: cut(str(value), _VALUE_LENGTH) for key, value in _keyed(params).items()}
        new_params = [Param(key, text) for key, text in texts.items() if key not in self._params]
        new_metrics = []
        step = 0
        for row in history:
            step = int(row["epoch"])
            for key, value in _keyed(row).items():
                if key != "epoch" and step not in self._steps_of(key):
                    new_metrics.append(Metric(key, value, history_ms, step))
        latest = self._latest | {metric.key: metric.value for metric in new_metrics}
        for key, value in _keyed(final).items():
            if key not in latest or not _equal(latest[key], value):
                new_metrics.append(Metric(key, value, final_ms, step))
        if not new_params and not new_metrics:
            return
        self._client.log_batch(self.id, metrics=new_metrics, params=new_params)
        self._params |= texts.keys()
        self._remember(new_metrics)

    def resume(self) -> None:
        """Say that it runs."""
        if self._state[0] != "RUNNING":
            self._client.update_run(self.id, status="RUNNING")
            self._state = ("RUNNING", None)

    def end(self, status: Status, ended_ms: int) -> None:
        """Say how and when it ended, ms since 1970."""
        if self._state != (status, ended_ms):
            self._client.set_terminated(self.id, status, ended_ms)
            self._state = (status, ended_ms)

    def upload(self, folder: Path, files: Iterable[Path]) -> None:
        """Send files to where they lie in `folder`, unless the same were sent before.

        A tag says what was sent: a checksum over names and contents. Characters that MLflow's
        addresses do not carry become ``_`` in names.
        """
        places = _placed(folder, files)
        checksum = _checksum(places)
        if checksum == self._files:
            return
        with tempfile.TemporaryDirectory(prefix="raw2logit-") as temporary:
            for place, path in places.items():
                above, name = posixpath.split(place)
                if name != path.name:
                    # MLflow takes the name from the file.
                    link = Path(temporary, name)
                    link.unlink(missing_ok=True)
                    link.symlink_to(path.resolve())
                    path = link
                self._client.log_artifact(self.id, str(path), above or None)
        self._client.set_tag(self.id, FILES_TAG, checksum)
        self._files = checksum

    def _steps_of(self, key: str) -> set[int]:
        if key not in self._steps:
            there = self._client.get_metric_history(self.id, key) if key in self._latest else []
            self._steps[key] = {metric.step for metric in there}
        return self._steps[key]

    def _remember(self, metrics: Iterable[Metric]) -> None:
        for metric in metrics:
            self._steps.setdefault(metric.key, set()).add(metric.step)
            self._latest[metric.key] = metric.value


@contextmanager
def _opening(address: str, file: Path | None) -> Iterator[None]:
    """Open a database, which MLflow would try for two minutes, and keep other processes out.

    MLflow makes its tables when it opens one; two that make them at once both fail.
    """
    import sqlalchemy

    options: dict[str, object] = {}
    if file is None:
        if address.startswith(_POSTGRESQL) and find_spec("psycopg") is None:
            raise InputError(
                f"{shown(address)}: needs psycopg: pip install 'raw2logit[postgresql]'"
            )
        options["connect_timeout"] = _DATABASE_TIMEOUT_S
    engine = sqlalchemy.create_engine(
        address, connect_args=options, poolclass=sqlalchemy.pool.NullPool
    )
    with engine.connect() as connection:
        if file is None:
            # Until the connection is closed.
            connection.execute(sqlalchemy.text(f"set lock_timeout = '{_TABLES_TIMEOUT_S}s'"))
            connection.execute(sqlalchemy.text(f"select pg_advisory_lock({_LOCK})"))
            yield
        else:
            with _locked(file):
                yield


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Hold a lock on a SQLite file that is none of SQLite's own."""
    if not os.access(database.parent, os.W_OK):
        # Nobody makes tables there.
        yield
        return
    place = database.with_name(f".{database.name}.lock")
    lock = sqlite3.connect(place, timeout=_TABLES_TIMEOUT_S)
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{database}: another process has been opening it for {_TABLES_TIMEOUT_S} s: "
                "see what it does there, and try again"
            ) from error
        yield
    finally:
        lock.close()


def _artifacts_of(address: str) -> str | None:
    """Return where a new experiment keeps its artifacts; None: a server knows its own place.

    That of a SQLite lab is beside it, that of another database in the default lab.
    """
    if not address.startswith(_DATABASES):
        return None
    beside = _sqlite_file(address) or DEFAULT_LAB / "mlflow.db"
    return (beside.resolve().parent / "artifacts").as_uri()


def _sqlite_file(address: str) -> Path | None:
    from sqlalchemy.engine import make_url

    url = make_url(address)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _keyed(named: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return values by keys that MLflow takes: letters, digits and ``_-.: /``, and no two alike."""
    keyed: dict[str, _Value] = {}
    for name, value in named.items():
        key = re.sub(r"[^/\w.\- :]", "_", name)
        if key.startswith((".", "/")) or key != posixpath.normpath(key):
            key = "_" + key.replace("/", "_")
        key = cut(key, _KEY_LENGTH)
        while key in keyed:
            key += "_"
        keyed[key] = value
    return keyed


def cut(text: str, length: int) -> str:
    """Return a text, visibly shortened if it is longer than `length`."""
    return text if len(text) <= length else text[: length - 3] + "..."


def _equal(kept: float, value: float) -> bool:
    """Compare with what a lab keeps: NaN as such, and the largest number for an infinite one."""
    if math.isnan(value):
        return math.isnan(kept)
    return kept == max(-sys.float_info.max, min(value, sys.float_info.max))


def _placed(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Return files by their place among the artifacts, no two alike."""
    placed: dict[str, Path] = {}
    for path in sorted(files):
        place = re.sub(r"[#?%\\\x00-\x1f\ud800-\udfff]", "_", path.relative_to(folder).as_posix())
        while place in placed:
            place += "_"
        placed[place] = path
    return placed


def _checksum(places: Mapping[str, Path]) -> str:
    lines = (f"{sha256_of(path)} {place}\n" for place, path in places.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
