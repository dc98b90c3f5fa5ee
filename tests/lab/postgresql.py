"""A real PostgreSQL server for tests, on the loopback interface alone."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.lab.servers import free_port

REQUIRED = "RAW2LOGIT_REQUIRE_POSTGRESQL"
ADMIN = "lab_admin"
# Debian keeps the programs off the path, one folder a version.
_DEBIAN = Path("/usr/lib/postgresql")
_PATIENCE_S = 60.0
_SETTINGS = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "40",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
}


@dataclass(frozen=True)
class PostgreSQL:
    """A running server.

    Attributes:
        port: On 127.0.0.1.
        password: Of `ADMIN`, a superuser; drawn for this server.
        folder: The server's user may write into it.
    """

    port: int
    password: str
    folder: Path

    def address(self, database: str = "postgres", user: str = ADMIN, password: str = "") -> str:
        """Return the address of a database for an account."""
        word = password or self.password
        return f"postgresql://{user}:{word}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """Run a new, empty PostgreSQL server until the block ends; nothing of it is left.

    Where PostgreSQL or psycopg is not installed, the test is skipped; with `REQUIRED` set it fails.
    """
    programs = _programs()
    if find_spec("psycopg") is None:
        _give_up("psycopg is not installed: pip install 'raw2logit[postgresql]'")
    who = _other_user()
    # Not pytest's folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="raw2logit-postgresql-"))
    server = PostgreSQL(free_port(), secrets.token_hex(16), folder)
    data = folder / "data"
    options: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
        "cwd": folder,
        "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder)},
        **who,
    }
    process = None
    try:
        word = folder / "word"
        word.write_text(server.password)
        for place in (folder, word):
            if who:
                os.chown(place, who["user"], who["group"])
        made = subprocess.run(
            [programs / "initdb", "--no-sync", *_initdb_options(data, word)],
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        if made.returncode:
            raise AssertionError(f"initdb failed: {made.stdout}")
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, f"--port={server.port}", *settings],
                stdout=output,
                start_new_session=True,
                **options,
            )
        _wait(server, process, log)
        yield server
    finally:
        if process:
            _stop(process)
        shutil.rmtree(folder)


def _programs() -> Path:
    """Return the folder of initdb and postgres."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True)
    for folder in candidates:
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder
    _give_up(f"PostgreSQL is not installed: initdb is neither on the path nor in {_DEBIAN}")


def _version(folder: Path) -> list[int]:
    return [int(part) for part in re.findall(r"[0-9]+", folder.parent.name)]


def _give_up(message: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{message}; {REQUIRED} is set")
    pytest.skip(message)


def _initdb_options(data: Path, word: Path) -> list[str]:
    options = {
        "pgdata": str(data),
        "username": ADMIN,
        "encoding": "UTF8",
        "auth": "scram-sha-256",
        "pwfile": str(word),
    }
    return [f"--{name}={value}" for name, value in options.items()]


def _other_user() -> dict[str, Any]:
    """Return whom to run as: PostgreSQL refuses root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise AssertionError("root may not run PostgreSQL, and there is no user postgres or nobody")


def _wait(server: PostgreSQL, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            psycopg.connect(server.address(), connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no PostgreSQL: {log.read_text()}") from None
            time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Its whole group, which is its own. Interrupt: without waiting for clients to leave.
    kinds: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    for kind in kinds:
        try:
            if kind == signal.SIGKILL:
                os.killpg(process.pid, kind)
            else:
                process.send_signal(kind)
            process.wait(timeout=15)
            break
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
