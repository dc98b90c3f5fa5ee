"""Write generated data sets in the published layout.

Every image has a seed of its own, made from the data set's seed and its number, so that the files
are the same byte for byte whatever the number of workers, and a killed call can be repeated: it
ends with the same files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from raw2logit.datasets.base import intensity_folder
from raw2logit.datasets.drone import (
    CLASSIFICATION_CSV,
    CLASSIFICATION_MASKS,
    FRAME_MASKS,
    FRAMES,
    MASK_SHARE_OF_CAR,
    MASKS,
    TILES,
    classification_tiles,
)
from raw2logit.datasets.microscopy import CLASS_COUNTS, LABEL_FILE
from raw2logit.datasets.synthetic.capture import SENSORS, capture_scene
from raw2logit.datasets.synthetic.drone import render_frame
from raw2logit.datasets.synthetic.folder import check_options, claim
from raw2logit.datasets.synthetic.microscopy import Slide, render_cell
from raw2logit.datasets.synthetic.pool import run_in_order
from raw2logit.dng import write_dng
from raw2logit.errors import InputError
from raw2logit.files import atomic_path, write_text
from raw2logit.progress import Progress, silent
from raw2logit.raw import write_mosaic_tiff

CELLS_PER_ZONE = 8
ZONES_PER_SLIDE = 10
FRAME_ROWS, FRAME_COLUMNS = 4, 6
"""Tiles of one generated drone frame."""
MAX_FRAMES = 100
"""The published names have two digits for the frame."""

_PUBLISHED_SIZE = 256
_BALANCE_SEED = 72
# Streams of random numbers that belong to one data set.
_LAYOUT, _SLIDE, _SCENE, _NOISE = range(4)


def generate_microscopy(
    root: Path,
    *,
    count: int = 940,
    size: int = _PUBLISHED_SIZE,
    seed: int = 0,
    intensities: Sequence[float] = (1.0,),
    workers: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Write blood smears with the published shares of the nine classes.

    Args:
        root: ``microscopy/`` is made in it.
        count: Images of each intensity.
        size: Height and width in pixels, even; the field of view stays the same.
        seed: Of everything.
        intensities: Exposures; the same cells under each.
        workers: Processes; None: one a core.
        progress: Told after every image.

    Returns:
        The folder ``root/microscopy``.

    Raises:
        InputError: An option makes no sense, or the folder holds other data.
    """
    folders = [intensity_folder(intensity) for intensity in intensities]
    check_options(count, size, seed, intensities, workers)
    folder = claim(root / "microscopy", {"count": count, "size": size, "seed": seed})
    cells = _plan_cells(count, seed)
    for intensity, name in zip(intensities, folders, strict=True):
        paths = [folder / "images" / name / f"{cell.stem}.tiff" for cell in cells]
        jobs = [(cell, path) for cell, path in zip(cells, paths, strict=True) if not path.is_file()]
        task = partial(_write_cell, size=size, seed=seed, intensity=intensity)
        there = count - len(jobs)
        for done, _ in enumerate(run_in_order(task, jobs, workers), start=there + 1):
            progress(f"microscopy at intensity {intensity:g}", done, count)
    # The label file comes last: with it the data set is complete.
    write_text(folder / LABEL_FILE, "".join(f"{cell.stem} {cell.code}\n" for cell in cells))
    return folder


