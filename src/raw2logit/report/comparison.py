"""The section of a synthesis report that puts corruptions beside the drift of the ISP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raw2logit.drift.synthesis import SynthesisResult
from raw2logit.report.common import METRIC_NAMES, NOTHING, SHARES, difference
from raw2logit.report.figures import learning_curves
from raw2logit.report.html import Picture, Section, Table

OF_CORRUPTIONS = (
    "How strong a corruption is against a change of the ISP depends on its severity, which nobody "
    "measured in the same unit: their ratio compares two choices, not two dangers.",
    "The mean of absolute drops is above zero even where nothing but chance moves the scores.",
)


def corruption_section(result: SynthesisResult, comparison: Mapping[str, Any]) -> Section:
    """Return the section.

    Args:
        result: What was measured, under corruptions too.
        comparison: Of it, see `raw2logit.drift.comparison.compare`.
    """
    tests = result.corruption_tests
    metric = METRIC_NAMES[result.primary_metric]
    return Section(
        "Corruptions",
        "The same task models, each on the view that it was trained on, corrupted afterwards as in "
        f"ImageNet-C (constants {tests.constants}). Corruptions change a finished picture; another "
        "ISP changes how it is made.",
        figures=[
            Picture(
                _curves(result, metric),
                caption=f"Mean drop in {metric} over task models; the band is the standard "
                "deviation over splits.",
                alt=f"Drop in {metric} over severities",
            )
        ]
        if len(tests.severities) > 1
        else [],
        tables=[_headline(result, comparison), _drops(result)],
    )


def _curves(result: SynthesisResult, metric: str) -> Any:  # noqa: ANN401 - a figure
    tests = result.corruption_tests
    share = result.primary_metric in SHARES
    drops = result.corruption_drops().mean(axis=1) * (100 if share else 1)
    order = np.argsort(tests.severities)
    steps = [tests.severities[place] for place in order]
    return learning_curves(
        {
            name.replace("_", " "): [
                (steps, drops[split, column, order]) for split in range(len(drops))
            ]
            for column, name in enumerate(tests.names)
        },
        f"drop in {metric}{', points' * share}",
        xlabel="Severity",
    )


def _headline(result: SynthesisResult, comparison: Mapping[str, Any]) -> Table:
    key = result.primary_metric
    rows = [
        ["mean absolute drop, corruptions", *_value(key, comparison["corruption_drop"])],
        ["mean absolute drop, other views", *_value(key, comparison["isp_drop"])],
    ]
    if ratio := comparison["ratio"]:
        rows.append(["ratio of the two", f"{ratio['mean']:.2f}", _range(ratio["interval"])])
        if without := ratio["without"]:
            name = without["corruption"].replace("_", " ")
            rows.append([f"the same without {name}", f"{without['mean']:.2f}", NOTHING])
    if kendall := comparison["kendall"]:
        rows.append(
            [
                f"Kendall's tau of the two rankings of {kendall['n_models']} models",
                f"{kendall['tau']:.2f}",
                f"p = {kendall['p']:.2g}",
            ]
        )
    return Table(
        [f"severity {comparison['severity']}", "mean", "95 % interval"],
        rows,
        caption="Intervals over splits; a ratio's by Fieller's theorem, and a dash where its "
        "denominator may be zero. The corruption left out is the one that moves the ratio most.",
        align="lrr",
    )


def _value(key: str, found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return [NOTHING, NOTHING]
    interval = found["interval"]
    ends = NOTHING if interval is None else " to ".join(difference(key, end) for end in interval)
    return [difference(key, found["mean"], found["std"]), ends]


def _range(interval: list[float] | None) -> str:
    return NOTHING if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _drops(result: SynthesisResult) -> Table:
    """Return the drop of each model under each corruption at the severity of the headline."""
    tests = result.corruption_tests
    drops = result.corruption_drops()[..., tests.severities.index(tests.headline)]
    mean = drops.mean(axis=0)
    std = drops.std(axis=0, ddof=1) if len(drops) > 1 else np.full(mean.shape, np.nan)
    rows = [
        [
            name.replace("_", " "),
            *(
                difference(
                    result.primary_metric,
                    float(mean[row, column]),
                    float(std[row, column]) if np.isfinite(std[row, column]) else None,
                )
                for row in range(len(result.train_views))
            ),
        ]
        for column, name in enumerate(tests.names)
    ]
    return Table(
        ["corruption", *result.train_views],
        rows,
        caption=f"Drop in {METRIC_NAMES[result.primary_metric]} at severity {tests.headline}, of "
        "the model trained on each view (columns)",
        align="l" + "r" * len(result.train_views),
    )
