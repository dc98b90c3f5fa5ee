"""``raw2logit lab query``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from raw2logit.cli._table import Limit, RowFormat, print_rows
from raw2logit.errors import InputError
from raw2logit.lab.sql import find_database, run_sql


def query(
    expression: str | None = None,
    /,
    *,
    experiment: str | None = None,
    columns: Annotated[
        list[str], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = [],  # noqa: B006 - never changed
    sql: str | None = None,
    database: str | None = None,
    limit: Limit = None,
    form: RowFormat = "table",
    tracking_uri: str | None = None,
) -> None:
    """Find runs by parameters and metrics.

    Args:
        expression: For instance "metrics.test_accuracy > 0.8 and params.view = 'bi,s,ga'":
            comparisons of metrics.NAME, params.NAME, tags.NAME, status, run_name, start_time,
            joined by and (MLflow's search). Finds runs and their splits.
        experiment: Only runs of this experiment.
        columns: Shown beside those that the expression names: params.NAME metrics.NAME tags.NAME
            kind status started parent. A table shows 8 digits of an id.
        sql: Instead of an expression: a query to the lab's database, SQLite or PostgreSQL, which is
            only read. The tables are MLflow's: experiments, runs, params, tags, latest_metrics,
            metrics ...
        database: For --sql: sqlite:///FILE or postgresql://USER@HOST/DATABASE; default
            $MLFLOW_BACKEND_STORE_URI, else that of a lab without a server.
        limit: Rows to print; default all.
        form: table, csv or json.
        tracking_uri: MLflow address; default $MLFLOW_TRACKING_URI, else a SQLite file in runs/lab.
    """
    if expression is not None and sql is None:
        if database is not None:
            raise InputError("--database: belongs to --sql; an expression needs --tracking-uri")
        _search(expression, columns, experiment, tracking_uri, form, limit)
    elif sql is not None and expression is None:
        if experiment is not None or columns:
            option = "--columns" if columns else "--experiment"
            raise InputError(f"{option}: belongs to an expression: say it in the query of --sql")
        with run_sql(find_database(database, tracking_uri), sql) as rows:
            print_rows(rows.columns, rows.values, form, limit=limit)
    else:
        raise InputError('lab query: name either an expression or --sql "select ..."')


def _search(
    expression: str,
    columns: list[str],
    experiment: str | None,
    tracking_uri: str | None,
    form: RowFormat,
    limit: Limit,
) -> None:
    from raw2logit.lab import tracking
    from raw2logit.lab.query import (
        DEFAULT_COLUMNS,
        check_columns,
        mentioned_columns,
        search_runs,
    )

    check_columns(columns)
    names = list(dict.fromkeys([*DEFAULT_COLUMNS, *mentioned_columns(expression), *columns]))
    found = search_runs(tracking.tracking_uri(tracking_uri), expression, experiment=experiment)
    rows = (
        [run.brief(name) if form == "table" else run.value(name) for name in names] for run in found
    )
    print_rows(names, rows, form, limit=limit)
