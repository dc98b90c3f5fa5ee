"""The report of a drift synthesis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raw2logit.drift.synthesis import SynthesisResult
from raw2logit.isp import static_pipeline
from raw2logit.report import common
from raw2logit.report.common import METRIC_NAMES, NOTHING, percent, points
from raw2logit.report.figures import difference_strip, drift_heatmap, drop_heatmap, save_png
from raw2logit.report.html import Picture, Report, Section, Table, write_report
from raw2logit.report.run import provenance, write_run
from raw2logit.tasks.training import LoadedData

_N_SAMPLES = 4
_VISIBLE_DROP = 0.05


def report_synthesis(
    result: SynthesisResult, data: LoadedData, config: Mapping[str, Any], folder: Path
) -> Path:
    """Write everything that a synthesis leaves behind.

    Args:
        result: What was measured.
        data: What it was measured on.
        config: Resolved options.
        folder: Gets ``config.yaml``, ``results.csv``, ``results.json``, three figures as PNG and
            ``report.html``.

    Returns:
        The path of ``report.html``.
    """
    summary = result.summary()
    write_run(folder, config, summary, result.measurements, result.splits)
    metric = METRIC_NAMES[result.primary_metric]
    grid, drops = result.grid(), result.drops()
    several = len(grid) > 1
    views = (result.train_views, result.test_views)
    heat = drift_heatmap(
        grid.mean(axis=0), grid.std(axis=0, ddof=1) if several else None, *views, metric
    )
    drop = drop_heatmap(
        grid.mean(axis=0), drops.std(axis=0, ddof=1) if several else None, *views, metric
    )
    shown = tuple(dict.fromkeys([*result.train_views, *result.test_views]))
    pipelines = {view: static_pipeline(data.dataset.camera, view) for view in shown}
    samples = common.pick_samples(data, result.splits[0].test, _N_SAMPLES)
    gallery = common.gallery(data, pipelines, samples)
    difference = difference_strip(shown[0], common.make_views(pipelines, data.raw[samples[0]]))
    curves = common.curves(result.histories, result.primary_metric)
    for name, figure in (("heatmap", heat), ("drop", drop), ("views", gallery)):
        save_png(figure, folder / f"{name}.png")
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
                figures=[
                    Picture(gallery, caption=common.GALLERY_CAPTION),
                    Picture(
                        difference,
                        caption=f"What the other views change against {shown[0]}, times the factor "
                        "in the title: the drift itself.",
                        alt="Differences between views",
                    ),
                ],
            ),
            Section(
                f"Train \u00d7 test: {metric}",
                "One row for each view that a task model was trained on, one column for each view "
                "that it was tested on. Outlined cells have no drift.",
                figures=[
                    Picture(heat, caption=_spread_caption(result), alt=f"Heat map of {metric}"),
                    Picture(
                        drop,
                        caption="The same as drop from the outlined cell of its row, in points; "
                        "paired split by split.",
                        alt=f"Heat map of drops in {metric}",
                    ),
                ],
                tables=[_table(result, name) for name in _metrics(result)],
            ),
            Section(
                "Training",
                "How the task models learned, each on its own view.",
                figures=[Picture(curves, caption=common.CURVES_CAPTION)],
                tables=[common.parts_table(result.splits, result.baselines, data)],
            ),
        ],
        not_controlled=common.not_controlled(result.splits, data),
        provenance=provenance(config, data.fingerprint),
    )
    return write_report(report, folder / "report.html")


def _verdict(
    summary: Mapping[str, Any], metric: str, n_splits: int
) -> tuple[str, str, Literal["neutral", "good", "caution", "bad"]]:
    own, worst = summary["own_view"], summary["worst"]
    if worst is None or own["mean"] is None:
        return "No cell with drift was measured.", "Name at least two views to test on.", "neutral"
    spread = f" (mean and standard deviation of {n_splits} splits)" if n_splits > 1 else ""
    detail = (
        f"Trained on {worst['train_view']}, tested on {worst['test_view']}: {metric} falls by "
        f"{points(worst['drop_mean'], worst['drop_std'])} to "
        f"{percent(worst['mean'], worst['std'])}{spread}. Own view: "
        f"{percent(own['mean'], own['std'])}."
    )
    if worst["drop_mean"] < _VISIBLE_DROP:
        return "Every view keeps the task model within 5 points.", detail, "good"
    return (
        f"Another pipeline costs this task model up to {points(worst['drop_mean'])} of {metric}.",
        detail,
        "bad" if worst["drop_mean"] > 2 * _VISIBLE_DROP else "caution",
    )


def _cards(summary: Mapping[str, Any], metric: str) -> list[tuple[str, str, str]]:
    worst = summary["worst"]
    blind = summary["blind_baseline"]
    return [
        (
            f"{metric}, own view",
            percent(summary["own_view"]["mean"]),
            f"spread over splits {points(summary['own_view']['std'])}",
        ),
        (
            "mean drop, other views",
            points(summary["mean_drop"]["mean"]),
            f"spread over splits {points(summary['mean_drop']['std'])}",
        ),
        (
            "worst drop",
            points(worst["drop_mean"]) if worst else NOTHING,
            f"{worst['train_view']} \u2192 {worst['test_view']}" if worst else "one view only",
        ),
        ("without looking at the image", percent(blind["mean"]), "a blind model's score"),
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
                percent(float(m), float(s) if np.isfinite(s) else None)
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
