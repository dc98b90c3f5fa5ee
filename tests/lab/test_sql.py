"""Read-only SQL on SQLite; the same on PostgreSQL is in ``test_postgresql.py``."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from raw2logit.errors import InputError, MissingDataError
from raw2logit.lab import sql
from raw2logit.lab.sql import find_database, run_sql

WRITES = [
    "delete from runs",
    "DELETE FROM runs RETURNING name",
    "/* select */ update runs set name = 'x'",
    "insert into runs values (3, 'c')",
    "replace into runs values (1, 'c')",
    "with old as (select * from runs) insert into runs select * from old",
    "select 1; delete from runs",
    "explain delete from runs",
    "drop table runs",
    "alter table runs rename to gone",
    "create index sooner on runs (name)",
    "create temp table scratch (a)",
    "create temp view scratch as select 1",
    "create virtual table scratch using fts5 (a)",
    "attach 'evil.db' as evil",
    "attach ':memory:' as evil",
    "vacuum",
    "vacuum into 'evil.db'",
    "analyze",
    "reindex",
    "pragma query_only = off",
    "pragma writable_schema = on",
    "pragma journal_mode = delete",
    "pragma wal_checkpoint(truncate)",
    "pragma user_version = 7",
    "select * from pragma_journal_mode('delete')",
    "begin immediate",
    "savepoint s",
    "commit",
    "detach main",
    "select load_extension('evil.so')",
]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database in a folder of its own, which is the working folder."""
    folder = tmp_path / "lab"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in (sql.DATABASE_VARIABLE, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    make(folder / "mlflow.db")
    return folder / "mlflow.db"


def make(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "create table runs (id, name); create index by_name on runs (name);"
            "insert into runs values (1, 'a'), (2, null);"
        )


def ask(address: str, statement: str) -> list[tuple[Any, ...]]:
    with run_sql(address, statement) as rows:
        return list(rows.values)


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("statement", WRITES)
def test_what_writes_is_refused_and_changes_nothing(lab: Path, statement: str) -> None:
    before = content(lab.parent)
    with pytest.raises(InputError, match="--sql: ") as caught:
        ask(f"sqlite:///{lab}", statement)
    assert "\n" not in str(caught.value)
    assert content(lab.parent) == before


@pytest.mark.parametrize("guard", ["_authorize", "mode=ro"])
def test_each_guard_stands_alone(lab: Path, monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    """A statement that got past one of them meets the other."""
    before = content(lab.parent)
    if guard == "_authorize":
        monkeypatch.setattr(sql, "_authorize", lambda *_: sqlite3.SQLITE_OK)
        message = "readonly database"
    else:
        real = sqlite3.connect
        monkeypatch.setattr(
            sqlite3, "connect", lambda path, **rest: real(path.removesuffix("?mode=ro"), **rest)
        )
        message = "not authorized"
    with pytest.raises(InputError, match=message):
        ask(f"sqlite:///{lab}", "delete from runs")
    assert content(lab.parent) == before


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("select name from runs order by id", [("a",), (None,)]),
        ("select count(*), x'00ff', 1.5 from runs;", [(2, b"\x00\xff", 1.5)]),
        (
            "with recursive n(i) as (values (1) union all select i + 1 from n where i < 3) "
            "select i, sum(i) over (order by i) from n",
            [(1, 1), (2, 3), (3, 6)],
        ),
        ("values (1, 2) -- a comment; delete from runs", [(1, 2)]),
        ("select 'delete from runs; %s {}'", [("delete from runs; %s {}",)]),
        ("select name from sqlite_master where type = 'table'", [("runs",)]),
    ],
)
def test_what_reads_is_answered(lab: Path, statement: str, expected: list[tuple[Any, ...]]) -> None:
    assert ask("sqlite:///mlflow.db", statement) == expected


def test_names_of_columns(lab: Path) -> None:
    with run_sql(f"sqlite:///{lab}", "select id, name as Name, 1 + 1 from runs") as rows:
        assert rows.columns == ("id", "Name", "1 + 1")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("selec", 'near "selec": syntax error'),
        ("select * from nowhere", "no such table: nowhere"),
        ("", "no columns"),
        ("-- nothing", "no columns"),
    ],
)
def test_an_error_is_one_line(lab: Path, statement: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ask(f"sqlite:///{lab}", statement)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "a#b.db", "50%41.db", "ä'\".db"])
@pytest.mark.parametrize("absolute", [True, False])
def test_any_name_of_a_file(lab: Path, name: str, absolute: bool) -> None:
    make(lab.parent / name)
    lab.unlink()
    place = lab.parent / name if absolute else name
    assert ask(f"sqlite:///{place}", "select count(*) from runs") == [(2,)]
    assert [path.name for path in lab.parent.iterdir()] == [name]


