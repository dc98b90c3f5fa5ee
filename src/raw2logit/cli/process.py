"""``raw2logit process``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from raw2logit.cli._console import claim_folder, show_progress
from raw2logit.cli._options import Files, Out, Views

if TYPE_CHECKING:
    import torch

_SHEET_TILE_PX = 384


def process(
    files: Files,
    /,
    *,
    camera: str | None = None,
    views: Views = ["all"],  # noqa: B006 - never changed; shown in the help
    bits: Literal[8, 16] = 8,
    sheet: bool = True,
    crop_odd: bool = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    out: Out = Path("views"),
) -> None:
    """Turn raw files into views: a PNG each, and a labelled contact sheet of the twelve.

    Args:
        files: TIFF, PNG, NPY, DNG or a camera maker's raw files.
        camera: A preset's name (microscopy, drone) or a YAML file; default: from the file's
            metadata.
        views: Views to write, separated by spaces; all: the twelve.
        bits: Of a channel in the PNG.
        sheet: Write the contact sheet too.
        crop_odd: Drop the last row or column of an odd-sized mosaic.
        overwrite: Replace PNGs that are there and hold something else.
        out: Folder for the PNGs.
    """
    import torch

    from raw2logit.camera import find_camera
    from raw2logit.errors import InputError
    from raw2logit.files import write_bytes
    from raw2logit.images import encode_png
    from raw2logit.isp import VIEWS, parse_views, static_pipeline
    from raw2logit.raw import read_raw
    from raw2logit.report.figures import contact_sheet, encode_figure

    chosen = parse_views(views)
    given = find_camera(camera) if camera else None
    if not files:
        raise InputError("no file given: name at least one raw file")
    names = _output_names(files)
    # Everything is read once before anything is written: a bad file in the list costs nothing.
    for file in files:
        if read_raw(file, camera=given, crop_odd=crop_odd).camera is None:
            raise InputError(
                f"{file}: has no camera metadata: add --camera microscopy, drone or a YAML file"
            )
    claim_folder(out)

    def save(name: str, content: bytes) -> None:
        path = out / name
        if path.is_file() and not overwrite and path.read_bytes() != content:
            raise InputError(
                f"{path}: is there and holds another picture: choose another --out, or --overwrite"
            )
        write_bytes(path, content)

    with show_progress() as progress, torch.inference_mode():
        for done, (file, name) in enumerate(zip(files, names, strict=True), start=1):
            image = read_raw(file, camera=given, crop_odd=crop_odd)
            if image.camera is None:
                raise InputError(f"{file}: changed while it was read")
            for view in chosen:
                picture = static_pipeline(image.camera, view)(image.mosaic[None])[0]
                save(f"{name}.{view.replace(',', '-')}.png", encode_png(picture, bits))
            if sheet:
                tile = _centre(image.mosaic)
                pictures = {v: static_pipeline(image.camera, v)(tile[None])[0] for v in VIEWS}
                figure = contact_sheet(
                    pictures, columns=4, title=f"{file.name}, {image.camera.name}"
                )
                save(f"{name}.sheet.png", encode_figure(figure))
            progress(f"processing {file.name}", done, len(files))
    print(out)


def _output_names(files: list[Path]) -> list[str]:
    """Return one name a file: its stem, or its whole name where two files share a stem."""
    stems = [file.stem for file in files]
    names = [f.name if stems.count(f.stem) > 1 else f.stem for f in files]
    from raw2logit.errors import InputError

    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{twice}: two files of this name: process them into different --out")
    return names


def _centre(mosaic: torch.Tensor) -> torch.Tensor:
    """Cut the middle out of a large mosaic, on the grid of its colour filter array."""
    top, left = (max(0, length - _SHEET_TILE_PX) // 4 * 2 for length in mosaic.shape)
    return mosaic[top : top + _SHEET_TILE_PX, left : left + _SHEET_TILE_PX]
