"""Real servers for tests, on the loopback interface alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

PATIENCE_S = 90.0


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], address: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, from when it answers at `address` on.

    Args:
        command: What starts it.
        address: Answers any HTTP request once the server is up.
        log: Gets what it prints.
        environment: Added to that of the process.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                requests.get(address, timeout=5)
                break
            except requests.RequestException:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"no server at {address}: {log.read_text()}") from None
                time.sleep(0.1)
        yield process
    finally:
        # Its whole group, which is its own: servers start workers.
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, kind)
                process.wait(timeout=15)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def mlflow_server(folder: Path, backend: str | None = None) -> Iterator[str]:
    """Run a plain MLflow server; yields its address.

    Args:
        folder: Gets database, artifacts and log.
        backend: Address of the database; None: SQLite in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", backend or f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # Clients of this process keep connections open, which a stop would wait for.
    command += ["--uvicorn-opts", "--timeout-graceful-shutdown 1"]
    # Its job runners, seven processes, would keep busy what the tests need.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, f"{address}/health", folder / "server.log", environment):
        yield address
