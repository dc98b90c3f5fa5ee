"""Raw files at lower intensities: options, jobs, and the record of what was made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from raw2logit import __version__
from raw2logit.camera import FULL_SCALE_DN, Camera
from raw2logit.datasets.base import REDUCED, intensity_folder
from raw2logit.datasets.reference import to_reference
from raw2logit.dng import write_dng
from raw2logit.errors import InputError
from raw2logit.files import remove_leftovers, sha256_of, write_text
from raw2logit.parallel import check_workers, run_in_order
from raw2logit.progress import Progress
from raw2logit.raw import read_raw, write_mosaic_tiff
from raw2logit.sensor import INTENSITIES, noise_generator, reduce_exposure


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """How a data set is reduced.

    Attributes:
        intensities: Below 1, of `raw2logit.sensor.INTENSITIES`; by default the six published ones.
        gain_dn_per_electron: Digital numbers of 16 bits that one electron makes; None: as the
            camera says, or, of a generated set, as it was generated.
        read_noise_electrons: Standard deviation of the read noise; None: the same.
        bits: Of the converter; None: as the camera says.
        seed: Of the noise. That of an image depends on its name, the intensity and the seed alone.
        workers: Processes; None: one a core.
    """

    intensities: tuple[float, ...] = INTENSITIES[1:]
    gain_dn_per_electron: float | None = None
    read_noise_electrons: float | None = None
    bits: int | None = None
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        """Refuse options that make no sense."""
        if not self.intensities:
            raise InputError("--intensity needs at least one value")
        for intensity in self.intensities:
            intensity_folder(intensity)
            if intensity == 1:
                raise InputError("--intensity 1: is what the others are made from: leave it out")
        if self.gain_dn_per_electron is not None and not 0 < self.gain_dn_per_electron < math.inf:
            raise InputError(
                f"--gain must be above 0 and finite, got {self.gain_dn_per_electron:g}"
            )
        if self.read_noise_electrons is not None and not 0 <= self.read_noise_electrons < math.inf:
            raise InputError(
                f"--read-noise must be 0 or more and finite, got {self.read_noise_electrons:g}"
            )
        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, got {self.seed}")
        check_workers(self.workers)

    def camera(self, camera: Camera) -> Camera:
        """Return `camera` with the constants of its noise.

        Raises:
            InputError: One is not known.
        """
        electrons = camera.full_scale_electrons
        if self.gain_dn_per_electron is not None:
            electrons = FULL_SCALE_DN / self.gain_dn_per_electron
        noise = camera.read_noise_electrons
        if self.read_noise_electrons is not None:
            noise = self.read_noise_electrons
        for option, value in (("gain", electrons), ("read-noise", noise)):
            if value is None:
                raise InputError(
                    f"--{option}: is not known of camera {camera.name!r}: give it, for instance "
                    "as `raw2logit data calibrate` measures it"
                )
        return dataclasses.replace(
            camera,
            full_scale_electrons=electrons,
            read_noise_electrons=noise,
            bits=camera.bits if self.bits is None else self.bits,
        )


class Target(NamedTuple):
    """A file to write."""

    intensity: float
    path: Path
    window: tuple[int, int, int] | None = None
    """Row, column and size of the part; None: all of the picture."""


@dataclass(frozen=True)
class Job:
    """A raw file, and what is made of it."""

    source: Path
    name: str
    """What its noise depends on."""
    camera: Camera
    targets: tuple[Target, ...]
    reference: Camera | None = None
    """What the result is brought to; None: it stays as it is."""
    crop_odd: bool = False


def reduce_files(
    folder: Path, jobs: list[Job], how: Reduction, camera: Camera, progress: Progress
) -> None:
    """Write the targets of all jobs that are not there.

    Args:
        folder: Gets the record.
        jobs: What to do.
        how: Options.
        camera: Of the data set, for the record.
        progress: Told after every file.

    Raises:
        InputError: The record says otherwise, or something that it does not know is there.
    """
    sources = {
        Path(os.path.relpath(job.source, folder)).as_posix(): sha256_of(job.source) for job in jobs
    }
    _claim(folder, jobs, how, camera, sources)
    task = partial(_reduce_file, seed=how.seed)
    for done, _ in enumerate(run_in_order(task, jobs, how.workers), start=1):
        progress("reducing the exposure", done, len(jobs))


def _claim(
    folder: Path, jobs: list[Job], how: Reduction, camera: Camera, sources: dict[str, str]
) -> None:
    """Record what is made and how, or refuse to mix it with something else."""
    path = folder / REDUCED
    record: dict[str, Any] = {
        "raw2logit": __version__,
        "torch": torch.__version__,
        "seed": how.seed,
        "camera": camera.to_dict(),
        "sources": sources,
    }
    made: dict[str, Any] = {}
    if path.is_file():
        try:
            made = dict(json.loads(path.read_text(encoding="utf-8")))
            before = [float(value) for value in made["intensities"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: broken ({error!r}): {_ELSEWHERE}") from error
        if other := [key for key in record if made.get(key) != record[key]]:
            how_made = "from other files" if other[0] == "sources" else f"with another {other[0]}"
            raise InputError(
                f"{folder}: its reduced intensities were made {how_made}: {_ELSEWHERE}"
            )
    else:
        before = []
    for job in jobs:
        for target in job.targets:
            if target.intensity not in before and target.path.exists():
                raise InputError(
                    f"{target.path}: is there, and was not made by `raw2logit data intensities`, "
                    "which overwrites nothing: leave its --intensity out, or move it away"
                )
    now = sorted({*before, *how.intensities}, reverse=True)
    write_text(path, json.dumps({**record, "intensities": now}, indent=1) + "\n")
    remove_leftovers(folder)


_ELSEWHERE = "take those folders and the record away first, or keep them as they are"


def _reduce_file(job: Job, *, seed: int) -> None:
    missing = [target for target in job.targets if not target.path.is_file()]
    if not missing:
        return
    image = read_raw(job.source, crop_odd=job.crop_odd)
    name = int.from_bytes(hashlib.sha256(job.name.encode()).digest()[:8])
    for intensity in dict.fromkeys(target.intensity for target in missing):
        generator = noise_generator((seed, name, round(intensity * 100)))
        mosaic = reduce_exposure(image.mosaic, job.camera, intensity, generator=generator)
        if job.reference is not None:
            mosaic = to_reference(mosaic, job.camera, job.reference)
        for target in missing:
            if target.intensity != intensity:
                continue
            if target.window is not None:
                row, column, size = target.window
                write_mosaic_tiff(target.path, mosaic[row : row + size, column : column + size])
            elif target.path.suffix.lower() == ".dng":
                write_dng(target.path, mosaic, image.camera or job.camera)
            else:
                write_mosaic_tiff(target.path, mosaic)
