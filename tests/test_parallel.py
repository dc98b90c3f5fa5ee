from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from raw2logit import parallel
from raw2logit.cli._plugins import import_plugin
from raw2logit.errors import InputError, MissingDataError
from raw2logit.parallel import prepare_workers, run_in_order

from .processes import running, wait_for_end

ROOT = Path(__file__).parents[1]

heard: list[str] = []


@pytest.fixture(autouse=True)
def no_preparations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_preparations", [])


def about(job: int) -> tuple[int, int]:
    time.sleep(0.05 if job % 5 == 0 else 0)  # the first of five comes last
    return job**2, torch.get_num_threads()


def refuse_the_third(job: int, error: Exception) -> int:
    if job == 2:
        raise error
    return job


def die_at_the_third(job: int) -> int:
    if job == 2:
        os._exit(1)
    return job


def hear(word: str) -> None:
    heard.append(word)


def say_so_and_wait(job: int, folder: Path) -> None:
    (folder / f"{job}-{os.getpid()}").touch()
    time.sleep(120)


class Jobs:
    """Count how many are taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for job in range(1000):
            self.taken += 1
            yield job


def test_the_callers_threads_stay_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for result in run_in_order(about, range(2), 1):
            assert result[1] == 1
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 4)])
def test_results_come_in_order_and_few_jobs_are_ahead(workers: int, ahead: int) -> None:
    jobs = Jobs()
    results = run_in_order(about, jobs, workers)
    assert jobs.taken == 0
    for number in range(1, 11):
        assert next(results) == ((number - 1) ** 2, 1)
        assert jobs.taken == number + ahead
    results.close()  # type: ignore[attr-defined]
    assert jobs.taken == 10 + ahead
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("workers", "error"),
    [(1, InputError("x.dng: broken")), (2, MissingDataError("x.dng: not there"))],
)
def test_an_error_of_a_task_reaches_the_caller(workers: int, error: Exception) -> None:
    done = []
    with pytest.raises(type(error)) as caught:
        done.extend(run_in_order(partial(refuse_the_third, error=error), range(1000), workers))
    assert str(caught.value) == str(error)
    assert not multiprocessing.active_children()


def test_a_worker_that_dies() -> None:
    with pytest.raises(InputError, match=r"a worker process died.*choose fewer --workers"):
        list(run_in_order(die_at_the_third, range(1000), 2))
    assert not multiprocessing.active_children()


def test_nothing_to_do() -> None:
    assert list(run_in_order(about, [], 1)) == []
    assert list(run_in_order(about, [], 2)) == []


def test_workers_begin_with_the_preparations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No import statement finds this module, so even the task is unknown where the file has not run.
    file = tmp_path / "mine.py"
    file.write_text("def task(job):\n    from tests.test_parallel import heard\n    return heard\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    for word in ("a", "b", "a"):
        prepare_workers(hear, word)
    import_plugin(str(file))
    (name,) = {name for name in set(sys.modules) - before if name.startswith("mine_")}
    assert list(run_in_order(sys.modules[name].task, range(3), 2)) == [["a", "b"]] * 3
    assert heard == []
    del sys.modules[name]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("moment", ["at work", "as they start"])
def test_workers_end_when_their_parent_is_killed(moment: str, tmp_path: Path) -> None:
    code = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "from raw2logit.parallel import run_in_order\n"
        "from tests.test_parallel import say_so_and_wait\n"
        "list(run_in_order(partial(say_so_and_wait, folder=Path(sys.argv[1])), range(9), 2))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (
            len(list(tmp_path.iterdir())) == 2
            if moment == "at work"
            # Both, and the one that looks after semaphores.
            else len(running(process.pid)) >= 4
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    wait_for_end(process.pid)
    # Who had work in the queue did not begin with it.
    assert len(list(tmp_path.iterdir())) == (2 if moment == "at work" else 0)
