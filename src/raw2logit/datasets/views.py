"""A data set through the pipelines: every view of every raw image as PNG.

``views.json`` comes first and says what the folder is for: the bits, the camera (of each file,
where they bring their own), the versions and the SHA-256 of every source file. ``views.csv`` comes
last, with a row for every PNG.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from raw2logit import __version__
from raw2logit.camera import Camera
from raw2logit.datasets.base import RawDataset, intensity_folder
from raw2logit.datasets.drone import CLASSIFICATION
from raw2logit.datasets.tile_table import write_csv
from raw2logit.errors import InputError
from raw2logit.files import (
    find_leftovers,
    remove_leftovers,
    sha256_of,
    write_bytes,
    write_text,
)
from raw2logit.images import Bits, encode_png
from raw2logit.isp import VIEWS, Pipeline, parse_views, static_pipeline
from raw2logit.parallel import check_workers, run_in_order
from raw2logit.progress import Progress, silent

VIEWS_FOLDER = "views"
RECORD = "views.json"
TABLE = "views.csv"


class ViewRow(NamedTuple):
    """What made a PNG: a row of ``views.csv``.

    Attributes:
        file: The PNG, relative to the table.
        sha256: Of the PNG.
        view: Its code.
        bits: Of a channel.
        source: The raw file, relative to the table.
        source_sha256: Of the raw file.
        camera: Name; ``views.json`` has its constants.
        raw2logit: Version.
    """

    file: str
    sha256: str
    view: str
    bits: str
    source: str
    source_sha256: str
    camera: str
    raw2logit: str


def views_folder(name: str, root: Path, intensity: float) -> Path:
    """Return where the views of a data set lie unless another place is named.

    Args:
        name: ``microscopy``, ``drone`` or ``drone-classification``.
        root: Where data sets lie.
        intensity: Exposure relative to full.
    """
    kind, _, classification = name.partition("-")
    folder = root / kind / CLASSIFICATION if classification else root / kind
    return folder / VIEWS_FOLDER / intensity_folder(intensity)


def write_views(
    dataset: RawDataset,
    folder: Path,
    *,
    views: Sequence[str] = VIEWS,
    bits: Bits = 8,
    workers: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Write views of every raw image to ``<folder>/<view>/<name>.png``, as the pipelines make them.

    Each image goes through a pipeline of its file's own camera, as in `raw2logit process`.

    The comma of a view's code is a dash in its folder's name. An image has the name of its file;
    files that lie in several folders keep those, and files that share a stem their suffix.

    A killed call can be repeated, and ends with the same bytes whatever the number of workers.
    What it finds is kept: ``views.json`` tells that it was made from the same files by the same
    options, and PNGs appear whole or not at all. One that ``views.csv`` knows otherwise is made
    anew. Further views may join. One call at a time may write into a folder.

    Args:
        dataset: Images and camera.
        folder: To make.
        views: Codes, or ``all``.
        bits: Of a channel.
        workers: Processes; None: one a core.
        progress: Told the PNGs that are done after every image.

    Returns:
        `folder`.

    Raises:
        InputError: An option makes no sense, a raw file is broken, or the folder holds something
            else.
        MissingDataError: A raw file is not there.
    """
    chosen = parse_views(views)
    check_workers(workers)
    for view in chosen:
        static_pipeline(dataset.camera, view)  # before the first file, if it cannot be built
    cameras = [dataset.camera_of(index) for index in range(len(dataset))]
    indexes = {name: index for index, name in enumerate(dataset.sample_names())}
    sources = {name: sha256_of(dataset.files[index]) for name, index in indexes.items()}
    _claim(
        folder,
        {
            "raw2logit": __version__,
            "torch": torch.__version__,
            "bits": bits,
            "sources": sources,
            "camera": dataset.camera.to_dict()
            if all(camera is dataset.camera for camera in cameras)
            else {name: cameras[index].to_dict() for name, index in indexes.items()},
        },
    )
    old = _read_table(folder / TABLE)
    job = _Job(dataset, folder, chosen, bits, {row.file: row.sha256 for row in old})
    total = len(indexes) * len(chosen)
    made: dict[tuple[str, str], ViewRow] = {}
    results = run_in_order(partial(_write_image, job), indexes.items(), workers)
    for (name, index), digests in zip(indexes.items(), results, strict=True):
        for view, digest in zip(chosen, digests, strict=True):
            made[view, name] = ViewRow(
                file=_png(view, name),
                sha256=digest,
                view=view,
                bits=str(bits),
                source=_relative(dataset.files[index], folder),
                source_sha256=sources[name],
                camera=cameras[index].name,
                raw2logit=__version__,
            )
        progress("writing views", len(made), total)
    rows = [row for row in old if row.view not in chosen]
    rows.extend(made[view, name] for view in chosen for name in indexes)
    # A stable sort: the images of a view stay in the order of the data set.
    rows.sort(key=lambda row: _rank(row.view))
    write_csv(folder / TABLE, ViewRow._fields, rows)
    return folder


