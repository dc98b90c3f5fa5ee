"""The report of a drift synthesis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raw2logit.drift.comparison import compare
from raw2logit.drift.synthesis import SynthesisResult
from raw2logit.isp import static_pipeline
from raw2logit.report import common
from raw2logit.report.common import METRIC_NAMES, NOTHING, SHARES, difference, score
from raw2logit.report.comparison import OF_CORRUPTIONS, corruption_section
from raw2logit.report.figures import difference_strip, drift_heatmap, drop_heatmap, save_png
from raw2logit.report.html import Picture, Report, Section, Table, write_report
from raw2logit.report.run import provenance, write_run
from raw2logit.tasks.training import LoadedData

_N_SAMPLES = 4
_WORST_CELL = [
    "The worst cell was picked after all were measured, so its drop is a maximum and tends to be "
    "too large."
]
_VISIBLE_DROP = 0.05
_LEARNED_MARGIN = 0.05
"""Below this much over the blind score, a task model has not learned."""


def report_synthesis(
    result: SynthesisResult, data: LoadedData, config: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write everything that a synthesis leaves behind.

    Args:
        result: What was measured.
        data: What it was measured on.
        config: Resolved options.
        folder: Gets ``config.yaml``, ``results.csv``, ``results.json``, ``splits.json``, three
            figures as PNG and ``report.html``.

    Returns:
        The files that were written, ``report.html`` first.
    """
    summary = result.summary()
    if comparison := compare(result):
        summary["comparison"] = comparison
    measured = [*result.measurements, *result.corrupted]
    files = write_run(folder, config, summary, measured, result.splits, data)
    metric = METRIC_NAMES[result.primary_metric]
    grid, drops = result.grid(), result.drops()
    several = len(grid) > 1
    views = (result.train_views, result.test_views)
    share = result.primary_metric in SHARES
    heat = drift_heatmap(
        grid.mean(axis=0),
        grid.std(axis=0, ddof=1) if several else None,
        *views,
        metric,
        percent=share,
    )
    drop = drop_heatmap(
        grid.mean(axis=0),
        drops.std(axis=0, ddof=1) if several else None,
        *views,
        metric,
        percent=share,
        least_reach=_VISIBLE_DROP,
    )
    shown = tuple(dict.fromkeys([*result.train_views, *result.test_views]))
    pipelines = {view: static_pipeline(data.dataset.camera, view) for view in shown}
    samples = common.pick_samples(data, result.splits[0].test, _N_SAMPLES)
    gallery = common.gallery(data, pipelines, samples)
    pictures = [Picture(gallery, caption=common.GALLERY_CAPTION)]
    if len(shown) > 1:
        strip = difference_strip(shown[0], common.make_views(pipelines, data.raw[samples[0]]))
        pictures.append(
            Picture(
                strip,
                caption=f"What the other views change against {shown[0]}, times the factor in the "
                "title: the drift itself.",
                alt="Differences between views",
            )
        )
    curves = common.curves(result.histories, result.primary_metric)
    for name, figure in (("heatmap", heat), ("drop", drop), ("views", gallery)):
        files.append(save_png(figure, folder / f"{name}.png"))
    verdict, detail, tone = _verdict(summary, metric, len(result.splits))
    report = Report(
        title="Drift synthesis report",
        subtitle=f"{data.dataset.name}: {len(data.raw)} raw images, "
        f"{len(result.train_views)} training views, {len(result.test_views)} test views, "
        f"{len(result.splits)} splits",
        verdict=verdict,
        verdict_detail=detail,
        tone=tone,
        summary_cards=_cards(summary, metric),
        sections=[
            Section(
                "What the task model sees",
                "The same raw sensor data, processed by each view. A view is named by its "
                "demosaicing (bi bilinear, ma Malvar 2004, me Menon 2007), sharpening (s filter, "
                "u unsharp mask) and denoising (me median, ga gaussian).",
                figures=pictures,
            ),
            Section(
                f"Train \u00d7 test: {metric}",
                "One row for each view that a task model was trained on, one column for each view "
                "that it was tested on. Outlined cells have no drift.",
                figures=[
                    Picture(heat, caption=_spread_caption(result), alt=f"Heat map of {metric}"),
                    Picture(
                        drop,
                        caption="The same as drop from the outlined cell of its row"
                        f"{', in points' * share}; paired split by split.",
                        alt=f"Heat map of drops in {metric}",
                    ),
                ],
                tables=[_table(result, name) for name in _metrics(result)],
            ),
            *([corruption_section(result, comparison)] if comparison else []),
            Section(
                "Training",
                "How the task models learned, each on its own view.",
                figures=[Picture(curves, caption=common.CURVES_CAPTION)],
                tables=[common.parts_table(result.splits, result.baselines, data)],
            ),
        ],
        not_controlled=[
            *_WORST_CELL,
            *(OF_CORRUPTIONS if comparison else ()),
            *common.not_controlled(result.splits, data),
        ],
        provenance=provenance(config, data.fingerprint),
    )
    return [write_report(report, folder / "report.html"), *files]


