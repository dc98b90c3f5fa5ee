"""``raw2logit lab runs`` and ``raw2logit lab query`` through the real entry point."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.cells import cell_len

from raw2logit.cli import main
from raw2logit.cli._table import print_rows
from raw2logit.lab.query import FoundRun
from tests.lab.test_query import add_run

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

FOUND = FoundRun(
    id="a" * 32,
    name="n",
    experiment="e",
    parent=None,
    split=None,
    kind="train",
    status="FINISHED",
    started=datetime.datetime.fromtimestamp(0, datetime.UTC),
    params={},
    metrics={},
    tags={},
)
GOOD = "metrics.test_accuracy > 0.8 and params.view = 'bi,s,ga'"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making a lab takes seconds."""
    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    client = MlflowClient(f"sqlite:///{path}")
    add_run(client, "first (Train)", "old", at_s=1000, accuracy=0.9, splits=2)
    add_run(client, "second", "new", at_s=2000, accuracy=0.25, splits=1)
    return path


@pytest.fixture
def lab(made: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lab where commands look for it."""
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    folder = own_folder / "runs" / "lab"
    folder.mkdir(parents=True)
    shutil.copy(made, folder)
    return f"sqlite:///{folder}/mlflow.db"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["lab", *words])
    return code, *capsys.readouterr()


def test_runs_as_a_table(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, notes = run(capsys, "runs")
    assert (code, notes) == (0, "")
    head, new, old = text.splitlines()
    names = ["id", "started", "experiment", "name", "status", "splits", "metric"]
    assert head.split() == names
    assert [new[head.index(name) :].split("  ")[0] for name in ("name", "splits", "metric")] == [
        *("new", "1", "test_accuracy 0.25")
    ]
    assert "1970-01-01 00:16  first (Train)  old" in old
    # A table's id is enough to fetch.
    assert main(["lab", "fetch", old[:8], "--what", "all", "-o", "out"]) == 2
    assert "keeps no file" in capsys.readouterr().err
    _, text, _ = run(capsys, "query", GOOD, "--columns", "parent", "started")
    assert text.count(old[:8]) == 3


def test_the_figure_of_a_run() -> None:
    def figure(**metrics: float) -> str | None:
        return dataclasses.replace(FOUND, metrics=metrics).main_metric()

    assert figure(test_accuracy_std=0.1, test_accuracy=1 / 3, test_a=1.0) == "test_accuracy 0.3333"
    assert figure(mean_drop=0.3, own_view_iou=0.5) == "own_view_iou 0.5"
    assert figure(test_mae=4.0, test_r2=0.51237) == "test_r2 0.5124"
    assert figure(test_b=2.0, test_a=1.0, test_a_std=0.0, a_loss=3.0) == "test_a 1"
    assert figure(val_loss=1.0, test_a_std=0.0) is None


def test_a_table_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    names = ["id", "text", "wide", "n"]
    print_rows(names, [("a" * 8, "b" * 10_000, "視" * 100, 1), ("a", "b", "c", 2)], "table")
    head, long, short = capsys.readouterr().out.splitlines()
    assert head.split() == names
    assert cell_len(long) == 60
    assert (long.count("…"), long[-1]) == (2, "1")
    assert short.split() == ["a", "b", "c", "2"]
    # Columns keep some width, whatever the terminal.
    monkeypatch.setenv("COLUMNS", "10")
    print_rows(names, [("a" * 8, "b" * 100, "c", 1)], "table")
    assert "b" * 19 + "…" in capsys.readouterr().out


def test_runs_as_csv_and_json(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = run(capsys, "runs", "--format", "csv", "--experiment", "first (Train)")
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["name"], row["splits"], row["kind"]) == ("old", "2", "train")
    _, text, _ = run(capsys, "runs", "--format", "json", "--children")
    rows = json.loads(text)
    assert [(row["split"], row["splits"]) for row in rows if row["experiment"] == "second"] in (
        [("1", None), (None, 1)],
        [(None, 1), ("1", None)],
    )
    assert rows[-1]["metrics"] == {"test_accuracy": 0.9, "val_loss": 0.5}
    assert len(rows[-1]["id"]) == 32


def test_limit_of_runs(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, notes = run(capsys, "runs", "--limit", "1")
    assert len(text.splitlines()) == 2
    assert notes == "the first 1; --limit shows more\n"
    _, text, notes = run(capsys, "runs", "--limit", "2")
    assert (len(text.splitlines()), notes) == (3, "")


def test_query(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(capsys, "query", GOOD, "--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        *("id", "name", "experiment", "split"),
        *("metrics.test_accuracy", "params.view"),
    ]
    assert {(row["name"], row["split"]) for row in rows} == {
        ("old", ""),
        ("old", "1"),
        ("old", "2"),
    }
    assert {row["metrics.test_accuracy"] for row in rows} == {"0.9"}
    assert {row["params.view"] for row in rows} == {"bi,s,ga"}


def test_query_with_more_columns(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--columns", "params.training.lr", "kind", "--format", "json", "--limit", "1")
    _, text, _ = run(capsys, "query", "metrics.a_loss > 0", *words, "--experiment", "second")
    (row,) = json.loads(text)
    assert (row["params.training.lr"], row["kind"], row["metrics.a_loss"]) == ("0.001", "train", 2)


def test_query_that_finds_nothing(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, notes = run(capsys, "query", "metrics.test_accuracy > 2")
    assert (code, notes, len(text.splitlines())) == (0, "no rows\n", 1)
    _, text, _ = run(capsys, "query", "metrics.test_accuracy > 2", "--format", "json")
    assert json.loads(text) == []


def test_sql(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    statement = (
        "select runs.name, params.value as view from runs join params using (run_uuid) "
        "where params.key = 'view' and (runs.name = 'old' or runs.name = 'new') order by 1"
    )
    code, text, _ = run(capsys, "query", "--sql", statement)
    assert code == 0
    assert [line.split() for line in text.splitlines()] == [
        ["name", "view"],
        ["new", "me,u,me"],
        ["old", "bi,s,ga"],
    ]
    words = ("query", "--sql", "select * from experiments", "--format", "json", "--limit", "1")
    _, text, _ = run(capsys, *words, "--database", lab)
    assert json.loads(text)[0]["name"] == "Default"


def test_sql_that_writes(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, errors = run(capsys, "query", "--sql", "delete from runs")
    assert (code, text) == (2, "")
    assert errors.startswith("raw2logit: --sql: not authorized")
    assert errors.count("\n") == 1
    _, text, _ = run(capsys, "query", "--sql", "select count(*) as n from runs", "--format", "csv")
    assert text == "n\n5\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "either an expression or --sql"),
        (("metrics.a > 1", "--sql", "select 1"), "either an expression or --sql"),
        (("metrics.a > 1 or metrics.b > 1",), "no or and no parentheses: --sql"),
        (("metrics.a > 1", "--columns", "nosuch"), "--columns nosuch"),
        (("metrics.a > 1", "--database", "sqlite:///a.db"), "--database: belongs to --sql"),
        (("--sql", "select 1", "--experiment", "a"), "--experiment: belongs to an expression"),
        (("--sql", "select 1", "--columns", "id"), "--columns: belongs to an expression"),
        (("--sql", "select 1", "--database", "sqlite:///gone.db"), "gone.db: no such lab"),
        (("--sql", "select 1", "--tracking-uri", "http://127.0.0.1:1"), "--database"),
        (("metrics.a > 1", "--tracking-uri", "sqlite:///gone.db"), "gone.db: no such lab"),
        (("metrics.a > 1", "--experiment", "nosuch"), "--experiment nosuch"),
    ],
)
def test_bad_input(
    lab: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    code, text, errors = run(capsys, "query", *words)
    assert (code, text) == (2, "")
    assert message in errors
    assert errors.count("\n") == 1


def test_values_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("evil\x1b[2J\nline", None, b"\x00\xff"), ("視", 0.1234567891, Decimal("2.50"))]
    print_rows(["text", "number", "more"], rows, "table")
    assert capsys.readouterr().out.splitlines() == [
        "text               number    more",
        r"evil\x1b[2J\nline            00ff",
        "視                 0.123457  2.5",
    ]


def test_values_as_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(float("nan"), Decimal(3), {"k": [1, b"a"]}, True, 0.1234567891)]
    print_rows(["a", "a", "a", "b", "a"], rows, "json")
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail) == [
        {"a": "nan", "a_2": 3, "a_3": {"k": [1, "61"]}, "b": True, "a_4": 0.1234567891}
    ]
    print_rows(["a", "b", "c", "d", "e"], rows, "csv")
    assert capsys.readouterr().out == 'a,b,c,d,e\nnan,3,"{""k"": [1, ""61""]}",true,0.1234567891\n'


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_no_more_is_taken_than_is_printed(capsys: pytest.CaptureFixture[str], form: str) -> None:
    taken = []

    def endless() -> Iterator[tuple[int]]:
        while True:
            taken.append(len(taken))
            yield (taken[-1],)

    print_rows(["n"], endless(), form, limit=3)
    assert len(taken) <= 4


def test_a_reader_that_has_seen_enough(lab: str) -> None:
    endless = "with recursive n(i) as (values (1) union all select i + 1 from n) select i from n"
    code = "import sys; from raw2logit.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "lab", "query", "--sql", endless, "--format", "csv"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "i\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        ["query", "metrics.a > 0"],
        ["query", "--sql", "select 1"],
        ["fetch", "a run", "-o", "out"],
    ],
)
def test_where_no_lab_is_none_is_made(
    own_folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, text, errors = run(capsys, *words)
    assert (code, text, errors.count("\n")) == (2, "", 1)
    assert "runs/lab/mlflow.db: no such lab: run `raw2logit train` first" in errors
    assert not list(own_folder.iterdir())
