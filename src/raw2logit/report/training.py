"""The report of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from raw2logit.isp import FAMILIES, Pipeline, static_pipeline
from raw2logit.report import common
from raw2logit.report.common import METRIC_NAMES, score
from raw2logit.report.figures import save_png
from raw2logit.report.html import Picture, Report, Section, Table, write_report
from raw2logit.report.run import provenance, write_run
from raw2logit.tasks.runs import ATTACKED, TrainingResult
from raw2logit.tasks.training import FROM_SCRATCH, LoadedData

_N_SAMPLES = 4
_OF_ATTACKS = (
    "An attack by gradient finds a bad pipeline, not the worst one; how bad, depends on its "
    "learning rate, its epochs and the weight of the distance.",
    "The attacking pipeline was learned on the training part, and was chosen on the validation "
    "part.",
)
_OF_GIVEN_MODELS = (
    "The training began at models of another run. If that was trained on images of these test "
    "parts, scores are too high: take its splits with --splits-from."
)


def report_training(
    result: TrainingResult, data: LoadedData, config: Mapping[str, Any], folder: Path
) -> list[Path]:
    """Write everything that a training leaves behind beside its models.

    Args:
        result: What was measured.
        data: What it was measured on.
        config: Resolved options.
        folder: Gets ``config.yaml``, ``results.csv``, ``results.json``, ``splits.json``, figures
            and ``report.html``.

    Returns:
        The files that were written, ``report.html`` first.
    """
    metrics = result.metrics()
    task = result.tasks[0]
    primary = task.primary_metric
    attacked = task.attack is not None
    learned = attacked or config["pipeline"] == "parametrized"
    default = _before(result, data, learned=learned)
    summary: dict[str, Any] = {"metric": primary, "metrics": metrics}
    if attacked:
        summary["metrics_before_attack"] = result.metrics(result.view)
    if learned:
        summary["pipeline"] = [_natural_parameters(task.pipeline) for task in result.tasks]
    files = write_run(folder, config, summary, result.measurements, result.splits, data)
    curves = common.curves({result.view: [task.history for task in result.tasks]}, primary)
    pipelines = {} if default is None else {result.view: default}
    if learned:
        pipelines[ATTACKED if attacked else "learned"] = task.pipeline.eval()
    samples = common.pick_samples(data, result.splits[0].test, _N_SAMPLES)
    gallery = common.gallery(data, pipelines, samples)
    for name, picture in (("curves", curves), ("views", gallery)):
        files.append(save_png(picture, folder / f"{name}.png"))
    name = METRIC_NAMES[primary]
    name = name.capitalize() if name.islower() else name
    mean, std = metrics[primary]["mean"], metrics[primary]["std"]
    baseline = sum(result.baselines) / len(result.baselines)
    by_image = data.dataset.group_noun == "image" or common.leaks(result.splits, data)
    verdict = f"{name} on held-out {'images' if by_image else 'groups'}: "
    if attacked:
        before = result.metrics(result.view)[primary]
        verdict += f"{score(primary, before['mean'], before['std'])}, attacked: "
    verdict += score(primary, mean, std)
    sections = [
        Section(
            "What the task model sees", figures=[Picture(gallery, caption=common.GALLERY_CAPTION)]
        ),
        Section(
            "Training",
            figures=[Picture(curves, caption=common.CURVES_CAPTION)],
            tables=[
                Table(
                    ["metric on the test parts", "mean", "per split"],
                    [
                        [
                            METRIC_NAMES[metric] + (f", {shown}" if attacked else ""),
                            score(metric, numbers["mean"], numbers["std"]),
                            "  ".join(
                                score(metric, row.value)
                                for row in result.measurements
                                if (row.metric, row.test_view) == (metric, shown)
                            ),
                        ]
                        for shown in result.shown
                        for metric, numbers in result.metrics(shown).items()
                    ],
                    align="lrl",
                ),
                common.parts_table(result.splits, result.baselines, data),
            ],
        ),
    ]
    if learned and default is not None and _natural_parameters(default):
        title = "The attacking pipeline" if attacked else "The learned pipeline"
        sections.append(Section(title, tables=[_parameter_table(result, default)]))
    report = Report(
        title="Training report",
        subtitle=f"{data.dataset.name}: {len(data.raw)} raw images, view {result.view}, "
        f"{'attacking' if attacked else config['pipeline']} pipeline, {len(result.splits)} "
        "split(s)",
        verdict=verdict,
        verdict_detail=f"A model that never looks at the image: {score(primary, baseline)}.",
        sections=sections,
        not_controlled=[
            *common.not_controlled(result.splits, data),
            *(_OF_ATTACKS if attacked else ()),
            *((_OF_GIVEN_MODELS,) if result.start != FROM_SCRATCH else ()),
        ],
        provenance=provenance(config, data.fingerprint),
    )
    return [write_report(report, folder / "report.html"), *files]


def _before(result: TrainingResult, data: LoadedData, *, learned: bool) -> Pipeline | None:
    """Return the pipeline before it learned; None if that was a network of random weights."""
    task = result.tasks[0]
    if task.attack is not None:
        return task.attack.default
    if not learned:
        return task.pipeline
    if result.start.pipeline is not None or result.view == "neural":
        return result.start.pipeline
    return static_pipeline(data.dataset.camera, result.view)


def _natural_parameters(pipeline: Pipeline) -> dict[str, list[float]]:
    """Return each step's parameters in natural units, flattened; not the weights of a network."""
    values: dict[str, list[float]] = {}
    for family, step in pipeline.named_steps():
        if step.family not in FAMILIES:
            continue
        for name, parameter in step.named_parameters():
            natural: Tensor = parameter.exp() if name.startswith("log_") else parameter
            label = f"{family}.{name.removeprefix('log_')}"
            values[label] = [float(value) for value in natural.detach().flatten()]
    return values


def _parameter_table(result: TrainingResult, default: Pipeline) -> Table:
    start = _natural_parameters(default)
    end = _natural_parameters(result.tasks[0].pipeline)
    rows = []
    for name, values in start.items():
        if len(end.get(name, [])) != len(values):
            continue  # the training began at a pipeline of other steps
        change = max(abs(a - b) for a, b in zip(values, end[name], strict=True))
        rows.append([name, _few(values), _few(end[name]), f"{change:.2g}"])
    return Table(
        ["parameter", "start", "learned", "largest change"],
        rows,
        caption="Natural units, first split; long kernels are cut after four values.",
        align="lllr",
    )


def _few(values: list[float]) -> str:
    text = "  ".join(f"{value:.4g}" for value in values[:4])
    return f"{text} …" if len(values) > 4 else text