def _verdict(
    summary: Mapping[str, Any], metric: str, n_splits: int
) -> tuple[str, str, Literal["neutral", "good", "caution", "bad"]]:
    worst, key = summary["worst"], summary["metric"]
    weakest = min(summary["margins"], key=summary["margins"].__getitem__)
    if summary["margins"][weakest] < _LEARNED_MARGIN:
        return (
            "Nothing can be read from this: a task model did not learn.",
            f"Trained and tested on {weakest}, it is "
            f"{difference(key, summary['margins'][weakest])} of {metric} above what can be had "
            "without looking at the image. Train longer (--epochs) or on more images.",
            "caution",
        )
    if worst is None:
        return (
            "One view, no drift measured.",
            "Name a second view to test on (--test-views).",
            "neutral",
        )
    change = "falls" if worst["drop_mean"] >= 0 else "rises"
    spread = f" Mean \u00b1 standard deviation of {n_splits} splits." if n_splits > 1 else ""
    detail = (
        f"The worst of {summary['n_drift_cells']} cells: trained on {worst['train_view']}, tested "
        f"on {worst['test_view']}, {metric} {change} by "
        f"{difference(key, abs(worst['drop_mean']), worst['drop_std'])}, from "
        f"{score(key, worst['own_mean'], worst['own_std'])} to "
        f"{score(key, worst['mean'], worst['std'])}.{spread}"
    )
    if worst["drop_mean"] >= _VISIBLE_DROP:
        return (
            f"Another pipeline costs a task model up to {difference(key, worst['drop_mean'])} of "
            f"{metric}.",
            detail,
            "bad" if worst["drop_mean"] > 2 * _VISIBLE_DROP else "caution",
        )
    visible = "5 points" if key in SHARES else f"{_VISIBLE_DROP:g} of {metric}"
    if worst["drop_std"] is None or worst["drop_mean"] + worst["drop_std"] >= _VISIBLE_DROP:
        return (
            f"No drop of {visible} was seen, but too few splits say so.",
            detail + " Repeat with --splits 5.",
            "neutral",
        )
    return f"Every view keeps every task model within {visible}.", detail, "good"


def _cards(summary: Mapping[str, Any], metric: str) -> list[tuple[str, str, str]]:
    worst = summary["worst"]
    blind = summary["blind_baseline"]
    key = summary["metric"]
    return [
        (
            f"{metric}, own view",
            score(key, summary["own_view"]["mean"]),
            "mean over training views; spread over splits "
            f"{difference(key, summary['own_view']['std'])}",
        ),
        (
            "mean drop, other views",
            difference(key, summary["mean_drop"]["mean"]),
            f"spread over splits {difference(key, summary['mean_drop']['std'])}",
        ),
        (
            "worst drop",
            difference(key, worst["drop_mean"]) if worst else NOTHING,
            f"{worst['train_view']} \u2192 {worst['test_view']}" if worst else "one view only",
        ),
        ("blind score", score(key, blind["mean"]), "the most without looking at the image"),
    ]


def _metrics(result: SynthesisResult) -> list[str]:
    return list(dict.fromkeys(row.metric for row in result.measurements))


def _table(result: SynthesisResult, metric: str) -> Table:
    grid = result.grid(metric)
    mean = grid.mean(axis=0)
    std = grid.std(axis=0, ddof=1) if len(grid) > 1 else np.full(mean.shape, np.nan)
    rows = [
        [
            view,
            *(
                score(metric, float(m), float(s) if np.isfinite(s) else None)
                for m, s in zip(mean[row], std[row], strict=True)
            ),
        ]
        for row, view in enumerate(result.train_views)
    ]
    return Table(
        ["trained on", *result.test_views],
        rows,
        caption=f"{METRIC_NAMES[metric]} on each test view (columns)",
        align="l" + "r" * len(result.test_views),
    )


def _spread_caption(result: SynthesisResult) -> str:
    if len(result.splits) == 1:
        return "One split: no spread can be given."
    return f"Mean and standard deviation over {len(result.splits)} splits."
