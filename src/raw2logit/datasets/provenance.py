"""Where the files of a data set come from, by the records that lie beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raw2logit.datasets.base import MANIFEST, REDUCED, intensity_folder
from raw2logit.datasets.download import DOWNLOADED, DataFile, read_manifest
from raw2logit.datasets.drone import FRAMES, TILES, TILING
from raw2logit.datasets.findings import Findings, Origin
from raw2logit.datasets.microscopy import IMAGES
from raw2logit.errors import InputError
from raw2logit.sensor import INTENSITIES


@dataclass(frozen=True)
class Provenance:
    """What made a data set.

    Attributes:
        origin: What made most of it.
        mend: How to get what is missing or broken.
        options: Of the generator, source of the download, or task of folder:PATH.
        files: What was downloaded.
        tiled: Whether its tiles were cut by ``raw2logit data tile``.
        legible: Whether all records can be read; the loaders stop at one that cannot.
    """

    origin: Origin
    mend: str
    options: dict[str, Any] = field(default_factory=dict)
    files: tuple[DataFile, ...] = ()
    tiled: bool = False
    legible: bool = True


def read_provenance(kind: str, root: Path, found: Findings) -> Provenance:
    """Read the records of ``root/kind``.

    Args:
        kind: ``microscopy`` or ``drone``.
        root: Where data sets lie.
        found: Takes what is wrong with them.
    """
    folder = root / kind
    origin: Origin = "unknown"
    options: dict[str, Any] = {}
    files: tuple[DataFile, ...] = ()
    command = f"raw2logit data download {kind} --root"
    mend = f"copy the files anew, or get the published ones with `{command} DIR` in another DIR"
    if (folder / MANIFEST).is_file():
        origin = "generated"
        options = _read(folder / MANIFEST, {"count": int, "size": int, "seed": int}, found)
        command = f"raw2logit data generate {kind} --root {root}"
        reduced = _reduced(folder, found)
        words = _options(folder, options, without=reduced)
        mend = f"take broken files away, then repeat `{command}{words}`"
        if reduced:
            values = " ".join(f"{value:g}" for value in reduced)
            command = f"raw2logit data intensities {root} --data {kind} --intensity {values}"
            mend += f"; lower intensities come from `{command}`"
    elif (folder / DOWNLOADED).is_file():
        origin = "downloaded"
        try:
            if manifest := read_manifest(folder):
                options = {"source": manifest.source, "doi": manifest.doi}
                files = manifest.files
                if not all(isinstance(file.path, str) for file in files):
                    files = ()
                    raise InputError(f"{folder / DOWNLOADED}: broken (a path is no text)")
        except InputError as error:
            found.problem("unreadable", folder / DOWNLOADED, str(error).partition(": ")[2])
        mirror = f" --from {options['source']}" if options and options["doi"] is None else ""
        mend = f"take broken files away, then repeat `{command} {root}{mirror}`"
    tiled = (folder / TILING).is_file()
    if tiled:
        cut = _read(folder / TILING, {"options": dict}, found).get("options", {})
        command = f"raw2logit data tile {root}" + "".join(f" --{k} {v}" for k, v in cut.items())
        mend += f"; tiles come from `{command}`"
    return Provenance(origin, mend, options, files, tiled, legible=not found.problems)


def _reduced(folder: Path, found: Findings) -> list[float]:
    """Return the intensities that were made from the full one."""
    if not (folder / REDUCED).is_file():
        return []
    values = _read(folder / REDUCED, {"intensities": list}, found).get("intensities", [])
    return [value for value in values if value in INTENSITIES]


def _options(folder: Path, options: dict[str, Any], without: list[float]) -> str:
    """Return the options that the call of the generator had."""
    words = [f"--{name} {value}" for name, value in options.items()]
    folders = {v: intensity_folder(v) for v in INTENSITIES if v not in without}
    places = (folder / IMAGES, folder / TILES, folder / FRAMES)
    there = [v for v, name in folders.items() if any((place / name).is_dir() for place in places)]
    if there not in ([], [1.0]):
        words.append("--intensity " + " ".join(f"{value:g}" for value in there))
    if (folder / FRAMES).is_dir():
        words.append("--frames")
    return "".join(f" {word}" for word in words)


def _read(path: Path, types: dict[str, type], found: Findings) -> dict[str, Any]:
    """Return the content of a record; empty: it is broken, and a problem."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("no names and values")
        for name, kind in types.items():
            if not isinstance(content.get(name), kind):
                raise TypeError(f"{name} is {content.get(name)!r}")
    except (TypeError, ValueError, RecursionError) as error:
        found.problem("unreadable", path, f"broken ({error})")
        return {}
    return content