def generate_drone(
    root: Path,
    *,
    count: int = 548,
    size: int = _PUBLISHED_SIZE,
    seed: int = 0,
    intensities: Sequence[float] = (1.0,),
    frames: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Write aerial tiles with car masks, and the balanced car / no car tiles of the same frames.

    Args:
        root: ``drone/`` is made in it.
        count: Tiles that show part of a car, of each intensity. As many frames are made as that
            takes.
        size: Height and width of a tile in pixels, even; the ground it shows stays the same.
        seed: Of everything.
        intensities: Exposures; the same frames under each.
        frames: Write the full frames as DNG, with their masks, too.
        workers: Processes; None: one a core.
        progress: Told after every frame.

    Returns:
        The folder ``root/drone``.

    Raises:
        InputError: An option makes no sense, or the folder holds other data.
    """
    check_options(count, size, seed, intensities, workers)
    folder = claim(root / "drone", {"count": count, "size": size, "seed": seed})
    task = partial(_shoot_frame, size=size, seed=seed, intensities=tuple(intensities))
    done = 0
    table: list[tuple[str, int]] = []
    for number, frame in enumerate(run_in_order(task, range(MAX_FRAMES), workers)):
        stem = f"DJI_{number + 1:04d}"
        if frames:
            _write_mask(folder / FRAME_MASKS / f"{stem}.png", frame.mask)
        for intensity, mosaic in frame.mosaics.items():
            if frames:
                path = folder / FRAMES / intensity_folder(intensity) / f"{stem}.DNG"
                write_dng(path, mosaic, SENSORS["drone"])
        kept = _write_car_tiles(folder, number, frame, size, limit=count - done)
        table.extend(_write_classification_tiles(folder, number, frame, size))
        done += kept
        progress("drone tiles with a car", done, count)
        if done == count:
            break
    else:
        raise InputError(
            f"--count {count}: {MAX_FRAMES} frames, all that the published names can number, hold "
            f"only {done} tiles with a car: ask for fewer"
        )
    # The table comes last: with it the data set is complete.
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["", "file name", "label"])
    writer.writerows((row, stem, label) for row, (stem, label) in enumerate(table))
    write_text(folder / CLASSIFICATION_CSV, buffer.getvalue())
    return folder


class _Cell(NamedTuple):
    number: int
    code: str
    zone: int
    stem: str


class _Frame(NamedTuple):
    mask: npt.NDArray[np.bool_]
    mosaics: dict[float, Tensor]


def _plan_cells(count: int, seed: int) -> list[_Cell]:
    """Deal classes in the published shares, in random order, to zones of slides."""
    published = sum(CLASS_COUNTS.values())
    exact = {code: count * share / published for code, share in CLASS_COUNTS.items()}
    numbers = {code: int(share) for code, share in exact.items()}
    # Largest remainders get what rounding down left over.
    by_remainder = sorted(exact, key=lambda code: numbers[code] - exact[code])
    for code in by_remainder[: count - sum(numbers.values())]:
        numbers[code] += 1
    codes = [code for code, number in numbers.items() for _ in range(number)]
    np.random.default_rng((seed, _LAYOUT)).shuffle(codes)
    cells = []
    for number, code in enumerate(codes):
        zone, position = divmod(number, CELLS_PER_ZONE)
        slide, place = divmod(zone, ZONES_PER_SLIDE)
        stem = f"Ma190c_lame{slide + 1}_zone{place + 1}_composite_Mcropped_{position + 1}"
        cells.append(_Cell(number, code, zone, stem))
    return cells


def _write_cell(job: tuple[_Cell, Path], *, size: int, seed: int, intensity: float) -> None:
    cell, path = job
    slide = Slide.sample(np.random.default_rng((seed, _SLIDE, cell.zone)))
    rng = np.random.default_rng((seed, _SCENE, cell.number))
    scene = render_cell(cell.code, slide, rng, size)
    noise = (seed, _NOISE, cell.number, round(intensity * 100))
    camera = SENSORS["microscopy"]
    write_mosaic_tiff(path, capture_scene(scene, camera, intensity=intensity, seed=noise))


def _shoot_frame(number: int, *, size: int, seed: int, intensities: Sequence[float]) -> _Frame:
    scene, mask = render_frame(
        np.random.default_rng((seed, _SCENE, number)),
        FRAME_ROWS * size,
        FRAME_COLUMNS * size,
        size / _PUBLISHED_SIZE,
    )
    mosaics = {
        intensity: capture_scene(
            scene,
            SENSORS["drone"],
            intensity=intensity,
            seed=(seed, _NOISE, number, round(intensity * 100)),
        )
        for intensity in intensities
    }
    return _Frame(mask, mosaics)


def _tiles(frame: _Frame, size: int) -> Iterator[tuple[tuple[slice, slice], float]]:
    """Yield the place of each tile of a frame and the share of it that shows cars."""
    for row in range(FRAME_ROWS):
        for column in range(FRAME_COLUMNS):
            place = (
                slice(row * size, (row + 1) * size),
                slice(column * size, (column + 1) * size),
            )
            yield place, float(frame.mask[place].mean())


def _write_car_tiles(folder: Path, number: int, frame: _Frame, size: int, *, limit: int) -> int:
    """Write at most `limit` tiles that show part of a car; return how many."""
    places = [place for place, share in _tiles(frame, size) if share > 0][:limit]
    for tile, place in enumerate(places):
        stem = f"{number:02d}_{tile:05d}"
        _write_mask(folder / MASKS / f"{stem}.png", frame.mask[place])
        for intensity, mosaic in frame.mosaics.items():
            path = folder / TILES / intensity_folder(intensity) / f"{stem}.tif"
            write_mosaic_tiff(path, mosaic[place])
    return len(places)


def _write_classification_tiles(
    folder: Path, number: int, frame: _Frame, size: int
) -> list[tuple[str, int]]:
    """Write as many tiles without a car as with one; return file stems and labels."""
    cars, empty = [], []
    for place, share in _tiles(frame, size):
        if share > MASK_SHARE_OF_CAR:
            cars.append(place)
        elif share == 0:
            empty.append(place)
    rng = np.random.default_rng((_BALANCE_SEED, number))
    balanced = min(len(cars), len(empty))
    rows: list[tuple[str, int]] = []
    for label, places in enumerate((cars, empty)):
        chosen = sorted(rng.choice(len(places), balanced, replace=False)) if balanced else []
        for index in chosen:
            place = places[index]
            stem = f"{number:02d}_{len(rows):05d}"
            rows.append((stem, label))
            _write_mask(folder / CLASSIFICATION_MASKS / f"{stem}.png", frame.mask[place])
            for intensity, mosaic in frame.mosaics.items():
                path = folder / classification_tiles(intensity) / f"{stem}.tif"
                write_mosaic_tiff(path, mosaic[place])
    return rows


def _write_mask(path: Path, mask: npt.NDArray[np.bool_]) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary)
