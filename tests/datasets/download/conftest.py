from collections.abc import Iterator
from pathlib import Path

import pytest

from raw2logit.datasets.download import sources, stores

from .archives import pack_drone, pack_microscopy
from .server import Server


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "FIRST_WAIT_S", 0.001)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that also is where the record is asked for."""
    with Server() as server:
        monkeypatch.setattr(sources, "RECORD_API", f"{server.url}/api/records")
        yield server


@pytest.fixture(scope="session")
def microscopy(root: Path) -> dict[str, bytes]:
    return pack_microscopy(root)


@pytest.fixture(scope="session")
def drone(root: Path) -> dict[str, bytes]:
    return pack_drone(root)
