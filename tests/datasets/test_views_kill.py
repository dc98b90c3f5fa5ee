"""Views whose writing is killed, at any moment and as often as you like, end as the same tree."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from raw2logit.datasets import RawMicroscopy
from raw2logit.datasets.synthetic.generate import generate_microscopy
from raw2logit.datasets.views import write_views
from raw2logit.files import find_leftovers
from tests.processes import wait_for_end

from .layout import files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

COMMAND = [sys.executable, "-c", "import sys; from raw2logit.cli import main; sys.exit(main())"]
COUNT, SIZE = 30, 96
PNGS = 12 * COUNT


class Outcome(NamedTuple):
    completed: int
    """Trees that came to their end."""
    while_writing: int
    """Kills that found some PNGs written by that very command, and some not."""
    leftovers: int
    """Temporary files that the kills left, all in all."""
    end_s: float
    """The longest that a worker outlived its parent."""


def kill_at_random(folder: Path, kills: int) -> Outcome:
    """Kill the command `kills` times, and repeat it on the same tree until it comes to its end."""
    generate_microscopy(folder, count=COUNT, size=SIZE, workers=1)
    undisturbed = write_views(RawMicroscopy(folder), folder / "a" / "raw_scale100", workers=1)
    expected = files(undisturbed)
    assert len(expected) == PNGS + 2
    out = folder / "b"
    words = ["data", "views", "--root", str(folder), "--out", str(out), "--workers", "2"]
    rng = random.Random(4)
    killed = completed = while_writing = leftovers = 0
    end_s = 0.0
    while killed < kills or out.exists():
        before = written(out)
        with subprocess.Popen(
            [*COMMAND, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            # Counted in PNGs, so that it is found at work whatever the speed of the machine.
            moment = before + rng.randint(1, PNGS // 2)
            while process.poll() is None and not written(out) >= moment:
                time.sleep(0.002)
            if killed < kills:
                time.sleep(rng.uniform(0, 0.01))
                process.kill()
            code = process.wait(120)
        end_s = max(end_s, wait_for_end(process.pid))
        if code == -signal.SIGKILL:
            killed += 1
            while_writing += before < written(out) < PNGS
            left = {path.relative_to(out).as_posix() for path in find_leftovers(out)}
            leftovers += len(left)
            for name, content in files(out).items():
                if name not in left:
                    assert content == expected[name.removeprefix("raw_scale100/")], name
            continue
        assert code == 0
        tree = {f"raw_scale100/{name}": content for name, content in expected.items()}
        assert files(out) == tree
        shutil.rmtree(out)
        completed += 1
    return Outcome(completed, while_writing, leftovers, end_s)


def written(folder: Path) -> int:
    """Count the PNGs that are whole."""
    return sum(1 for _ in folder.glob("raw_scale100/*/[!.]*.png"))


def test_three_times(tmp_path: Path) -> None:
    outcome = kill_at_random(tmp_path, 3)
    assert outcome.completed >= 1
    assert outcome.while_writing >= 2


@pytest.mark.slow
def test_twenty_times(tmp_path: Path) -> None:
    outcome = kill_at_random(tmp_path, 20)
    print(f"20 kills: {outcome}, all trees equal")
    assert outcome.completed >= 2
    assert outcome.while_writing >= 15
