"""Read-only SQL on the database of a lab: SQLite or PostgreSQL.

What writes is refused by the database itself; the text of a statement is never looked at.

- SQLite opens the file read-only, refuses writes a second time (``query_only``), and asks an
  authorizer about each action while it compiles a statement: reading rows and calling functions is
  all that is allowed.
- PostgreSQL gets the statement as that of a cursor (``DECLARE ... CURSOR FOR ...``), whose grammar
  takes one query and nothing else, in a transaction that is read-only, has taken its snapshot, and
  is rolled back. A superuser's statement runs in the role ``pg_read_all_data``.

A statement can still call what its account may call: a function that ends other connections of the
account, or one of an extension that opens a connection with a password in the statement. That of a
superuser can take the superuser's role back and call what writes files of the server; the lab's
data it cannot change. An account that may only read closes all of this.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raw2logit.errors import InputError
from raw2logit.lab.errors import UNCLEAR, is_unclear, shown, without_passwords
from raw2logit.lab.tracking import no_lab
from raw2logit.lab.tracking import tracking_uri as lab_of

if TYPE_CHECKING:
    import psycopg

DATABASE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
STATEMENT_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 8
_BATCH = 500
_SQLITE = "sqlite:///"
# A driver is a matter of MLflow.
_POSTGRESQL = re.compile(r"postgres(?:ql)?(?:\+psycopg2?)?://")
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_FORMS = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"


class _Cursor(Protocol):
    @property
    def description(self) -> Sequence[Any] | None: ...


@dataclass(frozen=True)
class Rows:
    """What a statement returns.

    Attributes:
        columns: Their names; two may be equal.
        values: One row after the other, fetched as they are asked for.
    """

    columns: tuple[str, ...]
    values: Iterator[tuple[Any, ...]]


def find_database(given: str | None = None, tracking_uri: str | None = None) -> str:
    """Return the address of a lab's database.

    Args:
        given: What the user names; else ``$MLFLOW_BACKEND_STORE_URI`` counts, and then the lab.
        tracking_uri: The lab, if the user names it. An address of a database goes before
            ``$MLFLOW_BACKEND_STORE_URI``.

    Raises:
        InputError: The lab is a server, which does not tell where its database is.
    """
    if given:
        return given
    if tracking_uri and _is_database(tracking_uri):
        return tracking_uri
    if named := os.environ.get(DATABASE_VARIABLE):
        return named
    lab = lab_of(tracking_uri)
    if not _is_database(lab):
        raise InputError(
            f"--sql: {shown(lab)} is no database, and a server does not tell where its own is: "
            f"name it with --database {_FORMS}, or in {DATABASE_VARIABLE}"
        )
    return lab


@contextmanager
def run_sql(address: str, statement: str) -> Iterator[Rows]:
    """Run one reading statement; its rows can be taken inside the block.

    Args:
        address: Of the database: ``sqlite:///relative``, ``sqlite:////absolute`` or
            ``postgresql://...``; the driver of ``postgresql+psycopg://...`` is left out.
        statement: In the database's own SQL.

    Raises:
        InputError: The database cannot be opened, or refuses the statement: it writes, is none, is
            several, or takes more than `STATEMENT_TIMEOUT_S` for the next rows.
        MissingDataError: The file of an SQLite database is not there.
    """
    if address.startswith(_SQLITE):
        with _run_sqlite(address, statement) as rows:
            yield rows
    elif _POSTGRESQL.match(address):
        with _run_postgresql(address, statement) as rows:
            yield rows
    else:
        # No more of it: how another address spells a password is not known here.
        scheme, mark, _ = address.partition("://")
        place = f"{scheme}://..." if mark else address
        raise InputError(f"--database {place}: SQL needs {_FORMS}")


def sqlite_file(address: str) -> Path:
    """Return the file of ``sqlite:///...``, as MLflow finds it.

    The rest of the address is the name as it is, without any escapes; only if no such file is
    there, what follows a ``?`` is taken for options.

    Raises:
        MissingDataError: It is not there.
    """
    name = address.removeprefix(_SQLITE)
    for candidate in (name, name.partition("?")[0]):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise no_lab(name or address)


@contextmanager
def _run_sqlite(address: str, statement: str) -> Iterator[Rows]:
    path = sqlite_file(address)
    timer = _Timer()
    connection: sqlite3.Connection | None = None
    try:
        # As a URI, so that it can be opened read-only; the path's odd characters are escaped.
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        connection.execute("PRAGMA query_only = ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(timer.is_over, 10_000)
        timer.start()
        cursor = connection.execute(statement)
        columns = tuple(column[0] for column in _described(cursor))
        yield Rows(columns, timer.batches(cursor))
    # Several statements are a Warning, which is no Error.
    except (sqlite3.Error, sqlite3.Warning) as error:
        if timer.is_over():
            raise InputError(_too_slow()) from error
        raise InputError(f"--sql: {_line(str(error))} (SQLite, read-only, {path})") from error
    finally:
        if connection:
            connection.close()


def _authorize(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


class _Timer:
    """Ends a statement of SQLite, which knows no time limit, between two batches of rows."""

    def __init__(self) -> None:
        self._end = float("inf")

    def start(self) -> None:
        self._end = time.monotonic() + STATEMENT_TIMEOUT_S

    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def batches(self, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
        while True:
            self.start()
            if not (batch := cursor.fetchmany(_BATCH)):
                return
            # Whoever prints them may take their time.
            self._end = float("inf")
            yield from batch


@contextmanager
def _run_postgresql(address: str, statement: str) -> Iterator[Rows]:
    _check_postgresql(address)
    try:
        import psycopg
    except ImportError as error:
        raise InputError(
            "--sql: PostgreSQL needs psycopg: pip install 'raw2logit[postgresql]'"
        ) from error
    place = shown(address)
    connection: psycopg.Connection[tuple[Any, ...]] | None = None
    try:
        connection = psycopg.connect(
            _POSTGRESQL.sub("postgresql://", address, count=1),
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name="raw2logit lab query",
        )
        _restrict(connection)
        with connection.cursor("raw2logit") as cursor:
            cursor.itersize = _BATCH
            # Declared by the extended protocol, which takes one command.
            cursor.execute(statement)
            columns = tuple(column.name for column in _described(cursor))
            yield Rows(columns, iter(cursor))
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.QueryCanceled):
            raise InputError(_too_slow()) from error
        text = _line(without_passwords(error.diag.message_primary or str(error), address))
        if connection is None:
            raise InputError(f"--database {place}: {text}") from error
        if isinstance(error, psycopg.errors.SyntaxError):
            text += ": one query is taken, nothing else"
        raise InputError(f"--sql: {text} (PostgreSQL, read-only, {place})") from error
    finally:
        if connection:
            # Without a commit: what a function may have done is rolled back.
            connection.close()


def _restrict(connection: psycopg.Connection[Any]) -> None:
    """Begin the transaction that the statement runs in."""
    connection.read_only = True
    # A query: after the first snapshot PostgreSQL refuses to make the transaction writable.
    row = connection.execute("SELECT current_setting('is_superuser')").fetchone()
    connection.execute(f"SET LOCAL statement_timeout = {int(STATEMENT_TIMEOUT_S * 1000)}")
    if row != ("off",):
        # A superuser may write files of the server even in a read-only transaction.
        connection.execute("SET LOCAL ROLE pg_read_all_data")


def _check_postgresql(address: str) -> None:
    """Refuse an address in which a password may end anywhere, without repeating it.

    Raises:
        InputError: A character of the user or the password is not escaped.
    """
    if is_unclear(address):
        raise InputError(f"--database {shown(address)}: {UNCLEAR}")


def _described(cursor: _Cursor) -> Sequence[Any]:
    if not cursor.description:
        raise InputError("--sql: returns no columns: give a query, such as select * from runs")
    return cursor.description


def _is_database(address: str) -> bool:
    return address.startswith(_SQLITE) or bool(_POSTGRESQL.match(address))


def _too_slow() -> str:
    return (
        f"--sql: took more than {STATEMENT_TIMEOUT_S:g} s and was stopped: narrow it down with "
        "where or limit"
    )


def _line(text: str) -> str:
    return " ".join(text.split())
