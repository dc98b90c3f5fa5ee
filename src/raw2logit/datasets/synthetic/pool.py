"""Work on many jobs with several processes, results in order."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_in_order(
    task: Callable[[Job], Result], jobs: Iterable[Job], workers: int | None
) -> Iterator[Result]:
    """Yield the results in order; at most a few jobs are ahead of what is taken."""
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield from map(task, jobs)
        return
    context = multiprocessing.get_context("spawn")  # forking after torch has threads can hang
    with ProcessPoolExecutor(
        workers, context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(task, job))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
