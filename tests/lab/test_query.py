"""Finding runs in a real MLflow server."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from mlflow import MlflowClient

from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab import query
from raw2logit.lab.query import check_columns, list_runs, mentioned_columns, search_runs
from tests.lab.servers import free_port

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

FIRST, SECOND = "query: one, the first (Train)", "query: two"


def add_run(
    client: MlflowClient, experiment: str, name: str, *, at_s: int, accuracy: float, splits: int
) -> str:
    """Add a run as raw2logit does: a parent, and a child a split."""
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    tags = {"raw2logit.run": f"{at_s:032x}", "raw2logit.kind": "train"}
    params = {"view": "bi,s,ga" if accuracy > 0.5 else "me,u,me", "training.lr": "0.001"}
    parent = client.create_run(place, start_time=at_s * 1000, tags=tags, run_name=name)
    for number in range(1, splits + 1):
        tags = {"mlflow.parentRunId": parent.info.run_id, "raw2logit.split": str(number)}
        # One begins before its run: the clock of a file server is behind.
        child = client.create_run(
            place,
            start_time=(at_s + number - 2) * 1000,
            tags=tags,
            run_name=f"split {number}",
        )
        for key, value in (params | {"split": str(number)}).items():
            client.log_param(child.info.run_id, key, value)
        client.log_metric(child.info.run_id, "val_loss", 1.0, step=1)
        client.log_metric(child.info.run_id, "val_loss", 0.5, step=2)
        client.log_metric(child.info.run_id, "test_accuracy", accuracy)
        client.set_terminated(child.info.run_id)
    for key, value in params.items():
        client.log_param(parent.info.run_id, key, value)
    client.log_metric(parent.info.run_id, "test_accuracy", accuracy)
    client.log_metric(parent.info.run_id, "a_loss", 2.0)
    return str(parent.info.run_id)


@pytest.fixture(scope="module")
def lab(lab_server: str) -> str:
    client = MlflowClient(lab_server)
    # Not in the order of their times.
    add_run(client, FIRST, "middle", at_s=2000, accuracy=0.9, splits=3)
    client.set_terminated(add_run(client, SECOND, "old", at_s=1000, accuracy=0.85, splits=1))
    add_run(client, FIRST, "new", at_s=3000, accuracy=0.4, splits=2)
    return lab_server


@pytest.fixture(params=[2, 1000])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Results come in pages of this many."""
    monkeypatch.setattr(query, "_PAGE", request.param)
    return request.param


def test_runs_are_listed_newest_first_with_their_splits(lab: str, page: int) -> None:
    runs = [run for run in list_runs(lab) if run.experiment in (FIRST, SECOND)]
    assert [(run.name, run.splits) for run in runs] == [("new", 2), ("middle", 3), ("old", 1)]
    new, _, old = runs
    assert (new.kind, new.status, new.split, new.parent) == ("train", "RUNNING", None, None)
    assert old.status == "FINISHED"
    assert old.started == datetime.datetime(1970, 1, 1, 0, 16, 40, tzinfo=datetime.UTC)
    assert len(old.id) == 32
    # Those of the test part come first.
    assert old.main_metric() == "test_accuracy 0.85"


def test_runs_of_one_experiment(lab: str) -> None:
    assert [run.name for run in list_runs(lab, experiment=FIRST)] == ["new", "middle"]
    with pytest.raises(InputError, match=r"--experiment nosuch: .*has none of this name"):
        list(list_runs(lab, experiment="nosuch"))


def test_splits_are_listed_when_asked_for(lab: str) -> None:
    runs = list(list_runs(lab, experiment=SECOND, children=True))
    assert {(run.name, run.split, run.splits) for run in runs} == {
        ("old", None, 1),
        ("old", "1", None),
    }
    parent = next(run for run in runs if run.split is None)
    assert next(run for run in runs if run.split).parent == parent.id


def test_runs_by_parameters_and_metrics(lab: str, page: int) -> None:
    expression = "metrics.test_accuracy > 0.8 and params.view = 'bi,s,ga'"
    found = [run for run in search_runs(lab, expression) if run.experiment in (FIRST, SECOND)]
    assert sorted((run.name, run.split or "") for run in found) == [
        *(("middle", split) for split in ("", "1", "2", "3")),
        *(("old", split) for split in ("", "1")),
    ]
    assert found == sorted(found, key=lambda run: run.started, reverse=True)
    (second,) = search_runs(lab, f"{expression} and params.split = '2'")
    assert (second.name, second.split) == ("middle", "2")
    (split,) = search_runs(lab, "params.split = '1' and metrics.val_loss < 1", experiment=SECOND)
    # The last step's.
    assert split.value("metrics.val_loss") == 0.5
    assert split.value("params.training.lr") == "0.001"
    assert split.value("params.nosuch") is None
    assert split.value("experiment") == SECOND


def test_pages_are_fetched_as_they_are_needed(lab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = MlflowClient.search_runs
    monkeypatch.setattr(
        MlflowClient,
        "search_runs",
        lambda *words, **rest: (asked.append(rest), real(*words, **rest))[1],
    )
    monkeypatch.setattr(query, "_PAGE", 2)
    found = list(islice(search_runs(lab, "params.training.lr = '0.001'"), 3))
    assert len(found) == 3
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("metrics.a > 1 or metrics.b > 1", "'or'"),
        ("metrics.a > 1 OR params.x = '1'", "'OR'"),
        ("(metrics.a > 1 or metrics.b > 1)", "Invalid clause"),
        ("metrics.a >", "Invalid clause"),
        ("metrics.a > 'much'", "Expected numeric value"),
        ("metrics.a == 1", "=="),
        ("params.view = 1", "quoted string"),
        ("metric > 1", "Invalid attribute key"),
        ("nosuch.a = '1'", "Invalid entity type"),
        ("params.a = 'x'; drop table runs", "multiple expression"),
    ],
)
def test_a_malformed_expression_is_one_line_and_names_sql(
    lab: str, expression: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(search_runs(lab, expression))
    text = str(caught.value)
    assert expression.split(";")[0] in text
    assert "no or" in text
    assert '--sql "select ..."' in text
    assert "\n" not in text


def test_columns_of_an_expression() -> None:
    assert mentioned_columns(
        "metrics.test_accuracy > 0.8 and params.training.lr = '1' and tags.`raw2logit.kind` = 'x' "
        "and status = 'FINISHED' and run_name LIKE '%a%' and params.note = 'metrics.b'"
    ) == [
        "metrics.test_accuracy",
        "params.training.lr",
        "tags.raw2logit.kind",
        "status",
        "name",
        "params.note",
    ]


def test_columns_that_no_run_has() -> None:
    check_columns(["id", "kind", "started", "parent", "params.a.b", "metrics.x", "tags.y"])
    for column in ("nosuch", "params", "params.", "value", "metric.a", "main_metric"):
        with pytest.raises(InputError, match=rf"--columns {column}: .*metrics\.NAME"):
            check_columns([column])


def test_a_lab_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such lab"):
        list(list_runs(f"sqlite:///{tmp_path}/mlflow.db"))
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_down() -> None:
    with pytest.raises(InputError, match="no answer: start the lab"):
        list(search_runs(f"http://127.0.0.1:{free_port()}", "metrics.a > 1"))