def test_options_of_mlflows_address(lab: Path) -> None:
    assert ask(f"sqlite:///{lab}?timeout=30", "select count(*) from runs") == [(2,)]


@pytest.mark.parametrize("name", ["gone.db", "gone/mlflow.db", ""])
def test_a_missing_file_is_not_made(lab: Path, name: str) -> None:
    with pytest.raises(MissingDataError, match=r"no such lab: .*--database"):
        ask(f"sqlite:///{name}", "select 1")
    assert [path.name for path in lab.parent.iterdir()] == ["mlflow.db"]


def test_another_file_is_no_database(lab: Path) -> None:
    lab.write_text("text, for the most part" * 100)
    with pytest.raises(InputError, match="not a database"):
        ask(f"sqlite:///{lab}", "select * from runs")


@pytest.fixture
def writer(lab: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open, in WAL mode, in the middle of a write."""
    code = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('pragma journal_mode = wal')\n"
        "c.execute('insert into runs values (3, \"c\")')\n"
        "c.execute('begin immediate')\n"
        "c.execute('delete from runs')\n"
        "print('writing', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lab)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_beside_a_writer_in_wal_mode(lab: Path, writer: subprocess.Popen[str]) -> None:
    assert writer.stdout
    assert writer.stdout.readline() == "writing\n"
    # What is committed, though it is in the write-ahead log alone.
    assert ask(f"sqlite:///{lab}", "select id from runs") == [(1,), (2,), (3,)]
    with pytest.raises(InputError, match="not authorized"):
        ask(f"sqlite:///{lab}", "delete from runs")


def test_rows_come_as_they_are_asked_for(lab: Path) -> None:
    endless = "with recursive n(i) as (values (1) union all select i + 1 from n) select i from n"
    with run_sql(f"sqlite:///{lab}", endless) as rows:
        assert [next(rows.values) for _ in range(3)] == [(1,), (2,), (3,)]


def test_a_query_without_end_is_stopped(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "STATEMENT_TIMEOUT_S", 0.2)
    endless = "with recursive n(i) as (values (1) union all select i + 1 from n) select i from n"
    with pytest.raises(InputError, match=r"more than 0\.2 s .*narrow"):
        ask(f"sqlite:///{lab}", f"{endless} where i < 0")


def test_which_database(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = lab.parent / "runs" / "lab" / "mlflow.db"
    assert find_database() == f"sqlite:///{default}"
    assert find_database("sqlite:///mine.db", "http://127.0.0.1:1") == "sqlite:///mine.db"
    assert find_database(None, "sqlite:///its.db") == "sqlite:///its.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://u@h/d")
    assert find_database() == "postgresql+psycopg://u@h/d"
    monkeypatch.setenv(sql.DATABASE_VARIABLE, "sqlite:///server.db")
    assert find_database() == "sqlite:///server.db"
    assert find_database(None, "http://127.0.0.1:1") == "sqlite:///server.db"
    # An option is nearer than the environment.
    assert find_database(None, "sqlite:///its.db") == "sqlite:///its.db"


def test_a_server_tells_no_database(lab: Path) -> None:
    with pytest.raises(InputError, match=r"a server does not tell.*--database") as caught:
        find_database(None, "http://me:secret@127.0.0.1:1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["mysql://me:se/cret@h/d", "mlflow.db", "sqlite:mlflow.db"])
def test_other_databases_are_refused(lab: Path, address: str) -> None:
    with pytest.raises(InputError, match=r"SQL needs sqlite:///FILE or postgresql://") as caught:
        ask(address, "select 1")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:sec@ret@127.0.0.1:1/lab",
        "postgresql://me:sec/ret@127.0.0.1:1/lab",
        "postgresql://me:sec?ret@127.0.0.1:1/lab",
        "postgresql://me:sec#ret@127.0.0.1:1/lab",
    ],
)
def test_a_password_that_is_not_escaped(address: str) -> None:
    with pytest.raises(InputError, match="%40") as caught:
        ask(address, "select 1")
    assert not {"sec", "ret"} & set(str(caught.value).replace("/", " ").split())


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"pip install 'raw2logit\[postgresql\]'"):
        ask("postgresql://me@127.0.0.1:1/lab", "select 1")
