"""``raw2logit lab up``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Names = Annotated[list[str], Parameter(negative="", show_default=False)]
Switch = Annotated[bool, Parameter(negative="")]


def up(
    *,
    host: str | None = None,
    port: int = 5000,
    backend: str | None = None,
    folder: Path = Path("runs/lab"),
    shared: Switch = False,
    allowed_hosts: Names = [],  # noqa: B006 - never changed
) -> int:
    """Start the lab's server and its web page; Ctrl-C stops it.

    Runs that were tracked in the folder without a server are there too. Without --shared, this
    machine alone reaches it. With --shared, others reach it, each with an account: everybody
    reads, and an experiment is changed by who made it, and by whom they name with raw2logit lab
    share. Passwords cross the network as they are: put a proxy with TLS before a lab that is
    reached from outside.

    Args:
        host: Address to listen at; default 127.0.0.1, with --shared all of this machine.
        port: Port to listen at.
        backend: Database: sqlite:///FILE or postgresql://USER@HOST/NAME (its password belongs in
            PGPASSWORD or ~/.pgpass); default: mlflow.db in the folder.
        folder: Of the lab: database, artifacts, accounts.
        shared: Open it to others. The first start wants an administrator:
            MLFLOW_AUTH_ADMIN_USERNAME and MLFLOW_AUTH_ADMIN_PASSWORD, else it asks.
        allowed_hosts: Further names under which browsers reach it, such as that of a proxy; may
            be repeated. The machine's own are known.
    """
    from raw2logit.lab.server import LabServer, run_lab

    server = LabServer(
        host=host or ("0.0.0.0" if shared else "127.0.0.1"),
        port=port,
        backend=backend,
        folder=folder,
        shared=shared,
        allowed_hosts=allowed_hosts,
    )

    def tell() -> None:
        address = server.address()
        print(f"The lab is up: {address}  (Ctrl-C stops it)")
        print(f"Track a run there: --tracking-uri {address} or MLFLOW_TRACKING_URI={address}")
        if shared:
            print(
                "with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; make accounts with "
                "raw2logit lab account NAME"
            )
        sys.stdout.flush()

    if code := run_lab(server, tell):
        print(f"raw2logit: the server has ended by itself: see {server.log()}", file=sys.stderr)
    return code
