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
from raw2logit.files import write_text
from raw2logit.tasks.evaluation import Measurement

_PACKAGES = ("raw2logit", "torch", "torchvision", "lightning", "numpy")


def write_run(
    folder: Path,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    measurements: Sequence[Measurement],
    splits: Sequence[Split],
    *,
    fingerprint: str,
) -> list[Path]:
    """Write ``config.yaml``, ``results.csv`` and ``results.json``, each complete or not at all.

    Args:
        folder: The run's folder.
        config: Resolved options: plain values.
        summary: Final figures: plain values.
        measurements: Rows of ``results.csv``.
        splits: Sample indices of every part, kept in ``results.json``.
        fingerprint: Of the data, kept in ``results.json``.

    Returns:
        The three files.
    """
    config_file = write_text(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
    buffer = io.StringIO()
    names = [field.name for field in dataclasses.fields(Measurement)]
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in measurements)
    table = write_text(folder / "results.csv", buffer.getvalue())
    results = {
        **summary,
        "data_fingerprint": fingerprint,
        "versions": versions(),
        "splits": [dataclasses.asdict(split) for split in splits],
    }
    figures = write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    return [config_file, table, figures]


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
