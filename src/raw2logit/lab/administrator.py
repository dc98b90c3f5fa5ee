"""The first administrator of a shared lab, and how its server is told about accounts.

Everything lies in the lab's folder, readable by its owner alone::

    accounts.db   names, hashes of passwords, permissions
    auth.ini      MLflow's configuration; written at each start
    secret.key    signs the web page's sessions

No password is ever written there in clear text, and none is there by default: MLflow 3.9 wants one
in its configuration, so it gets a random one that nobody knows and that opens nothing.
"""

from __future__ import annotations

import getpass
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raw2logit.errors import InputError
from raw2logit.files import atomic_path
from raw2logit.lab.passwords import find_weakness
from raw2logit.quiet import quiet

ADMIN_NAME, ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD"
_GUARD = "raw2logit.lab.guard:authenticate"


@dataclass(frozen=True)
class Login:
    """A name and a password."""

    name: str
    password: str

    def __repr__(self) -> str:
        """Leave the password out: this may end in a traceback."""
        return f"Login({self.name!r})"


def prepare_accounts(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Make sure that a lab has an administrator; write the configuration of its accounts.

    Args:
        folder: Of the lab.
        environment: Its ``MLFLOW_AUTH_ADMIN_USERNAME`` and ``MLFLOW_AUTH_ADMIN_PASSWORD`` name the
            first administrator; if they are not there, a terminal is asked. Later starts need
            neither.

    Returns:
        What the server's environment needs; no password.

    Raises:
        InputError: Nobody says who the administrator is, or the password is weak.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "accounts.db"
    administrator = _find_administrator(database)
    if administrator is None:
        login = ask_login(environment, ADMIN_NAME, ADMIN_PASSWORD, "the lab's first administrator")
        # Here, and not by MLflow, of which some versions would keep the password in a file.
        _create(database, login)
        administrator = login.name
    key = folder / "secret.key"
    if not key.is_file():
        _write_private(key, secrets.token_urlsafe(48))
    configuration = _write_private(
        folder / "auth.ini",
        "[mlflow]\n"
        "default_permission = READ\n"
        f"database_uri = {_escape(_address(database))}\n"
        f"admin_username = {_escape(administrator)}\n"
        f"admin_password = {secrets.token_urlsafe(48)}\n"
        f"authorization_function = {_GUARD}\n",
    )
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(configuration.resolve()),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key.read_text(encoding="utf-8"),
    }


def ask_login(environment: Mapping[str, str], name: str, password: str, whose: str) -> Login:
    """Return a new login from the environment, or else from a terminal, where it is typed twice.

    Args:
        environment: May hold it.
        name: Of the variable with the name.
        password: Of the variable with the password.
        whose: Words for the question and the error.

    Raises:
        InputError: There is no terminal to ask at, the two passwords differ, or it is weak.
    """
    given, secret = environment.get(name), environment.get(password)
    if not given or not secret:
        if not sys.stdin.isatty():
            raise InputError(f"set {name} and {password}: name and password of {whose}")
        given = given or input(f"Name of {whose}: ").strip()
        if not given:
            raise InputError(f"{name}: give {whose} a name")
    return Login(given, choose_password(environment, password, f"{whose}, {given}"))


def choose_password(environment: Mapping[str, str], variable: str, whose: str) -> str:
    """Return a new password from the environment, or else from a terminal, typed twice.

    Raises:
        InputError: There is no terminal to ask at, the two differ, or it is weak.
    """
    password = environment.get(variable)
    if not password:
        if not sys.stdin.isatty():
            raise InputError(f"set {variable}: the password of {whose}")
        password = getpass.getpass(f"Password of {whose}: ")
        if getpass.getpass("Once more: ") != password:
            raise InputError("the two passwords differ: start again")
    if weakness := find_weakness(password):
        raise InputError(f"{variable}: {weakness}")
    return password


def _find_administrator(database: Path) -> str | None:
    if not database.is_file():
        return None
    with quiet("alembic", "mlflow"):
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore()
        store.init_db(_address(database))  # type: ignore[no-untyped-call]
    names = [str(user.username) for user in store.list_users() if user.is_admin]
    store.engine.dispose()
    return min(names, default=None)


def _create(database: Path, login: Login) -> None:
    from mlflow.exceptions import MlflowException

    with quiet("alembic", "mlflow"):
        from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore()
    database.touch(mode=0o600)
    try:
        with quiet("alembic", "mlflow"):
            store.init_db(_address(database))  # type: ignore[no-untyped-call]
        store.create_user(login.name, login.password, is_admin=True)
    except MlflowException as error:
        raise InputError(f"{ADMIN_NAME} {login.name}: {error.message}") from error
    finally:
        store.engine.dispose()


def _address(database: Path) -> str:
    return f"sqlite:///{database.resolve().as_posix()}"


def _escape(value: str) -> str:
    return value.replace("%", "%%")


def _write_private(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")
    return path


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the logins that a server has no use for."""
    secret = (ADMIN_NAME, ADMIN_PASSWORD, "RAW2LOGIT_LAB_PASSWORD")
    return {
        key: value
        for key, value in environment.items()
        if key not in secret and not key.startswith("MLFLOW_TRACKING_")
    }
