"""Find runs in a lab by MLflow's search."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from raw2logit.errors import InputError
from raw2logit.lab.errors import lab_errors, shown
from raw2logit.lab.tracking import KIND_TAG, PARENT_TAG, SPLIT_TAG, open_lab
from raw2logit.quiet import quiet

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import Run

# Each comes with all of its parameters, and few may be asked for; MLflow takes up to 50 000.
_PAGE = 250
# Those that reports lead with.
_MAIN_METRICS = ("test_accuracy", "test_iou", "test_r2")
# What a table shows of an id: enough for `lab fetch`.
_ID_DIGITS = 8
# By how much the clock of a file server, which dates a split, may be behind that of its run.
_SKEW = datetime.timedelta(hours=1)
_NEWEST_FIRST = ("attributes.start_time DESC",)
_FIELDS = ("params", "metrics", "tags")
DEFAULT_COLUMNS = ("id", "name", "experiment", "split")
_PLAIN_COLUMNS = (*DEFAULT_COLUMNS, "kind", "status", "started", "parent")
# How MLflow calls what an expression can name, and how columns do.
_ATTRIBUTES = {
    "run_id": "id",
    "run_name": "name",
    "status": "status",
    "start_time": "started",
    "created": "started",
}
_KINDS = {"metric": "metrics", "parameter": "params", "tag": "tags"}


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A run in a lab.

    Attributes:
        id: MLflow's; ``runs:/ID/...`` names what it holds.
        name: What people call it; for a split, what they call its run.
        experiment: Name.
        parent: Id of the run of which this is a split; None for a run as a whole.
        split: Number of the split as text; None for a run as a whole.
        kind: The verb; None if another program made it.
        status: MLflow's: ``RUNNING``, ``FINISHED``, ``FAILED`` ...
        started: UTC, to the second.
        params: By dotted name.
        metrics: The last value of each.
        tags: MLflow's own among them.
        splits: Runs that are a split of this one; None where they were not counted.
    """

    id: str
    name: str
    experiment: str
    parent: str | None
    split: str | None
    kind: str | None
    status: str
    started: datetime.datetime
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    splits: int | None = None

    def main_metric(self) -> str | None:
        """Return the figure that reports lead with, and its name; None before the test."""
        names = [name for name in self.metrics if name.startswith(("test_", "own_view_"))]
        means = sorted(name for name in names if not name.endswith("_std"))
        main = next((name for name in (*_MAIN_METRICS, *means) if name in means), None)
        return None if main is None else f"{main} {self.metrics[main]:.4g}"

    def value(self, column: str) -> object:
        """Return what stands in a column that `check_columns` lets pass; None if nothing does."""
        field, _, key = column.partition(".")
        return getattr(self, field).get(key) if key else getattr(self, column)

    def brief(self, column: str) -> object:
        """Return what a table shows in a column."""
        value = self.value(column)
        if column in ("id", "parent") and isinstance(value, str):
            return value[:_ID_DIGITS]
        return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime.datetime) else value


def list_runs(
    address: str, *, experiment: str | None = None, children: bool = False
) -> Iterator[FoundRun]:
    """Yield the runs of a lab, the newest first, as they are asked for.

    Args:
        address: Of the lab, as `raw2logit.lab.tracking.tracking_uri` returns it.
        experiment: Only runs of this one; None: of all.
        children: The splits of runs as well.

    Raises:
        InputError: The lab does not answer, or has no such experiment.
        MissingDataError: The file of an SQLite lab is not there.
    """
    held: list[FoundRun] = []
    splits: Counter[str] = Counter()
    for run in _search(address, "", experiment, names_of_splits=children):
        # A split begins with its run or later, so those of all that began later are counted.
        done = [one for one in held if one.started - run.started > _SKEW]
        yield from (_with_splits(one, splits) for one in done)
        held = held[len(done) :]
        if run.parent:
            splits[run.parent] += 1
        if children or not run.parent:
            held.append(run)
    yield from (_with_splits(one, splits) for one in held)


