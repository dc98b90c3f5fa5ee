"""A lab on a real PostgreSQL server: tracking, finding runs, read-only SQL."""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from packaging.version import Version

from raw2logit.cli import main
from raw2logit.errors import InputError
from raw2logit.lab import sql
from raw2logit.lab.mirror import Mirror
from raw2logit.lab.query import list_runs, search_runs
from raw2logit.lab.sql import run_sql
from raw2logit.lab.tracking import tracking_uri
from tests.lab import postgresql
from tests.lab.postgresql import ADMIN, PostgreSQL, postgresql_server
from tests.lab.servers import free_port, mlflow_server
from tests.lab.test_mirror import Folder
from tests.lab.test_mirror import Lab as Mirrored
from tests.lab.test_query import add_run

# MLflow's own store uses calls that its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

OWNER, READER = "lab_owner", "lab_reader"
FILE = "{folder}/written"
AS_ADMIN = f"select set_config('role', '{ADMIN}', true), query_to_xml('{{}}', true, true, '')"
WRITES = [
    "delete from notes",
    "/* select */ update notes set text = 'x' returning id",
    "insert into notes values (2, 'b')",
    "select 1; delete from notes",
    "select 1; commit; delete from notes",
    "with gone as (delete from notes returning id) select * from gone",
    "select * into copied from notes",
    "create table copied as select * from notes",
    "create temp table scratch (a int)",
    "truncate notes",
    "drop table notes",
    "select * from notes for update",
    "lock table notes",
    "do $$ begin delete from notes; end $$",
    "do $$ begin commit; delete from notes; end $$",
    "call empty_notes()",
    "select emptied_notes()",
    "explain analyze delete from notes",
    "prepare p as delete from notes",
    "select nextval('counter')",
    "select setval('counter', 7)",
    "select lo_import('/etc/hostname')",
    f"select lo_export(1, '{FILE}')",
    f"copy notes to '{FILE}'",
    f"copy (select 1) to program 'touch {FILE}'",
    f"do $$ begin copy (select 1) to program 'touch {FILE}'; end $$",
    "copy notes from '/etc/hostname'",
    "set transaction read write",
    "set session characteristics as transaction read write",
    "select set_config('transaction_read_only', 'off', false), emptied_notes()",
    "commit",
    "rollback",
    "begin",
    "end; delete from notes",
    "close raw2logit",
    "set role none",
    "reset role",
    f"set session authorization {ADMIN}",
    "alter system set work_mem = '1MB'",
    "notify somebody",
    "listen somebody",
    "select query_to_xml('delete from notes', true, true, '')",
    "select ts_stat('delete from notes')",
    "select dblink_exec('dbname=lab', 'delete from notes')",
    f"select dblink_exec('host=127.0.0.1 port={{port}} dbname=lab user={ADMIN}', "
    "'delete from notes')",
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bystander'",
    "select pg_reload_conf()",
    # The role of a superuser, taken back, does not make the transaction writable.
    AS_ADMIN.format("delete from notes"),
    AS_ADMIN.format("with gone as (delete from notes returning id) select * from gone"),
    AS_ADMIN.format("select emptied_notes()"),
    AS_ADMIN.format(f"copy notes to program ''touch {FILE}''"),
]
# These are carried out, and rolled back.
UNDONE = [
    "select lo_create(4242)",
    "select lo_from_bytea(4243, 'x')",
    "select pg_notify('somebody', 'x')",
    "select set_config('default_transaction_read_only', 'off', false)",
    "select pg_advisory_lock(1)",
]


@dataclass(frozen=True)
class Lab:
    """A server with a database that MLflow fills."""

    server: PostgreSQL
    password: str

    def address(self, user: str = OWNER) -> str:
        word = "" if user == ADMIN else self.password
        return self.server.address("lab", user, word)

    def state(self) -> tuple[object, ...]:
        """Return all that the attempts are after."""
        import psycopg

        with psycopg.connect(self.address(ADMIN), autocommit=True) as connection:
            counts = [
                connection.execute(query).fetchall()
                for query in (
                    "select * from notes",
                    "select last_value, is_called from counter",
                    "select count(*) from pg_largeobject_metadata",
                    "select relname from pg_class where relnamespace = 'public'::regnamespace "
                    "order by 1",
                    "select count(*) from pg_locks where locktype = 'advisory'",
                    "select count(*) from pg_stat_activity where application_name = 'bystander'",
                    "show default_transaction_read_only",
                )
            ]
        return (*counts, sorted(path.name for path in self.server.folder.iterdir()))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with postgresql_server() as server:
        import psycopg

        made = Lab(server, secrets.token_hex(16))
        with psycopg.connect(server.address(), autocommit=True) as connection:
            for user in (OWNER, READER):
                connection.execute(f"create role {user} login password '{made.password}'")
            connection.execute(f"grant pg_read_all_data to {READER}")
            connection.execute(f"create database lab owner {OWNER}")
        with psycopg.connect(made.address(ADMIN), autocommit=True) as connection:
            connection.execute("create extension if not exists dblink")
        with psycopg.connect(made.address(), autocommit=True) as connection:
            connection.execute(
                "create table notes (id int, text text); insert into notes values (1, 'a');"
                "create sequence counter;"
                "create procedure empty_notes() language sql as 'delete from notes';"
                "create function emptied_notes() returns int language plpgsql as "
                "$$ begin delete from notes; return 1; end $$;"
            )
        yield made


