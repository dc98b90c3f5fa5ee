"""Work on many jobs with several processes, results in order."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from raw2logit.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")

_preparations: list[tuple[Callable[[str], None], str]] = []
_task: Callable[[Any], Any] | None = None


def prepare_workers(call: Callable[[str], None], argument: str) -> None:
    """Let every worker process that is started from now on begin with ``call(argument)``.

    What the caller has loaded or registered is not known to them otherwise.
    """
    if (call, argument) not in _preparations:
        _preparations.append((call, argument))


def check_workers(workers: int | None) -> None:
    """Raise `InputError` for a number of processes that cannot be; None is one a core."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be at least 1, got {workers}")


def run_in_order(
    task: Callable[[Job], Result], jobs: Iterable[Job], workers: int | None
) -> Iterator[Result]:
    """Yield the results in order; at most a few jobs are ahead of what is taken.

    PyTorch has one thread for each job wherever it runs, so that results do not depend on the
    number of workers. The workers end with this process, even if it is killed.

    Args:
        task: Sent to each worker once; a function of a module, or a `functools.partial` of one.
        jobs: What the task is called with.
        workers: Processes; None: one a core; 1: this process does the work.

    Raises:
        InputError: A worker process died.
    """
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        for job in jobs:
            with _one_thread():
                result = task(job)
            yield result
        return
    context = multiprocessing.get_context("spawn")  # forking after torch has threads can hang
    # The task is unpickled by `_start`: what it imports may take seconds, or need a preparation.
    arguments = (pickle.dumps(task), tuple(_preparations))
    with ProcessPoolExecutor(workers, context, _start, arguments) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(_work, job))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(
                "a worker process died, perhaps for want of memory: choose fewer --workers; "
                "--workers 1 shows other reasons"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start(pickled_task: bytes, preparations: Iterable[tuple[Callable[[str], None], str]]) -> None:
    """Begin as a worker."""
    global _task
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # An interrupt reaches all processes of a terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    for call, argument in preparations:
        call(argument)
    _task = pickle.loads(pickled_task)


def _end_with_parent() -> None:
    # A pool's workers do not notice that their parent was killed: they would wait for ever, and
    # first write what is in their queue while the next call may be at work already.
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _work(job: Any) -> Any:  # noqa: ANN401
    if _task is None:
        raise RuntimeError("the worker was not started by run_in_order")
    return _task(job)
