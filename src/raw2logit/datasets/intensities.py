"""A data set at lower intensities, simulated from its full exposure.

The published sets bring six reduced intensities. Where they are not there, `raw2logit.sensor` makes
them: what a shorter exposure of the same scene would have recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raw2logit.camera import Camera
from raw2logit.datasets.base import RawDataset, intensity_folder, is_generated
from raw2logit.datasets.drone import FRAMES, TILES, RawDrone, classification_tiles
from raw2logit.datasets.folder import CAMERA_FILE, RawFolder
from raw2logit.datasets.frames import Frame, drone_frames
from raw2logit.datasets.microscopy import IMAGES, SUFFIX, RawMicroscopy
from raw2logit.datasets.reduction import Job, Reduction, Target, reduce_files
from raw2logit.datasets.reference import is_reference
from raw2logit.datasets.synthetic.capture import SENSORS
from raw2logit.datasets.tile_layouts import DroneLayout, write_mask
from raw2logit.datasets.tile_table import read_tile_table, write_csv
from raw2logit.errors import InputError
from raw2logit.progress import Progress, silent
from raw2logit.sensor import check_bits

SAMPLES = "samples.csv"
"""Lies in each folder that `reduce_folder` makes; `RawFolder` reads it."""


def reduce_microscopy(root: Path, how: Reduction, progress: Progress = silent) -> Path:
    """Write lower intensities of the Raw-Microscopy set beside its full exposure.

    An interrupted call can be repeated, further intensities may join, and what this did not write
    is never touched.

    Args:
        root: Holds ``microscopy/images/raw_scale100``.
        how: Options.
        progress: Told after every file.

    Returns:
        The folder ``root/microscopy``.

    Raises:
        MissingDataError: The data set is not there.
        InputError: An image is broken, a constant of the camera is not known, or something else
            stands where the images would.
    """
    dataset = RawMicroscopy(root)
    camera = how.camera(_sensor("microscopy", dataset))
    folder = root / "microscopy"
    places = {value: folder / IMAGES / intensity_folder(value) for value in how.intensities}
    jobs = [
        Job(
            file,
            file.stem,
            camera,
            tuple(Target(value, place / f"{file.stem}{SUFFIX}") for value, place in places.items()),
        )
        for file in dataset.files
    ]
    reduce_files(folder, jobs, how, camera, progress)
    return folder


def reduce_drone(root: Path, how: Reduction, progress: Progress = silent) -> Path:
    """Write lower intensities of all that is there of the Raw-Drone set, see `reduce_microscopy`.

    A tile whose frame is there, by ``tiles.csv``, is cut from the reduced frame, so that frame,
    tile, and the tile of the other set at the same place stay one picture. Other tiles are reduced
    each by itself.

    Args:
        root: Holds ``drone/``.
        how: Options. The published gain is known, the read noise is not.
        progress: Told after every file.

    Returns:
        The folder ``root/drone``.

    Raises:
        MissingDataError: The data set is not there.
        InputError: As in `reduce_microscopy`.
    """
    folder = root / "drone"
    frames = drone_frames(folder) if (folder / FRAMES).is_dir() else []
    tiles: list[RawDataset] = []
    if (folder / TILES).is_dir() or not frames:
        tiles.append(RawDrone(root))
    if (folder / classification_tiles(1.0)).is_dir():
        tiles.append(RawDrone(root, task="classification"))
    camera = how.camera(_sensor("drone", *tiles))
    layout = DroneLayout(folder)
    cut: dict[str, list[Target]] = {frame.stem: [] for frame in frames}
    jobs = []
    rows = {layout.image_file(row, 1.0): row for row in read_tile_table(folder)}
    size = len(tiles[0].mosaic(0)) if tiles else 0
    for dataset in tiles:
        for file in dataset.files:
            row = rows.get(file)
            targets = [
                Target(value, _at(file, value), row and (row.row, row.column, size))
                for value in how.intensities
            ]
            if row is not None and row.frame in cut:
                cut[row.frame].extend(targets)
            else:
                whole = tuple(target._replace(window=None) for target in targets)
                jobs.append(Job(file, f"{dataset.name} {file.stem}", camera, whole))
    jobs.extend(_frame_job(frame, camera, cut[frame.stem], how.intensities) for frame in frames)
    reduce_files(folder, jobs, how, camera, progress)
    return folder


def reduce_folder(
    dataset: RawFolder, out: Path, how: Reduction, progress: Progress = silent
) -> list[Path]:
    """Write lower intensities of a data set of one's own, each as a folder that `RawFolder` reads.

    Args:
        dataset: At its own exposure, which counts as full.
        out: Folder to make, outside of the data set.
        how: Options.
        progress: Told after every file.

    Returns:
        ``out/raw_scale###`` for each intensity.

    Raises:
        InputError: As in `reduce_microscopy`.
    """
    folders = [out / intensity_folder(value) for value in how.intensities]
    names = dataset.sample_names()
    jobs = []
    for index, name in enumerate(names):
        own = dataset.camera_of(index)
        targets = [
            Target(value, folder / "images" / f"{name}.tif")
            for value, folder in zip(how.intensities, folders, strict=True)
        ]
        jobs.append(
            Job(
                *(dataset.files[index], name, how.camera(own), tuple(targets)),
                reference=None if own is dataset.camera else dataset.camera,
                crop_odd=dataset.crop_odd,
            )
        )
    camera = how.camera(dataset.camera)
    try:
        check_bits(dataset.image(0).mosaic, jobs[0].camera)
    except InputError as error:
        raise InputError(f"{dataset.files[0]}: {error}") from error
    reduce_files(out, jobs, how, camera, progress)
    # Moved to a common white balance, the files have no common gain and steps any more.
    one = all(job.reference is None or is_reference(job.camera, job.reference) for job in jobs)
    for folder in folders:
        (camera if one else dataset.camera).to_yaml(folder / CAMERA_FILE)
        _write_samples(dataset, names, folder)
    return folders


def _sensor(kind: str, *datasets: RawDataset) -> Camera:
    """Return the camera of a data set; of a generated one with the noise of its simulation."""
    generated = any(is_generated(dataset) for dataset in datasets)
    return SENSORS[kind] if generated else Camera.preset(kind)


def _at(file: Path, intensity: float) -> Path:
    """Return where a tile lies at another intensity."""
    full, other = intensity_folder(1.0), intensity_folder(intensity)
    return file.parent.with_name(file.parent.name.replace(full, other)) / file.name


def _frame_job(
    frame: Frame, camera: Camera, tiles: list[Target], intensities: Sequence[float]
) -> Job:
    if 1.0 not in frame.images:
        raise InputError(
            f"{next(iter(frame.images.values()))}: {intensity_folder(1.0)} has no such frame: "
            "reduced intensities are made from full exposure"
        )
    source = frame.images[1.0]
    whole = [
        Target(value, source.parent.with_name(intensity_folder(value)) / f"{source.stem}.DNG")
        for value in intensities
    ]
    return Job(source, source.stem, camera, (*whole, *tiles))


def _write_samples(dataset: RawFolder, names: list[str], folder: Path) -> None:
    target = "mask" if dataset.task == "segmentation" else "label"
    rows = []
    for index, name in enumerate(names):
        label: object = f"masks/{name}.png"
        if dataset.task == "classification":
            label = dataset.classes[dataset.labels[index]]
        elif dataset.task == "regression":
            label = float(dataset.target(index))
        else:
            write_mask(folder / "masks" / f"{name}.png", dataset.target(index).numpy() > 0)
        rows.append((f"images/{name}.tif", label, dataset.groups[index]))
    write_csv(folder / SAMPLES, ("file", target, "group"), rows)