@pytest.fixture
def bystander(lab: Lab) -> Iterator[None]:
    """A connection of another account."""
    import psycopg

    with psycopg.connect(lab.address(ADMIN), application_name="bystander"):
        yield


@pytest.fixture(scope="module")
def tracked(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server on the database, with a run in it."""
    backend = lab.address().replace("postgresql:", "postgresql+psycopg:")
    with mlflow_server(tmp_path_factory.mktemp("server"), backend=backend) as address:
        add_run(MlflowClient(address), "on postgresql", "run", at_s=1000, accuracy=0.9, splits=2)
        yield address


def ask(address: str, statement: str) -> list[tuple[Any, ...]]:
    with run_sql(address, statement) as rows:
        return list(rows.values)


@pytest.mark.usefixtures("bystander")
@pytest.mark.parametrize("user", [OWNER, ADMIN, READER])
def test_what_writes_is_refused_and_changes_nothing(lab: Lab, user: str) -> None:
    before = lab.state()
    for write in WRITES:
        statement = write.replace("{folder}", str(lab.server.folder)).replace(
            "{port}", str(lab.server.port)
        )
        try:
            with pytest.raises(InputError, match="--sql: ") as caught:
                ask(lab.address(user), statement)
        except pytest.fail.Exception as error:
            raise AssertionError(f"not refused: {statement}") from error
        assert "\n" not in str(caught.value)
        assert lab.server.password not in str(caught.value)
        assert lab.state() == before, statement
    for statement in UNDONE:
        ask(lab.address(user), statement)
        assert lab.state() == before, statement


def test_a_superuser_may_not_reach_programs_and_files(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role alone refuses it, whatever the statement is sent as."""
    import psycopg

    with psycopg.connect(lab.address(ADMIN)) as connection:
        connection.read_only = True
        written = lab.server.folder / "written"
        # So it would be without: a read-only transaction lets a superuser do it.
        connection.execute(f"copy (select 1) to program 'cat > {written}'")
        assert written.exists()
        written.unlink()
        connection.rollback()
        sql._restrict(connection)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="COPY"):
            connection.execute(f"copy (select 1) to program 'cat > {written}'")
        assert not written.exists()


def test_the_transaction_alone_refuses_a_write(lab: Lab) -> None:
    import psycopg

    for statement, message in (
        ("delete from notes", "read-only transaction"),
        ("set transaction read write", "must be set before any query"),
    ):
        with psycopg.connect(lab.address()) as connection:
            sql._restrict(connection)
            with pytest.raises(psycopg.Error, match=message):
                connection.execute(statement)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_what_reads_is_answered(lab: Lab, scheme: str) -> None:
    address = lab.address(READER).replace("postgresql", scheme)
    statement = (
        'with one as (select * from notes) select id, text as "Text", 2.50::numeric, null, '
        "'\\x00ff'::bytea, '{\"a\": [1]}'::jsonb, timestamptz '2026-11-26 12:00Z', "
        "'100% %s {}' from one; -- all"
    )
    with run_sql(address, statement) as rows:
        assert rows.columns[:3] == ("id", "Text", "numeric")
        (row,) = rows.values
    assert row[:6] == (1, "a", Decimal("2.50"), None, b"\x00\xff", {"a": [1]})
    assert row[6] == datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
    assert row[7] == "100% %s {}"
    assert ask(address, "table notes") == ask(address, "values (1, 'a')") == [(1, "a")]


