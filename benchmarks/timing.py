"""Interleaved timing, and the checks that must pass before anything is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

THREADS = 2
_MOST_ROUNDS = 200


class DisagreementError(Exception):
    """Two contestants do not compute the same thing."""


@dataclass(frozen=True)
class Spread:
    """Durations of one contestant.

    Attributes:
        median_s: The middle one.
        lower_s: First quartile.
        upper_s: Third quartile.
    """

    median_s: float
    lower_s: float
    upper_s: float


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        share: Of each comparison's own time budget.
        rounds: Exactly so many rounds instead; None: what the budget allows.
    """

    share: float = 1.0
    rounds: int | None = None

    def enough(self, rounds: int, elapsed_s: float, budget_s: float, least_rounds: int) -> bool:
        """Tell whether to stop after some rounds."""
        if self.rounds is not None:
            return rounds >= self.rounds
        late = elapsed_s >= self.share * budget_s
        return rounds >= _MOST_ROUNDS or (late and rounds >= least_rounds)


def hold_threads() -> None:
    """Give torch, OpenCV and numpy's linear algebra the same number of threads."""
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    threadpool_limits(THREADS)


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    effort: Effort,
    *,
    budget_s: float,
    warm_up: bool = True,
    least_rounds: int = 3,
    wait: Callable[[], object] = lambda: None,
) -> dict[str, Spread]:
    """Time contestants in turns, A B C A B C ..., so that a slow spell hits all of them.

    Args:
        contestants: Name to what is timed. Freeing a result is not part of its time.
        effort: Number of rounds or share of the budget.
        budget_s: Time to spend on all contestants together, at effort 1.
        warm_up: Whether each runs once before.
        least_rounds: Whatever the budget.
        wait: Called before each clock reading, for devices that work behind one's back.
    """
    for run in contestants.values() if warm_up else ():
        run()
    durations_s: dict[str, list[float]] = {name: [] for name in contestants}
    begin = time.perf_counter()
    rounds = 0
    while not effort.enough(rounds, time.perf_counter() - begin, budget_s, least_rounds):
        for name, run in contestants.items():
            wait()
            start = time.perf_counter()
            result = run()
            wait()
            durations_s[name].append(time.perf_counter() - start)
            del result
        rounds += 1
    return {name: _spread(values) for name, values in durations_s.items()}


def _spread(durations_s: list[float]) -> Spread:
    if len(durations_s) == 1:
        return Spread(*durations_s * 3)
    lower, median, upper = statistics.quantiles(durations_s, n=4, method="inclusive")
    return Spread(median, lower, upper)


def require_same(
    what: str,
    ours: Tensor,
    theirs: Tensor,
    *,
    tolerance: float,
    margin_px: int = 0,
    share_beyond: float = 0.0,
) -> None:
    """Check that two results agree.

    Args:
        what: Names the comparison in the message.
        ours: Any shape; the last two axes are height and width if there is a margin.
        theirs: Same shape.
        tolerance: Largest absolute difference.
        margin_px: Border that is left out.
        share_beyond: Share of the values that may differ by more.

    Raises:
        DisagreementError: They do not agree.
    """
    if ours.shape != theirs.shape:
        raise DisagreementError(f"{what}: {tuple(ours.shape)} against {tuple(theirs.shape)}")
    difference = (ours - theirs).abs()
    if margin_px:
        difference = difference[..., margin_px:-margin_px, margin_px:-margin_px]
    # Written so that a value that is not a number counts as beyond.
    beyond = 1.0 - (difference <= tolerance).float().mean(dtype=torch.float64).item()
    if not beyond <= share_beyond:
        raise DisagreementError(
            f"{what}: {beyond:.3%} of the values differ by more than {tolerance:g} "
            f"(allowed: {share_beyond:.3%}; largest difference {difference.max().item():.3g})"
        )
