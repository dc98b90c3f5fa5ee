"""``raw2logit data calibrate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from raw2logit.cli._console import claim_folder, show_progress
from raw2logit.cli._options import Files, Out
from raw2logit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from raw2logit.camera import Camera
    from raw2logit.photon_transfer import PhotonTransfer

Regions = Annotated[list[tuple[int, int, int, int]], Parameter(negative="", show_default=False)]
Flat = Annotated[bool, Parameter(name="--flat", negative="--pairs", show_default=False)]


def calibrate(
    files: Files,
    /,
    *,
    flat: Flat = False,
    camera: str | None = None,
    bits: int | None = None,
    region: Regions = [],  # noqa: B006 - never changed
    dark: Path | None = None,
    read_noise: float | None = None,
    crop_odd: bool = False,
    out: Out = Path("camera.yaml"),
    plot: Path | None = None,
) -> None:
    """Measure a camera's gain and read noise from raw pictures of a flat scene.

    A sheet of paper out of focus, say: two pictures of each exposure, from dark to bright. Their
    photon transfer curve tells both. --data folder:PATH --camera OUT uses what was measured.

    Args:
        files: TIFF, PNG, NPY, DNG or a camera maker's raw files.
        flat: Single pictures, of which the pattern of the pixels spoils bright ones. Default:
            pairs of the same light and exposure, one file after the other.
        camera: A preset's name or a YAML file; default: from the files' metadata.
        bits: Of the converter, if the camera states another number.
        region: ROW COLUMN HEIGHT WIDTH of a flat part in pixels, even; may be repeated. Default:
            the whole picture.
        dark: A picture without light at the same settings: measures the black level, on which
            the read noise depends.
        read_noise: In electrons, if it is known: one exposure is then enough.
        crop_odd: Drop the last row or column of an odd-sized mosaic.
        out: YAML file to write; an existing one is not overwritten.
        plot: PNG to draw the photon transfer curve into.
    """
    from raw2logit.raw import read_raw

    _check_outputs(out, plot)
    _check_files(files, flat=flat)
    known = _find_camera(files, camera, crop_odd=crop_odd)
    if camera is None:
        known = dataclasses.replace(known, name=out.stem)
    if bits is not None:
        known = dataclasses.replace(known, bits=bits)
    if dark is not None:
        from raw2logit.photon_transfer import measure_black_level

        picture = read_raw(dark, camera=known, crop_odd=crop_odd).mosaic
        try:
            black = measure_black_level(picture)
            known = dataclasses.replace(known, black_level=black)
        except InputError as error:
            raise InputError(f"--dark {dark}: {error}") from error
    result = _measure(files, known, flat=flat, regions=region, read_noise=read_noise, odd=crop_odd)
    claim_folder(out.parent)
    result.calibrate(known).to_yaml(out)
    if plot is not None:
        from raw2logit.report.figures import save_png
        from raw2logit.report.photon_transfer import transfer_curve

        save_png(transfer_curve(result, known.name), plot)
    _print(result, known, with_black=dark is not None)
    print(out if plot is None else f"{out} {plot}")


def _check_outputs(out: Path, plot: Path | None) -> None:
    """Refuse what could not be written, or would overwrite, before the work starts."""
    for option, path, suffixes in (
        ("--out", out, (".yaml", ".yml")),
        ("--plot", plot, (".png",)),
    ):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise InputError(f"{option} {path}: give it a name that ends in {suffixes[0]}")
        if path.exists() or path.is_symlink():
            raise InputError(f"{option} {path}: is there already: remove it, or name another file")


def _check_files(files: list[Path], *, flat: bool) -> None:
    if not files:
        raise InputError("no file given: name raw files of a flat scene")
    for index, file in enumerate(files):
        if file in files[:index]:
            raise InputError(f"{file}: named twice, which makes no second picture: leave one out")
    if not flat and len(files) % 2:
        raise InputError(
            f"--pairs: {len(files)} files are no pairs: name both pictures of each exposure, one "
            "after the other, or use --flat for single pictures"
        )


def _find_camera(files: list[Path], given: str | None, *, crop_odd: bool) -> Camera:
    """Return the camera that took all files; all are read for it.

    Raises:
        InputError: Nothing tells the camera, or the files tell different ones.
    """
    from raw2logit.camera import find_camera
    from raw2logit.raw import read_raw

    if given is not None:
        return find_camera(given)
    cameras: list[Camera] = []
    for file in files:
        camera = read_raw(file, crop_odd=crop_odd).camera
        if camera is None:
            raise InputError(
                f"{file}: has no camera metadata: add --camera microscopy, drone or a YAML file"
            )
        cameras.append(camera)
        for field in ("cfa", "bits", "black_level", "white_level"):
            own, other = getattr(camera, field), getattr(cameras[0], field)
            if own != other:
                raise InputError(
                    f"{file}: its {field} is {own}, that of {files[0]} {other}: give files of one "
                    "camera, or add --camera"
                )
    return cameras[0]


def _measure(
    files: list[Path],
    camera: Camera,
    *,
    flat: bool,
    regions: list[tuple[int, int, int, int]],
    read_noise: float | None,
    odd: bool,
) -> PhotonTransfer:
    from raw2logit.photon_transfer import Region, calibrate_flat, calibrate_pairs
    from raw2logit.raw import read_raw
    from raw2logit.sensor import check_bits

    parts = [Region(*part) for part in regions]
    at_work: list[Path] = []

    def pictures() -> Iterator[tuple[Tensor, ...]]:
        count = 1 if flat else 2
        for start in range(0, len(files), count):
            names = files[start : start + count]
            mosaics = tuple(read_raw(file, camera=camera, crop_odd=odd).mosaic for file in names)
            if start == 0:
                try:
                    check_bits(mosaics[0], camera)
                except InputError as error:
                    raise InputError(f"{names[0]}: {error}") from error
            at_work.extend(names)
            yield mosaics
            at_work.clear()
            progress(f"measuring {names[-1].name}", start + count, len(files))

    with show_progress() as progress:
        try:
            if flat:
                return calibrate_flat(
                    (picture for (picture,) in pictures()),
                    camera,
                    regions=parts,
                    read_noise_electrons=read_noise,
                )
            return calibrate_pairs(
                ((first, second) for first, second in pictures()),
                camera,
                regions=parts,
                read_noise_electrons=read_noise,
            )
        except InputError as error:
            # What is wrong with all of the files together has none at work.
            where = " ".join(map(str, at_work))
            raise InputError(f"{where}: {error}" if where else str(error)) from error


def _print(result: PhotonTransfer, camera: Camera, *, with_black: bool) -> None:
    rows = [
        ("gain", result.gain_dn_per_electron, result.gain_error, "DN (16 bits) / e-"),
        ("full scale", result.full_scale_electrons, result.full_scale_error, "e-"),
    ]
    for name, value, error, unit in rows:
        print(f"{name:<12}{value:.5g} ± {error:.2g} {unit}")
    error = result.read_noise_error
    print(
        f"{'read noise':<12}{result.read_noise_electrons:.3g}"
        + (f" ± {error:.2g} e-" if error else " e- (given)")
    )
    if with_black:
        from raw2logit.camera import FULL_SCALE_DN

        levels = " ".join(f"{level * FULL_SCALE_DN:.1f}" for level in camera.black_level)
        print(f"{'black level':<12}{levels} DN (16 bits)")
    print(f"{'points':<12}{len(result.mean_dn)}, scatter {result.scatter:.2f} (1: noise alone)")
