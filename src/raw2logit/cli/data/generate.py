"""``raw2logit data generate``."""

from __future__ import annotations

from functools import partial
from typing import Literal

from raw2logit.cli._console import show_progress
from raw2logit.cli._options import Intensities, Root, Seed


def generate(
    kind: Literal["microscopy", "drone"],
    /,
    *,
    root: Root = None,
    count: int | None = None,
    size: int = 256,
    seed: Seed = 0,
    intensity: Intensities = [1.0],  # noqa: B006 - never changed; shown in the help
    frames: bool = False,
    workers: int | None = None,
) -> None:
    """Generate a data set in the published layout.

    Scene in linear light, optics, photon and read noise, mosaic, 16-bit TIFF. The same seed gives
    the same bytes, so a killed call can be repeated; other data is never overwritten.

    Args:
        kind: microscopy (blood smears, nine classes) or drone (cars seen from above).
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        count: Images; default as published: 940 of microscopy, 548 drone tiles with a car.
        size: Height and width in pixels, even, 32 to 512; the field of view stays.
        seed: Of everything.
        intensity: One or more of 1 .75 .5 .25 .1 .05 .01, relative to full exposure.
        frames: drone: write the full frames as DNG too.
        workers: Processes; default one a core.
    """
    from raw2logit.datasets import default_root
    from raw2logit.datasets.synthetic.generate import generate_drone, generate_microscopy
    from raw2logit.errors import InputError

    folder = root or default_root()
    if frames and kind == "microscopy":
        raise InputError("--frames: microscopy has no full frames; leave the option out")
    make, published_count = (
        (generate_microscopy, 940)
        if kind == "microscopy"
        else (partial(generate_drone, frames=frames), 548)
    )
    with show_progress() as progress:
        made = make(
            folder,
            count=published_count if count is None else count,
            size=size,
            seed=seed,
            intensities=intensity,
            workers=workers,
            progress=progress,
        )
    print(made)
