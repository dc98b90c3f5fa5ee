"""``raw2logit lab runs``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from raw2logit.cli._table import Limit, RowFormat, print_rows

_COLUMNS = ("id", "experiment", "name", "kind", "status", "started", "splits", "metrics")


def runs(
    *,
    experiment: str | None = None,
    children: Annotated[bool, Parameter(negative="")] = False,
    limit: Limit = 50,
    form: RowFormat = "table",
    tracking_uri: str | None = None,
) -> None:
    """List the runs of a lab, the newest first.

    Args:
        experiment: Only runs of this experiment.
        children: The splits of runs as well, each of which is a run of MLflow's.
        limit: Runs to list.
        form: table, csv or json.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    from raw2logit.lab import tracking
    from raw2logit.lab.query import list_runs

    columns = (*_COLUMNS[:3], "split", *_COLUMNS[3:]) if children else _COLUMNS
    found = list_runs(tracking.tracking_uri(tracking_uri), experiment=experiment, children=children)
    rows = (
        [run.main_metrics() if name == "metrics" else getattr(run, name) for name in columns]
        for run in found
    )
    print_rows(columns, rows, form, limit=limit)
