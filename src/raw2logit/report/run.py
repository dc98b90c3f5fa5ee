"""The folder of a run: resolved configuration, measured values, provenance."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from raw2logit.datasets import Split
from raw2logit.datasets.splits import SPLITS_FILE, write_splits
from raw2logit.files import write_text
from raw2logit.lab.record import CONFIG_FILE
from raw2logit.tasks.evaluation import Measurement
from raw2logit.tasks.training import LoadedData

_PACKAGES = ("raw2logit", "torch", "torchvision", "lightning", "numpy")


def write_run(
    folder: Path,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    measurements: Sequence[Measurement],
    splits: Sequence[Split],
    data: LoadedData,
) -> list[Path]:
    """Write the options, values, figures and splits, each file complete or not at all.

    Args:
        folder: The run's folder.
        config: Resolved options: plain values.
        summary: Final figures: plain values.
        measurements: Rows of ``results.csv``.
        splits: The parts that were used.
        data: What they are parts of; its fingerprint is kept in ``results.json``.

    Returns:
        ``config.yaml``, ``results.csv``, ``results.json`` and ``splits.json``.
    """
    config_file = write_config(folder, config)
    buffer = io.StringIO()
    names = [field.name for field in dataclasses.fields(Measurement)]
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in measurements)
    table = write_text(folder / "results.csv", buffer.getvalue())
    results = {
        **summary,
        "data_fingerprint": data.fingerprint,
        "versions": versions(),
    }
    figures = write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    parts = write_splits(folder / SPLITS_FILE, data.dataset, splits)
    return [config_file, table, figures, parts]


def write_config(folder: Path, config: Mapping[str, Any]) -> Path:
    """Write the resolved options of a run, plain values, as ``config.yaml``."""
    return write_text(folder / CONFIG_FILE, yaml.safe_dump(dict(config), sort_keys=False))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def provenance(config: Mapping[str, Any], fingerprint: str) -> dict[str, str]:
    """Return what a reader needs to make the run again, as rows of a report."""
    rows = {name.replace("_", " "): _text(value) for name, value in config.items()}
    rows["data fingerprint"] = fingerprint
    rows["versions"] = ", ".join(f"{name} {number}" for name, number in versions().items())
    rows["machine"] = f"{platform.system()} {platform.machine()}"
    rows["date"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return rows


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "  ".join(str(item) for item in value)
    return str(value)
