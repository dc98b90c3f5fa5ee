"""``raw2logit data views``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from raw2logit.cli._console import require_outside, show_progress
from raw2logit.cli._options import Data, Folder, FolderOptions, Intensities, Views


def views(
    root: Path | None = None,
    *,
    data: Data = "microscopy",
    folder: Folder = FolderOptions(),  # noqa: B008 - frozen
    views: Views = ["all"],  # noqa: B006 - never changed; shown in the help
    bits: Literal[8, 16] = 8,
    intensity: Intensities = [1.0],  # noqa: B006 - never changed; shown in the help
    out: Path | None = None,
    workers: int | None = None,
) -> None:
    """Write the views of every raw image of a data set as PNG.

    One folder a view; views.csv tells what made each file. An interrupted or killed call can be
    repeated; other files are never overwritten.

    Args:
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        data: See below.
        folder: Options of folder:PATH.
        views: Views to write, separated by spaces; all: the twelve.
        bits: Of a channel in the PNG.
        intensity: One or more of 1 .75 .5 .25 .1 .05 .01, relative to full exposure.
        out: Folder to make; default views/ in the folder of the data set. folder:PATH needs one.
        workers: Processes; default one a core.
    """
    from raw2logit.datasets import FOLDER, default_root, open_dataset
    from raw2logit.datasets.base import intensity_folder
    from raw2logit.datasets.views import views_folder, write_views
    from raw2logit.errors import InputError

    own = data.startswith(FOLDER)
    chosen = tuple(dict.fromkeys(intensity))
    if not chosen:
        raise InputError("--intensity needs at least one value")
    # All are opened before the first is written: what is missing is known at once.
    opened = {
        value: open_dataset(data, root, intensity=value, **dataclasses.asdict(folder))
        for value in chosen
    }
    if own:
        out = require_outside(data, out)
    for value, dataset in opened.items():
        if out is None:
            place = views_folder(data, root or default_root(), value)
        else:
            place = out if own else out / intensity_folder(value)
        with show_progress() as progress:
            made = write_views(
                dataset, place, views=views, bits=bits, workers=workers, progress=progress
            )
        print(made)
