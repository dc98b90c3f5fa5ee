"""The lab's server: MLflow's own, started with what a lab needs."""

from __future__ import annotations

import errno
import ipaddress
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from raw2logit.errors import InputError
from raw2logit.lab.errors import lab_errors, shown
from raw2logit.lab.tracking import DEFAULT_LAB, tracking_uri

_SQLITE = "sqlite:///"
_BACKENDS = (_SQLITE, "postgresql://", "postgresql+psycopg://")
_DATABASE_TIMEOUT_S = 8
_ALL_IPV4, _ALL_IPV6 = "0.0.0.0", "::"
_GRACE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class LabServer:
    """How a lab's server is run.

    Attributes:
        host: Address to listen at.
        port: To listen at.
        backend: Address of the database, ``sqlite:///...`` or ``postgresql://...``; None:
            ``mlflow.db`` in the folder.
        folder: Gets ``mlflow.db``, ``artifacts``, and the accounts of a shared lab.
        shared: Others reach it, with an account.
        allowed_hosts: Further names under which others reach it.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    backend: str | None = None
    folder: Path = DEFAULT_LAB
    shared: bool = False
    allowed_hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check it.

        Raises:
            InputError: The backend is neither SQLite nor PostgreSQL, or a lab without accounts
                would be open to others.
        """
        if self.backend is not None and not self.backend.startswith(_BACKENDS):
            raise InputError(
                f"--backend {self.backend.split(':')[0]}: give sqlite:///FILE or postgresql://..."
            )
        if not self.shared and not _is_loopback(self.host):
            raise InputError(
                f"--host {self.host}: others could change everything there: add --shared, which "
                "wants accounts, or leave --host out"
            )
        if self.shared and sys.platform == "win32":
            raise InputError("--shared: needs Linux or macOS, where MLflow runs under gunicorn")

    def address(self) -> str:
        """Return the address to tell people."""
        if self.host in (_ALL_IPV4, _ALL_IPV6):
            # Where no name is set up, the full name is that of the loopback interface.
            name = socket.getfqdn()
            name = socket.gethostname() if name.startswith("localhost") else name
            return f"http://{name}:{self.port}"
        return f"http://{_bracketed(self.host)}:{self.port}"

    def database(self) -> str:
        """Return the address of its database, as SQLAlchemy wants it."""
        return database_address(self.backend or f"{_SQLITE}{self.folder / 'mlflow.db'}")

    def log(self) -> Path:
        """Return the file that gets what the server prints."""
        return self.folder / "server.log"

    def local_address(self) -> str:
        """Return an address that this machine reaches it at."""
        own = {_ALL_IPV4: "127.0.0.1", _ALL_IPV6: "::1"}.get(self.host, self.host)
        return f"http://{_bracketed(own)}:{self.port}"


def database_address(address: str) -> str:
    """Return the address of a database as SQLAlchemy wants it.

    ``postgresql://`` becomes ``postgresql+psycopg://``: psycopg 3 is what the package uses. The
    path of a SQLite file becomes absolute.
    """
    if address.startswith(_SQLITE):
        return f"{_SQLITE}{Path(address.removeprefix(_SQLITE)).resolve().as_posix()}"
    return tracking_uri(address)


def run_lab(server: LabServer, ready: Callable[[], None]) -> int:
    """Run a lab's server until it ends or this process is told to stop (Ctrl-C, SIGTERM).

    Args:
        server: What to run.
        ready: Called when it answers.

    Returns:
        Exit code of the server; 0 if it was told to stop.

    Raises:
        InputError: The port, the host or the database cannot be used, or the accounts are not in
            order.
    """
    check_place(server.host, server.port)
    server.folder.mkdir(parents=True, exist_ok=True)
    _check_backend(server.database())
    command, environment = _build(server)
    server.log().touch(mode=0o600)
    # A group of its own: Ctrl-C reaches this process alone, which then ends the whole group.
    with server.log().open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=output, stderr=output
        )
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        while process.poll() is None and not stopped:
            if _answers(server.local_address()):
                ready()
                break
            time.sleep(0.2)
        while process.poll() is None and not stopped:
            time.sleep(0.2)
    finally:
        _end_group(process)
        for kind, handler in before.items():
            signal.signal(kind, handler)
    code = process.returncode
    if stopped:
        return 0
    return code if code >= 0 else 128 - code


