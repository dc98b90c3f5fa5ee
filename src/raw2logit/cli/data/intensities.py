"""``raw2logit data intensities``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from raw2logit.cli._console import claim_folder, require_outside, show_progress
from raw2logit.cli._options import Folder, FolderOptions, Intensities, Seed

if TYPE_CHECKING:
    from raw2logit.datasets import RawFolder


def intensities(
    root: Path | None = None,
    *,
    data: str = "microscopy",
    folder: Folder = FolderOptions(),  # noqa: B008 - frozen
    intensity: Intensities = [0.75, 0.5, 0.25, 0.1, 0.05, 0.01],  # noqa: B006 - never changed
    gain: Annotated[float | None, Parameter(name="--gain")] = None,
    read_noise: float | None = None,
    bits: int | None = None,
    seed: Seed = 0,
    out: Path | None = None,
    workers: int | None = None,
) -> None:
    """Write lower intensities of a data set: what a shorter exposure would have recorded.

    Photon noise at the lower level is drawn on top of the noise that is there, then read noise,
    black level, saturation and rounding to the sensor's bits. An interrupted call can be repeated;
    what this did not write is never overwritten.

    Args:
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        data: microscopy, drone (frames and both sets of tiles, as far as they are there), or
            folder:PATH, which needs --out.
        folder: Options of folder:PATH.
        intensity: One or more of .75 .5 .25 .1 .05 .01, relative to full exposure.
        gain: Digital numbers of 16 bits that one electron makes; default as the camera says, or as
            the set was generated. `raw2logit data calibrate` measures it.
        read_noise: Standard deviation of the read noise in electrons; default the same.
        bits: folder:PATH only: of the converter, if the camera states another number.
        seed: Of the noise.
        out: folder:PATH only: folder to make, with a folder for each intensity in it, to be named
            by --data folder:OUT/raw_scale050.
        workers: Processes; default one a core.
    """
    from raw2logit.datasets import FOLDER, default_root, open_dataset
    from raw2logit.datasets.intensities import reduce_drone, reduce_folder, reduce_microscopy
    from raw2logit.datasets.reduction import Reduction
    from raw2logit.errors import InputError

    how = Reduction(
        intensities=tuple(dict.fromkeys(intensity)),
        gain_dn_per_electron=gain,
        read_noise_electrons=read_noise,
        bits=bits,
        seed=seed,
        workers=workers,
    )
    if not data.startswith(FOLDER):
        makers = {"microscopy": reduce_microscopy, "drone": reduce_drone}
        if data not in makers:
            raise InputError(f"--data {data}: choose microscopy, drone or {FOLDER}PATH")
        for option, value in (("out", out), ("bits", bits), *dataclasses.asdict(folder).items()):
            if value not in (None, False):
                raise InputError(f"--{option.replace('_', '-')} is for --data {FOLDER}PATH")
        with show_progress() as progress:
            print(makers[data](root or default_root(), how, progress))
        return
    dataset = cast("RawFolder", open_dataset(data, root, **dataclasses.asdict(folder)))
    place = claim_folder(require_outside(data, out))
    with show_progress() as progress:
        for made in reduce_folder(dataset, place, how, progress):
            print(made)