@dataclass(frozen=True)
class _Job:
    """What is done with every image."""

    dataset: RawDataset
    folder: Path
    views: tuple[str, ...]
    bits: Bits
    known: Mapping[str, str]
    """SHA-256 of the PNGs that an earlier call has finished."""


def _write_image(job: _Job, item: tuple[str, int]) -> list[str]:
    """Write the views of one image that are not there; return the SHA-256 of all."""
    name, index = item
    mosaic = None
    digests = []
    for view in job.views:
        png = _png(view, name)
        path = job.folder / png
        if path.is_file() and (digest := sha256_of(path)) == job.known.get(png, digest):
            digests.append(digest)
            continue
        with torch.inference_mode():
            if mosaic is None:
                mosaic = job.dataset.image(index).mosaic[None]
            picture = _pipeline(job.dataset.camera_of(index), view)(mosaic)[0]
        try:
            content = encode_png(picture, job.bits)
        except InputError as error:
            file = job.dataset.files[index]
            raise InputError(f"{file}: --views {view}: {error}: leave the view out") from error
        write_bytes(path, content)
        digests.append(hashlib.sha256(content).hexdigest())
    return digests


@cache
def _pipeline(camera: Camera, view: str) -> Pipeline:
    return static_pipeline(camera, view)


def _claim(folder: Path, record: dict[str, Any]) -> None:
    """Mark a folder as made for this, or refuse it; take away what a killed call left in it."""
    path = folder / RECORD
    if path.is_file():
        try:
            made = dict(json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: broken ({error}): {_ELSEWHERE}") from error
        if other := [key for key in record if made.get(key) != record[key]]:
            how = _difference(other[0], made.get(other[0]), record[other[0]])
            raise InputError(f"{folder}: its views were made with {how}: {_ELSEWHERE}")
    else:
        if folder.is_dir() and set(folder.iterdir()) - set(find_leftovers(folder)):
            raise InputError(
                f"{folder}: holds something else than views: choose another --out, so that "
                "nothing is overwritten"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder}: no folder can be made there ({error.strerror}): choose another --out"
            ) from error
        write_text(path, json.dumps(record, indent=1) + "\n")
    remove_leftovers(folder)


_ELSEWHERE = "choose another --out, or delete the folder"


def _difference(key: str, made: Any, asked: Any) -> str:  # noqa: ANN401
    """Say in what two values of the record differ."""
    if isinstance(made, dict) and key == "sources":
        names = sorted(name for name in {*made, *asked} if made.get(name) != asked.get(name))
        return (
            f"other raw files: {len(names)} were changed, added or taken away since, such as "
            f"{names[0]}"
        )
    return "another camera" if key == "camera" else f"{key} {made}, not {asked}"


def _read_table(path: Path) -> list[ViewRow]:
    if not path.is_file():
        return []
    try:
        header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
        if header != list(ViewRow._fields):
            raise ValueError(f"needs the columns {','.join(ViewRow._fields)}")
        return [ViewRow(*line) for line in lines]
    except (TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: broken ({error}): take the file away and repeat the call that made it"
        ) from error


def _png(view: str, name: str) -> str:
    return f"{view.replace(',', '-')}/{name}.png"


def _rank(view: str) -> tuple[int, str]:
    return (VIEWS.index(view), "") if view in VIEWS else (len(VIEWS), view)


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
