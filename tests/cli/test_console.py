"""Progress for a log file and for a terminal."""

import io
import sys

import pytest

from raw2logit.cli import _console
from raw2logit.cli._console import show_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Hold the time that the lines see."""
    now = [100.0]
    monkeypatch.setattr(_console.time, "monotonic", lambda: now[0])
    return now


def test_bytes_have_a_rate_and_a_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with show_progress(unit="bytes") as progress:
        # What was there before the start has no part in the rate.
        for second, done in enumerate(range(1_000_000, 11_000_001, 1_000_000)):
            clock[0] = 100.0 + second
            progress("fetching a.zip", done, 4_000_000_000)
        progress("fetching a.zip", 4_000_000_000, 4_000_000_000)
        clock[0] += 10
        progress("unpacking a.zip", 500, 1000)
        clock[0] += 10
        progress("unpacking a.zip", 1000, 1000)
    assert capsys.readouterr().err.splitlines() == [
        "[1.0 MB of 4.0 GB] fetching a.zip",
        "[6.0 MB of 4.0 GB, 1.0 MB/s, 1:06:34 left] fetching a.zip",
        "[11.0 MB of 4.0 GB, 1.0 MB/s, 1:06:29 left] fetching a.zip",
        "[4.0 GB of 4.0 GB, 399.9 MB/s, 0:00:00 left] fetching a.zip",
        "[500 bytes of 1.0 kB] unpacking a.zip",
        "[1.0 kB of 1.0 kB, 50 bytes/s, 0:00:00 left] unpacking a.zip",
    ]


def test_items_have_none(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        progress("tiles", 1, 3)
        progress("tiles", 2, 3)
        progress("tiles", 3, 3)
    assert capsys.readouterr().err.splitlines() == ["[1/3] tiles", "[3/3] tiles"]


@pytest.mark.parametrize(("unit", "words"), [("bytes", "2.0/4.0 MB"), ("items", "2000000/4000000")])
def test_a_terminal_shows_a_bar(unit: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(unit=unit) as progress:
        progress("work", 1_000_000, 4_000_000)
        progress("work", 2_000_000, 4_000_000)
    assert words in terminal.getvalue()