def check_place(host: str, port: int) -> None:
    """Check that a server can listen at a place.

    Raises:
        InputError: Somebody else listens there, or this machine has no such address.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: a port that was in use a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"--port {port}: in use at {host}: give another, or stop what runs there"
            ) from error
        if error.errno == errno.EACCES:
            raise InputError(f"--port {port}: not allowed: give one above 1023") from error
        raise InputError(f"--host {host}: no address of this machine ({error})") from error


def _check_backend(address: str) -> None:
    """Open the database once: MLflow would try for minutes.

    Raises:
        InputError: It cannot be opened.
    """
    import sqlalchemy

    options: dict[str, object] = {}
    if not address.startswith(_SQLITE):
        if find_spec("psycopg") is None:
            raise InputError(
                f"--backend {shown(address)}: needs psycopg: pip install 'raw2logit[postgresql]'"
            )
        options["connect_timeout"] = _DATABASE_TIMEOUT_S
    with lab_errors(address):
        engine = sqlalchemy.create_engine(address, connect_args=options)
        try:
            engine.connect().close()
        finally:
            engine.dispose()


def _build(server: LabServer) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of the server's process."""
    from raw2logit.lab.administrator import prepare_accounts, without_secrets

    folder, backend = server.folder, server.database()
    environment = without_secrets(os.environ) | {
        # Not on the command line, which everybody on the machine may read: it may hold a password.
        "MLFLOW_BACKEND_STORE_URI": backend,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ENABLE_GRAPHQL_AUTH": "true",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", server.host, "--port", str(server.port)]
    command += ["--artifacts-destination", str((folder / "artifacts").resolve())]
    # One process writes to a SQLite file; its threads answer side by side.
    command += ["--workers", "1" if backend.startswith(_SQLITE) else "4"]
    if not server.shared:
        return [
            *command,
            "--uvicorn-opts",
            "--log-level warning --timeout-graceful-shutdown 2",
        ], environment
    environment |= prepare_accounts(folder, os.environ)
    names = _names(server)
    command += ["--app-name", "basic-auth"]
    origins = [f"{scheme}://{name}" for name in names for scheme in ("http", "https")]
    # Under uvicorn, MLflow 3.9 answers some requests without asking who sends them. The timeout
    # is for large artifacts. MLflow takes the names of a gunicorn server from its environment
    # alone.
    options = ["--worker-class", "gthread", "--threads", "8", "--timeout", "600"]
    # Browsers keep connections open, which a stop would wait for.
    options += ["--graceful-timeout", "2"]
    options += _no_control_socket()
    options += ["--env", f"MLFLOW_SERVER_ALLOWED_HOSTS={','.join(names)}"]
    options += ["--env", f"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS={','.join(origins)}"]
    return [*command, "--gunicorn-opts", shlex.join(options)], environment


def _no_control_socket() -> list[str]:
    """Return the option of newer gunicorns that keeps them from listening for commands."""
    from gunicorn.config import KNOWN_SETTINGS  # type: ignore[import-untyped]

    option = "--no-control-socket"
    return [option] if any(option in (known.cli or ()) for known in KNOWN_SETTINGS) else []


def _names(server: LabServer) -> list[str]:
    """Return under which names a browser may reach a shared lab, each with and without port."""
    names = {"localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn()}
    if server.host not in (_ALL_IPV4, _ALL_IPV6):
        names.add(_bracketed(server.host))
    names |= _own_addresses() | set(server.allowed_hosts)
    return sorted(names | {f"{name}:{server.port}" for name in names if not _has_port(name)})


def _own_addresses() -> set[str]:
    """Return the addresses of this machine as far as its name and its routes tell."""
    found: set[str] = set()
    try:
        entries = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        found |= {_bracketed(str(entry[4][0])) for entry in entries}
    except OSError:
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing; tells which of the own addresses leads out.
            probe.connect(("192.0.2.1", 9))
            found.add(str(probe.getsockname()[0]))
        except OSError:
            pass
    return found


def _has_port(name: str) -> bool:
    return name.rpartition("]")[2].count(":") > 0


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _answers(address: str) -> bool:
    import requests

    try:
        # Past any proxy: this machine is asked.
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False


def _signal_group(group: int, kind: int) -> bool:
    """Send a signal to a process group; tells whether it was still there."""
    try:
        os.killpg(group, kind)
    except ProcessLookupError:
        return False
    return True


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started, by force if need be."""
    deadline = time.monotonic() + _GRACE_S
    _signal_group(process.pid, signal.SIGTERM)
    while time.monotonic() < deadline:
        process.poll()
        if not _signal_group(process.pid, 0):
            return
        time.sleep(0.1)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()