def test_rows_come_as_they_are_asked_for(lab: Lab) -> None:
    with run_sql(lab.address(), "select generate_series(1, 1000000000000)") as rows:
        assert [next(rows.values) for _ in range(3)] == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("selec", 'syntax error at or near "selec": one query is taken'),
        ("", "syntax error at end of input"),
        ("select * from nowhere", 'relation "nowhere" does not exist'),
        ("select 1 / (id - 1) from notes", "division by zero"),
    ],
)
def test_an_error_is_one_line(lab: Lab, statement: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ask(lab.address(), statement)
    assert "\n" not in str(caught.value)


def test_a_query_without_end_is_stopped(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "STATEMENT_TIMEOUT_S", 0.2)
    with pytest.raises(InputError, match=r"more than 0\.2 s .*narrow"):
        ask(lab.address(), "select pg_sleep(60)")


def test_passwords_are_not_shown(lab: Lab) -> None:
    wrong = lab.server.address("lab", OWNER, "not%20it%21")
    nobody = f"postgresql://{OWNER}@127.0.0.1:{free_port()}/lab?password=not%20it%21"
    for address, message in (
        (wrong, "password authentication failed"),
        (nobody, "[Cc]onnection refused"),
        (wrong.replace("%21", "%zz"), "invalid percent-encoded"),
        (f"{wrong}?nosuch=not%20it%21", "nosuch"),
    ):
        with pytest.raises(InputError, match=f"--database postgresql://.*{message}") as caught:
            ask(address, "select 1")
        assert "not%20it" not in str(caught.value)
        assert "not it" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_runs_are_found_through_a_server(tracked: str, lab: Lab, tmp_path: Path) -> None:
    (run,) = list_runs(tracked, experiment="on postgresql")
    assert (run.name, run.splits, run.metrics["test_accuracy"]) == ("run", 2, 0.9)
    expression = "metrics.test_accuracy > 0.8 and params.view = 'bi,s,ga' and params.split = '2'"
    assert [(one.name, one.split) for one in search_runs(tracked, expression)] == [("run", "2")]
    # Artifacts go through the server.
    (tmp_path / "note.txt").write_text("x")
    client = MlflowClient(tracked)
    client.log_artifact(run.id, str(tmp_path / "note.txt"))
    assert [item.path for item in client.list_artifacts(run.id)] == ["note.txt"]


@pytest.mark.skipif(
    Version(mlflow.__version__) < Version("3.16"),
    reason="MLflow before 3.16 compares numbers with texts, which psycopg 3 does not",
)
def test_registered_models(tracked: str, lab: Lab) -> None:
    for address in (tracked, tracking_uri(lab.address())):
        client = MlflowClient(address)
        (run,) = search_runs(tracked, "params.split = '1'", experiment="on postgresql")
        name = f"model of {address[:4]}"
        client.create_registered_model(name)
        made = client.create_model_version(name, f"runs:/{run.id}/pipeline", run.id)
        client.set_registered_model_alias(name, "best", made.version)
        assert client.get_model_version(name, "1").run_id == run.id
        assert client.get_model_version_by_alias(name, "best").run_id == run.id


def test_commands(
    tracked: str, lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked)
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", lab.address(READER))
    query = "select name, value from runs join latest_metrics using (run_uuid) where key = 'a_loss'"
    for words, expected in (
        (("runs", "--experiment", "on postgresql"), {"name": "run", "splits": 2}),
        (("query", "metrics.a_loss = 2"), {"name": "run", "metrics.a_loss": 2}),
        (("query", "--sql", query), {"name": "run", "value": 2}),
    ):
        assert main(["lab", *words, "--format", "json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert expected.items() <= row.items()
    assert main(["lab", "query", "--sql", "delete from runs"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("raw2logit: --sql: syntax error")
    assert lab.password not in text


def test_the_database_without_a_server(lab: Lab, tracked: str) -> None:
    address = tracking_uri(lab.address())
    assert address.startswith("postgresql+psycopg://")
    client = MlflowClient(address)
    add_run(client, "without a server", "direct", at_s=1000, accuracy=0.7, splits=1)
    (run,) = list_runs(address, experiment="without a server")
    assert (run.name, run.splits) == ("direct", 1)


def test_the_folder_of_a_run_in_a_database(lab: Lab, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a run", experiment="x" * 300).whole()
    address = tracking_uri(lab.address())
    # As a run does, then as a later import, twice.
    mirror = Mirror(folder.path, address)
    mirror.update()
    run_id = mirror.finish()
    mirrored = Mirrored(address, folder, experiment="x" * 247 + "...")
    before = mirrored.everything()
    assert mirrored.statuses() == ["FINISHED"] * 3
    assert mirrored.steps(1, "val_loss") == [(1, 3.0), (2, 2.5), (3, 2 + 1 / 3)]
    assert mirrored.files(mirrored.whole) == ["config.yaml", "run.json"]
    assert "stages/raw/a b.png" in mirrored.files(mirrored.children[0])
    assert main(["lab", "import", str(folder.path), "--tracking-uri", lab.address()]) == 0
    assert mirrored.whole.info.run_id == run_id
    assert Mirrored(address, folder, experiment="x" * 247 + "...").everything() == before
    query = "select count(*) from runs join experiments as e using (experiment_id)"
    assert ask(lab.address(), f"{query} where e.name like 'xxx%'") == [(3,)]


def test_where_postgresql_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_DEBIAN", Path("nowhere"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(postgresql.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed"), postgresql_server():
        pass
    monkeypatch.setenv(postgresql.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="not installed"), postgresql_server():
        pass


def test_nothing_is_left_of_a_server() -> None:
    import psycopg

    with postgresql_server() as server:
        psycopg.connect(server.address(), connect_timeout=5).close()
    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(server.address(), connect_timeout=5)
