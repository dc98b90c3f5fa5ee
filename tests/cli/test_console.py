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


def test_each_task_has_a_rate_of_its_own(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """What another one did before, slower or faster, has no part in it."""
    with show_progress(unit="bytes") as progress:
        for task, start, rate in (("a", 0, 1_000_000), ("b", 20_000_000, 10), ("c", 20_000_020, 5)):
            progress(f"fetching {task}.zip", start, 40_000_000)
            clock[0] += 6
            progress(f"fetching {task}.zip", start + 6 * rate, 40_000_000)
            clock[0] += 6
    said = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[1] for line in said if ", " in line] == [
        "1.0 MB/s",
        "10 bytes/s",
        "5 bytes/s",
    ]


def test_a_total_that_grows_begins_a_rate(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with show_progress(unit="bytes") as progress:
        progress("unpacking", 0, 1000)
        clock[0] += 6
        progress("unpacking", 600, 1000)
        progress("unpacking", 600, 9000)
        clock[0] += 6
        progress("unpacking", 630, 9000)
    assert ", 5 bytes/s, " in capsys.readouterr().err.splitlines()[-1]


def test_no_time_left_where_the_size_is_not_known(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with show_progress(unit="bytes") as progress:
        progress("fetching", 0, 0)
        clock[0] += 6
        progress("fetching", 6_000_000, 0)
    assert capsys.readouterr().err.splitlines()[-1] == "[6.0 MB, 1.0 MB/s] fetching"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    return terminal


@pytest.mark.parametrize("name", ["raw [v2].zip", "a[/b].zip", "[red]a"])
def test_a_bar_shows_names_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with show_progress(unit="bytes") as progress:
        progress(name, 1, 4)
    assert name in terminal.getvalue()


def test_a_bar_begins_a_rate_with_each_task(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    rows = []
    real = _console.Bar.add_task

    def add_task(self: _console.Bar, task: str, total: int | None, completed: int = 0) -> object:
        rows.append((task, total, completed))
        return real(self, task, total=total, completed=completed)

    monkeypatch.setattr(_console.Bar, "add_task", add_task)
    with show_progress(unit="bytes") as progress:
        for task, done, total in (("a", 1, 9), ("a", 2, 9), ("b", 3, 9), ("b", 4, 8), ("c", 5, 0)):
            progress(task, done, total)
    assert rows[1:] == [("a", 9, 1), ("b", 9, 3), ("b", 8, 4), ("c", None, 5)]
    assert "5/? bytes" in terminal.getvalue()


def test_items_have_none(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        progress("tiles", 1, 3)
        progress("tiles", 2, 3)
        progress("tiles", 3, 3)
    assert capsys.readouterr().err.splitlines() == ["[1/3] tiles", "[3/3] tiles"]


@pytest.mark.parametrize(("unit", "words"), [("bytes", "2.0/4.0 MB"), ("items", "2000000/4000000")])
def test_a_terminal_shows_a_bar(unit: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with show_progress(unit=unit) as progress:
        progress("work", 1_000_000, 4_000_000)
        progress("work", 2_000_000, 4_000_000)
    assert words in terminal.getvalue()