def search_runs(
    address: str, expression: str, *, experiment: str | None = None
) -> Iterator[FoundRun]:
    """Yield the runs and splits that an expression is true for, the newest first.

    Args:
        address: Of the lab, as `raw2logit.lab.tracking.tracking_uri` returns it.
        expression: In MLflow's search syntax.
        experiment: Only runs of this one; None: of all.

    Raises:
        InputError: The expression is malformed, the lab does not answer, or has no such experiment.
        MissingDataError: The file of an SQLite lab is not there.
    """
    _parse(expression)
    yield from _search(address, expression, experiment)


def mentioned_columns(expression: str) -> list[str]:
    """Return the columns that an expression is about: ``metrics.test_accuracy``, ``status`` ...

    Raises:
        InputError: The expression is malformed.
    """
    columns = []
    for part in _parse(expression):
        if part["type"] in _KINDS:
            columns.append(f"{_KINDS[part['type']]}.{part['key']}")
        elif part["key"] in _ATTRIBUTES and part["type"] == "attribute":
            columns.append(_ATTRIBUTES[part["key"]])
    return columns


def check_columns(columns: Sequence[str]) -> None:
    """Refuse columns that no run has.

    Raises:
        InputError: One is none.
    """
    for column in columns:
        field, _, key = column.partition(".")
        if column not in _PLAIN_COLUMNS and not (field in _FIELDS and key):
            known = ", ".join([*_PLAIN_COLUMNS, *(f"{field}.NAME" for field in _FIELDS)])
            raise InputError(f"--columns {column}: is no column; there are {known}")


def _search(
    address: str, expression: str, experiment: str | None, *, names_of_splits: bool = True
) -> Iterator[FoundRun]:
    from mlflow.exceptions import MlflowException

    with lab_errors(address), quiet("alembic", "mlflow"):
        client = open_lab(address)
        name_of = cache(partial(_name_of, client))
        names = _experiments(client)
        if experiment is not None:
            names = {key: name for key, name in names.items() if name == experiment}
            if not names:
                raise InputError(
                    f"--experiment {experiment}: {shown(address)} has none of this name: "
                    "`raw2logit lab runs` lists them"
                )
        token = None
        while True:
            try:
                page = client.search_runs(
                    list(names),
                    expression,
                    max_results=_PAGE,
                    order_by=list(_NEWEST_FIRST),
                    page_token=token,
                )
            except MlflowException as error:
                if error.error_code == "INVALID_PARAMETER_VALUE":
                    raise _malformed(expression, error) from error
                raise
            for run in page:
                found = _found(run, names)
                if names_of_splits and found.parent and found.split:
                    found = dataclasses.replace(found, name=name_of(found.parent) or found.name)
                yield found
            if not (token := page.token):
                return


def _experiments(client: mlflow.MlflowClient) -> dict[str, str]:
    """Return the names of all experiments by their ids."""
    names: dict[str, str] = {}
    token = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        names |= {str(one.experiment_id): str(one.name) for one in page}
        if not (token := page.token):
            return names


def _found(run: Run, names: Mapping[str, str]) -> FoundRun:
    tags = dict(run.data.tags)
    return FoundRun(
        id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=names[run.info.experiment_id],
        parent=tags.get(PARENT_TAG),
        split=tags.get(SPLIT_TAG),
        kind=tags.get(KIND_TAG),
        status=run.info.status,
        started=datetime.datetime.fromtimestamp(run.info.start_time // 1000, datetime.UTC),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=tags,
    )


def _name_of(client: mlflow.MlflowClient, run_id: str) -> str | None:
    """Return the name of a run; None if it is gone, or not for this account to see."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.run_name)
    except MlflowException:
        return None


def _with_splits(run: FoundRun, splits: Mapping[str, int]) -> FoundRun:
    return run if run.parent else dataclasses.replace(run, splits=splits[run.id])


def _parse(expression: str) -> list[dict[str, Any]]:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.search_utils import SearchUtils

    try:
        parse: Callable[[str], list[dict[str, Any]]] = SearchUtils.parse_search_filter
        return parse(expression)
    except MlflowException as error:
        raise _malformed(expression, error) from error


def _malformed(expression: str, error: Exception) -> InputError:
    text = " ".join(str(error).removeprefix("INVALID_PARAMETER_VALUE: ").split()).rstrip(".")
    return InputError(
        f"{expression!r}: {text}. MLflow's search takes comparisons joined by and, with texts in "
        'single quotes; it has no or and no parentheses: --sql "select ..." has'
    )
