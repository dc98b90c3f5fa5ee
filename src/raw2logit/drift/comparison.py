"""Compare what the ISP costs task models with what post-hoc corruptions cost them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from raw2logit.drift.synthesis import SynthesisResult
from raw2logit.tasks.evaluation import spread

_CONFIDENCE = 0.95
Values = npt.NDArray[np.float64]


def compare(result: SynthesisResult) -> dict[str, Any] | None:
    """Return the figures of the comparison, as plain values; None without corruptions.

    Both sides are mean absolute drops from the own, clean view, as published: over all other test
    views, and over all corruptions at the severity of the headline. The mean of absolute values is
    above zero even where nothing but chance moves the scores.

    Returns:
        ``corruptions``: each one's mean drop and spread over splits; ``corruption_drop`` and
        ``isp_drop``: mean absolute drop, spread, and 95 % interval over splits (Student's t);
        ``ratio``: of the two, with an interval by Fieller's theorem, and without the corruption
        that moves it most; ``kendall``: tau between the two rankings of the models, its p value
        and the number of models. What cannot be had is None.
    """
    if not result.corrupted:
        return None
    tests = result.corruption_tests
    drops = result.corruption_drops()[..., tests.severities.index(tests.headline)]
    names = tests.names
    columns = np.abs(drops).mean(axis=1)  # (splits, corruptions)
    isp = _isp_drops(result)
    corruption = columns.mean(axis=1)
    return {
        "severity": tests.headline,
        "constants": tests.constants,
        "corruptions": {
            name: {"drop_mean": float(values.mean()), "drop_std": spread(values)}
            for name, values in zip(names, drops.mean(axis=1).T, strict=True)
        },
        "corruption_drop": _with_interval(corruption),
        "isp_drop": None if isp is None else _with_interval(isp),
        "ratio": None if isp is None else _ratio(corruption, isp, columns, names),
        "kendall": _kendall(result, drops),
    }


def fieller(above: Values, below: Values, confidence: float = _CONFIDENCE) -> list[float] | None:
    """Return the confidence interval of the ratio of two means of paired values.

    Fieller, Journal of the Royal Statistical Society B 16 (1954).

    Args:
        above: ``(n,)``, the numerator's values.
        below: ``(n,)``, the denominator's, paired with them.
        confidence: Of the interval.

    Returns:
        Lower and upper end; None for fewer than two pairs, or where the denominator may be zero,
        so that no bounded interval exists.
    """
    n = len(above)
    if n < 2:
        return None
    t = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    (var_a, cov), (_, var_b) = np.cov(above, below) / n
    a, b = float(np.mean(above)), float(np.mean(below))
    square = b * b - t * t * var_b
    if square <= 0:
        return None
    middle = a * b - t * t * cov
    # Not negative, but for rounding, where the denominator is clear of zero.
    root = math.sqrt(max(middle**2 - square * (a * a - t * t * var_a), 0.0))
    return [float((middle - root) / square), float((middle + root) / square)]


def _isp_drops(result: SynthesisResult) -> Values | None:
    """Return the mean absolute drop of each split on other views than the own."""
    drops = np.abs(result.drops())
    others = drops[:, ~result.own_cells]
    others = others[:, np.isfinite(others).all(axis=0)]
    return others.mean(axis=1) if others.size else None


def _with_interval(values: Values) -> dict[str, Any]:
    mean, std = float(values.mean()), spread(values)
    interval = None
    if std is not None:
        half = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * std
        half /= math.sqrt(len(values))
        interval = [mean - half, mean + half]
    return {"mean": mean, "std": std, "interval": interval}


def _ratio(
    corruption: Values, isp: Values, columns: Values, names: tuple[str, ...]
) -> dict[str, Any] | None:
    below = float(isp.mean())
    if below == 0:
        return None
    value = float(corruption.mean()) / below
    without = None
    if len(names) > 1:
        rest = [float(np.delete(columns, i, axis=1).mean()) / below for i in range(len(names))]
        most = int(np.argmax(np.abs(np.array(rest) - value)))
        without = {"corruption": names[most], "mean": rest[most]}
    return {"mean": value, "interval": fieller(corruption, isp), "without": without}


def _kendall(result: SynthesisResult, drops: Values) -> dict[str, Any] | None:
    """Rank the models by their score on other views, and by that under corruptions."""
    grid = result.grid().mean(axis=0)
    others = ~result.own_cells
    if len(result.train_views) < 3 or others.sum(axis=1).min() == 0:
        return None
    on_views = np.array([row[other].mean() for row, other in zip(grid, others, strict=True)])
    under = result.own_scores().mean(axis=0) - drops.mean(axis=(0, 2))
    found = stats.kendalltau(on_views, under)
    if not math.isfinite(found.statistic):
        return None
    return {
        "tau": float(found.statistic),
        "p": float(found.pvalue),
        "n_models": len(result.train_views),
    }
