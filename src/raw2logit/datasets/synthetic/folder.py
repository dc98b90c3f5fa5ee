"""The folder of a generated data set: its options are checked, and nothing else is overwritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raw2logit.datasets.base import MANIFEST, REDUCED, intensity_folder, read_options
from raw2logit.errors import InputError
from raw2logit.files import write_text
from raw2logit.parallel import check_workers


def check_options(
    count: int, size: int, seed: int, intensities: Sequence[float], workers: int | None
) -> None:
    """Raise `InputError` for options that no generator could follow."""
    if count < 1:
        raise InputError(f"--count must be at least 1, got {count}")
    if size % 2 or not 32 <= size <= 512:
        raise InputError(f"--size must be even and from 32 to 512, got {size}")
    if seed < 0:
        raise InputError(f"--seed must be at least 0, got {seed}")
    check_workers(workers)
    if not intensities:
        raise InputError("--intensity needs at least one value")
    for intensity in intensities:
        intensity_folder(intensity)


def claim(folder: Path, options: dict[str, Any], intensities: Sequence[float]) -> Path:
    """Mark a folder as generated with these options, or refuse it: data is never overwritten."""
    if (folder / REDUCED).is_file() and any(value != 1 for value in intensities):
        raise InputError(
            f"{folder}: its lower intensities were made by `raw2logit data intensities`: repeat "
            "that one, or generate in another --root"
        )
    manifest = folder / MANIFEST
    if manifest.is_file():
        made = read_options(manifest)
        if made != options:
            raise InputError(
                f"{folder}: holds a data set generated with {_show(made)}, not {_show(options)}: "
                "choose another --root, or delete the folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            f"{folder}: holds data that was not generated: choose another --root, so that "
            "nothing is overwritten"
        )
    else:
        write_text(manifest, json.dumps(options, indent=2) + "\n")
    return folder


def _show(options: dict[str, Any]) -> str:
    return " ".join(f"--{key} {value}" for key, value in options.items())
