"""How the lab's server is set up; that it runs is shown in `tests/cli/test_lab_up.py`."""

from __future__ import annotations

import configparser
import socket
import stat
from pathlib import Path

import pytest

from raw2logit.errors import InputError
from raw2logit.lab.administrator import prepare_accounts, without_secrets
from raw2logit.lab.passwords import find_weakness
from raw2logit.lab.server import LabServer, check_place, database_address

# MLflow's server uses what its dependencies deprecate; seen with MLflow 3.17 (2026-11).
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:starlette.middleware.wsgi"
)


def test_addresses_of_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert database_address("postgresql://me@db:5432/lab") == "postgresql+psycopg://me@db:5432/lab"
    assert database_address("postgresql+psycopg://db/lab") == "postgresql+psycopg://db/lab"
    assert database_address("sqlite:///runs/lab.db") == f"sqlite:///{tmp_path}/runs/lab.db"
    assert database_address("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "lab.example.org"])
def test_a_lab_without_accounts_is_not_opened(host: str) -> None:
    with pytest.raises(InputError, match=f"--host {host}: .* add --shared"):
        LabServer(host=host)
    assert LabServer(host=host, shared=True).address().startswith("http://")


def test_where_a_lab_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LabServer(host="::1", port=1).address() == "http://[::1]:1"
    assert LabServer(host="localhost").local_address() == "http://localhost:5000"
    opened = LabServer(host="0.0.0.0", port=8, shared=True)
    monkeypatch.setattr(socket, "getfqdn", lambda: "lab.example.org")
    assert (opened.address(), opened.local_address()) == (
        "http://lab.example.org:8",
        "http://127.0.0.1:8",
    )


def test_a_backend_is_a_database() -> None:
    for address in ("mysql://me:secret@db/lab", "runs/lab.db", "file:///runs"):
        with pytest.raises(InputError, match=r"--backend .*sqlite:///FILE or postgresql") as told:
            LabServer(backend=address)
        assert "secret" not in str(told.value)


def test_a_place_that_cannot_be_used() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: in use"):
            check_place("127.0.0.1", port)
    check_place("127.0.0.1", port)
    with pytest.raises(InputError, match=r"--host 192\.0\.2\.1: no address of this machine"):
        check_place("192.0.2.1", port)


@pytest.mark.parametrize(
    "word", ["", "elevenchars", "aaaaaaaaaaaa", "abababababab", "Password1234"]
)
def test_weak_passwords(word: str) -> None:
    assert find_weakness(word)
    assert find_weakness("correct horse battery") is None


def test_the_first_administrator(tmp_path: Path) -> None:
    folder = tmp_path / "100 % mine"
    variables = ("MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD")
    # Nobody says who: no account, no database, no default.
    with pytest.raises(InputError, match=" and ".join(variables)):
        prepare_accounts(folder, {})
    with pytest.raises(InputError, match=r"MLFLOW_AUTH_ADMIN_PASSWORD: .*too short"):
        prepare_accounts(folder, dict(zip(variables, ("adam", "secret"), strict=True)))
    assert list(folder.iterdir()) == []
    given = dict(zip(variables, ("adam", "first-in-the-garden"), strict=True))
    first = prepare_accounts(folder, given)
    content = (folder / "auth.ini").read_text()
    # A later start asks for nothing, keeps the sessions' key and trusts no former filler.
    again = prepare_accounts(folder, {})
    assert again == first
    assert (folder / "auth.ini").read_text() != content
    configuration = configparser.ConfigParser()
    configuration.read(folder / "auth.ini")
    values = configuration["mlflow"]
    assert values["database_uri"] == f"sqlite:///{folder}/accounts.db"
    assert (values["admin_username"], values["default_permission"]) == ("adam", "READ")
    for path in folder.iterdir():
        assert b"first-in-the-garden" not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Another password at a later start changes nothing.
    prepare_accounts(folder, {**given, variables[1]: "second-in-the-garden"})
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(values["database_uri"])
    assert store.authenticate_user("adam", "first-in-the-garden")
    assert not store.authenticate_user("adam", "second-in-the-garden")
    assert not store.authenticate_user("adam", values["admin_password"])
    assert [user.username for user in store.list_users()] == ["adam"]
    store.engine.dispose()


def test_the_server_is_told_no_password() -> None:
    kept = {"PATH": "/bin", "MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY"}
    secret = {
        "MLFLOW_AUTH_ADMIN_USERNAME": "adam",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "p",
        "MLFLOW_TRACKING_PASSWORD": "p",
        "RAW2LOGIT_LAB_PASSWORD": "p",
    }
    assert without_secrets(kept | secret) == kept
