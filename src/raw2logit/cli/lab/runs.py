"""``raw2logit lab runs``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from raw2logit.cli._table import Limit, RowFormat, print_rows

_COLUMNS = ("id", "experiment", "name", "split", "kind", "status", "started", "splits", "metrics")
_TABLE = ("id", "started", "experiment", "name", "split", "status", "splits", "metric")


def runs(
    *,
    experiment: str | None = None,
    children: Annotated[bool, Parameter(negative="")] = False,
    limit: Limit = 50,
    form: RowFormat = "table",
    tracking_uri: str | None = None,
) -> None:
    """List the runs of a lab, the newest first.

    A table shows 8 digits of an id, which lab fetch takes, and the main figure of the test; csv and
    json hold all metrics.

    Args:
        experiment: Only runs of this experiment.
        children: The splits of runs as well, each of which is a run of MLflow's.
        limit: Runs to list.
        form: table, csv or json.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.lab import tracking
    from raw2logit.lab.query import list_runs

    found = list_runs(tracking.tracking_uri(tracking_uri), experiment=experiment, children=children)
    if form == "table":
        columns = [name for name in _TABLE if children or name != "split"]
        rows = (
            [run.main_metric() if name == "metric" else run.brief(name) for name in columns]
            for run in found
        )
    else:
        columns = [name for name in _COLUMNS if children or name != "split"]
        rows = ([run.value(name) for name in columns] for run in found)
    print_rows(columns, rows, form, limit=limit)
