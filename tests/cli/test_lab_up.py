"""``raw2logit lab up``: a real server, started and stopped as people do."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import requests

from raw2logit.cli import main
from raw2logit.errors import InputError
from raw2logit.lab import errors
from raw2logit.lab.errors import explain, lab_errors, shown
from tests.lab.servers import PATIENCE_S, free_port

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_with(word: str) -> list[str]:
    """Return the command lines of this machine's processes that hold a word."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if word in line]


@pytest.mark.skipif(sys.platform != "linux", reason="asks ps")
def test_runs_of_before_are_there_and_a_signal_ends_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = signal.SIGINT  # As Ctrl-C; SIGTERM ends the lab of tests/lab/test_accounts.py.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # Tracked without a server, into the default lab.
    folder = tmp_path / "runs" / "lab"
    folder.mkdir(parents=True)
    before = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    number = before.create_experiment("e", artifact_location=(folder / "artifacts").as_uri())
    run = before.create_run(number).info.run_id
    before.log_metric(run, "accuracy", 0.5)
    before.log_text(run, "kept", "stages/a.txt")

    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-c", "from raw2logit.cli import main; raise SystemExit(main())"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [*command, "lab", "up", "--port", str(port)], stdout=output, stderr=output
        )
    try:
        wait_for(lambda: up.poll() is not None or f"lab is up: {address}" in log.read_text())
        assert f"MLFLOW_TRACKING_URI={address}" in log.read_text()
        assert "Traceback" not in log.read_text()
        client = mlflow.MlflowClient(address)
        assert client.get_run(run).data.metrics == {"accuracy": 0.5}
        # What the web page shows of it, and what its API lists.
        assert [item.path for item in client.list_artifacts(run, "stages")] == ["stages/a.txt"]
        page = requests.get(f"{address}/get-artifact?run_uuid={run}&path=stages/a.txt", timeout=20)
        assert page.text == "kept"
        # A run through the server keeps its artifacts in the same folder.
        second = client.create_run(client.create_experiment("f")).info.run_id
        client.log_text(second, "new", "b.txt")
        assert [path.read_text() for path in (folder / "artifacts").rglob("b.txt")] == ["new"]
        assert processes_with(f"--port {port}")
        up.send_signal(kind)
        assert up.wait(timeout=PATIENCE_S) == 0
    finally:
        up.kill()
    assert not processes_with(f"--port {port}")
    with pytest.raises(InputError, match="no answer: start the lab"), lab_errors(address):
        client.get_run(run)


def test_a_port_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["lab", "up", "--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith(f"raw2logit: --port {port}: in use")


def test_a_database_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["lab", "up", "--port", str(free_port()), "--backend"]
    assert main([*words, f"sqlite:///{tmp_path}/nowhere/lab.db"]) == 2
    assert "unable to open database file" in capsys.readouterr().err
    assert main([*words, f"postgresql://me:geheim@127.0.0.1:{free_port()}/lab"]) == 2
    told = capsys.readouterr().err
    assert "postgresql+psycopg://me:***@127.0.0.1" in told
    assert "geheim" not in told


def test_it_is_opened_with_accounts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert main(["lab", "up", "--host", "0.0.0.0"]) == 2
    assert "add --shared" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["lab", "up", "--shared", "--port", str(free_port())]) == 2
    assert "set MLFLOW_AUTH_ADMIN_USERNAME and" in capsys.readouterr().err
    assert main(["lab", "up", "--backend", "mysql://me:secret@db/lab"]) == 2
    assert "secret" not in capsys.readouterr().err


def test_a_lab_that_does_not_answer_is_noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors._HEALTH_TIMEOUT_S < 10
    monkeypatch.setattr(errors, "_HEALTH_TIMEOUT_S", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(InputError, match="no answer"), lab_errors(address):
            mlflow.MlflowClient(address).get_run("0" * 32)
        assert time.monotonic() - start < 5


def test_passwords_are_not_repeated() -> None:
    address = "postgresql+psycopg://me:geheim@db:5432/lab"
    assert shown(address) == "postgresql+psycopg://me:***@db:5432/lab"
    told = explain(ValueError(f"cannot open {address}\nat all"), address)
    assert told == f"{shown(address)}: cannot open {shown(address)} at all"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://me:geheim@lab:5000/x?token=geheim#geheim", "http://me:***@lab:5000/x"),
        ("postgresql://me@db/lab?sslmode=require&password=geheim", "postgresql://me@db/lab"),
        ("postgresql://me:ge/geheim@db/lab", "postgresql://..."),
        ("postgresql://me:ge@geheim@db/lab", "postgresql://..."),
        ("postgresql://me:ge?geheim@db/lab", "postgresql://..."),
        ("http://me:ge#geheim@db/lab", "http://..."),
        ("http://lab:5000", "http://lab:5000"),
        ("http://[::1]:5000/", "http://[::1]:5000/"),
        ("sqlite:////home/a@b:c/what?.db", "sqlite:////home/a@b:c/what?.db"),
        ("mlflow.db", "mlflow.db"),
    ],
)
def test_an_address_is_shown_without_what_it_may_hide(address: str, expected: str) -> None:
    assert shown(address) == expected
    if "geheim" in address and "token" not in address:
        assert "geheim" not in explain(ValueError(f"no geheim at {address}"), address)


def test_passwords_of_options_are_not_repeated() -> None:
    address = "postgresql://me@db/lab?sslpassword=ge%20heim&password=other"
    told = explain(ValueError("ge heim, ge%20heim, other"), address)
    assert told == "postgresql://me@db/lab: ***, ***, ***"


def test_a_driver_that_is_not_installed() -> None:
    address = "mysql://me:geheim@db/lab"
    with pytest.raises(InputError) as caught, lab_errors(address):
        raise ModuleNotFoundError("No module named 'MySQLdb'")
    assert str(caught.value) == "mysql://me:***@db/lab: No module named 'MySQLdb'"


def test_a_connection_that_the_server_has_closed_is_no_lab_that_is_down() -> None:
    asked = []

    def serve(listening: socket.socket) -> None:
        # It keeps the first connection open, and ends it when it is used again.
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
                if len(asked) < 3:
                    asked.append(connection.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for _ in range(2):
            with lab_errors(address):
                pass
        thread.join(timeout=PATIENCE_S)
    assert len(asked) == 3
