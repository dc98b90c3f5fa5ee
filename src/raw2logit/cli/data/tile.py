"""``raw2logit data tile``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from raw2logit.cli._console import show_progress


def tile(
    root: Path | None = None,
    *,
    frames: Path | None = None,
    masks: Path | None = None,
    out: Path | None = None,
    size: int = 256,
    overlap: int = 0,
    task: Literal["segmentation", "classification"] | None = None,
    camera: str | None = None,
    workers: int | None = None,
) -> None:
    """Cut full frames and their masks into tiles, by the published rules.

    Windows row by row from the top left. Segmentation keeps a tile that shows any of the mask.
    Classification keeps tiles with a mask share above .01 and as many without any, frame by frame.
    tiles.csv tells frame, row and column of each. An interrupted call can be repeated; other data
    is never overwritten.

    Args:
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data. Cuts drone/images_full,
            every intensity in it, with drone/masks_full into both sets of tiles.
        frames: Instead: a folder of raw files of your own, with --masks and --out.
        masks: Their masks, 0 for background and one other value for the class. A mask's name is or
            contains that of its frame.
        out: Folder to make; other commands read it with --data folder:OUT.
        size: Height and width of a tile in pixels, even.
        overlap: Pixels that neighbouring tiles share, even.
        task: --frames only: which tiles to keep; default segmentation.
        camera: --frames only: camera of all frames, a preset's name or a YAML file; default
            camera.yaml beside the frames, else each file's own metadata.
        workers: Processes; default one a core.
    """
    from raw2logit.datasets import default_root
    from raw2logit.datasets.tiling import tile_drone, tile_folder
    from raw2logit.errors import InputError

    own = {"--frames": frames, "--masks": masks, "--out": out}
    if root is not None or not any(own.values()):
        given = {**own, "--task": task, "--camera": camera}
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option} is for frames of your own: " + _WAYS)
    elif missing := [option for option, value in own.items() if value is None]:
        raise InputError(f"{' and '.join(missing)} missing: " + _WAYS)
    with show_progress() as progress:
        if frames and masks and out:
            made = tile_folder(
                frames,
                masks,
                out,
                task=task or "segmentation",
                size=size,
                overlap=overlap,
                camera=camera,
                workers=workers,
                progress=progress,
            )
        else:
            made = tile_drone(
                root or default_root(),
                size=size,
                overlap=overlap,
                workers=workers,
                progress=progress,
            )
    print(made)


_WAYS = "give either a root, or --frames, --masks and --out together"
