"""Write generated data sets in the published layout.

Every image has a seed of its own, made from the data set's seed and its number, so that the files
are the same byte for byte whatever the number of workers, and a killed call can be repeated: it
ends with the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from raw2logit.datasets.base import intensity_folder
from raw2logit.datasets.drone import FRAME_MASKS, FRAMES, MAX_FRAMES, TILING
from raw2logit.datasets.microscopy import CLASS_COUNTS, LABEL_FILE
from raw2logit.datasets.synthetic.capture import SENSORS, capture_scene
from raw2logit.datasets.synthetic.drone import render_frame
from raw2logit.datasets.synthetic.folder import check_options, claim
from raw2logit.datasets.synthetic.microscopy import Slide, render_cell
from raw2logit.datasets.tile_layouts import DroneLayout, write_mask
from raw2logit.datasets.tile_table import TileRow, read_tile_table, write_tile_table
from raw2logit.datasets.tiles import PUBLISHED_SIZE, Mask, cut_windows
from raw2logit.dng import write_dng
from raw2logit.errors import InputError
from raw2logit.files import remove_leftovers, write_text
from raw2logit.parallel import run_in_order
from raw2logit.progress import Progress, silent
from raw2logit.raw import write_mosaic_tiff

CELLS_PER_ZONE = 8
ZONES_PER_SLIDE = 10
FRAME_ROWS, FRAME_COLUMNS = 4, 6
"""Tiles of one generated drone frame."""

# Streams of random numbers that belong to one data set.
_LAYOUT, _SLIDE, _SCENE, _NOISE = range(4)


def generate_microscopy(
    root: Path,
    *,
    count: int = 940,
    size: int = PUBLISHED_SIZE,
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
    folder = claim(root / "microscopy", {"count": count, "size": size, "seed": seed}, intensities)
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
    size: int = PUBLISHED_SIZE,
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
    _require_room(count, 0, 0)
    folder = claim(root / "drone", {"count": count, "size": size, "seed": seed}, intensities)
    if (folder / TILING).is_file():
        raise InputError(
            f"{folder}: its tiles were cut by `raw2logit data tile`: choose another --root, so "
            "that nothing is overwritten"
        )
    remove_leftovers(folder)
    output = _DroneOutput(DroneLayout(folder), size, tuple(intensities), frames)
    rows = output.known()
    whole = {number for number in rows if output.is_whole(number, rows[number])}
    task = partial(_shoot_frame, size=size, seed=seed, intensities=output.intensities)
    todo = [number for number in range(MAX_FRAMES) if number not in whole]
    shots = run_in_order(task, todo, workers)
    done = 0
    for number in range(MAX_FRAMES):
        _require_room(count, done, number)
        if number not in whole:
            rows[number] = output.write(number, next(shots), limit=count - done)
            write_tile_table(folder, _in_order(rows))
        done += sum(row.set == "segmentation" for row in rows[number])
        progress("drone tiles with a car", done, count)
        if done >= count:
            break
    _require_room(count, done, MAX_FRAMES)
    output.layout.write_tables(_in_order(rows))
    return folder


class _Cell(NamedTuple):
    number: int
    code: str
    zone: int
    stem: str


class _Frame(NamedTuple):
    mask: Mask
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
        size / PUBLISHED_SIZE,
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


class _DroneOutput(NamedTuple):
    """What is written of each frame."""

    layout: DroneLayout
    size: int
    intensities: tuple[float, ...]
    frames: bool

    def known(self) -> dict[int, list[TileRow]]:
        """Return the tiles that an earlier call wrote, by frame number."""
        table = read_tile_table(self.layout.folder)
        stems = {_frame_stem(number): number for number in range(MAX_FRAMES)}
        rows: dict[int, list[TileRow]] = {}
        for row in table:
            if row.frame in stems:
                rows.setdefault(stems[row.frame], []).append(row)
        return rows

    def is_whole(self, number: int, rows: list[TileRow]) -> bool:
        """Tell whether all files of a frame are there."""
        return all(path.is_file() for path in self._files(number, rows))

    def _files(self, number: int, rows: list[TileRow]) -> Iterator[Path]:
        for intensity in self.intensities:
            yield from self.layout.files(rows, intensity)
            if self.frames:
                yield self._frame(number, intensity)
        if self.frames:
            yield self._mask(number)

    def write(self, number: int, frame: _Frame, *, limit: int) -> list[TileRow]:
        """Write a frame and its tiles, at most `limit` that show a car; return those."""
        if self.frames:
            write_mask(self._mask(number), frame.mask)
            for intensity, mosaic in frame.mosaics.items():
                write_dng(self._frame(number, intensity), mosaic, SENSORS["drone"])
        windows = cut_windows(frame.mask, self.size)
        rows = self.layout.plan(number, _frame_stem(number), windows, limit=limit)
        self.layout.write_masks(rows, frame.mask, self.size)
        for intensity, mosaic in frame.mosaics.items():
            self.layout.write_images(rows, mosaic, intensity, self.size)
        return rows

    def _frame(self, number: int, intensity: float) -> Path:
        return (
            self.layout.folder / FRAMES / intensity_folder(intensity) / f"{_frame_stem(number)}.DNG"
        )

    def _mask(self, number: int) -> Path:
        return self.layout.folder / FRAME_MASKS / f"{_frame_stem(number)}.png"


def _frame_stem(number: int) -> str:
    return f"DJI_{number + 1:04d}"


def _in_order(rows: dict[int, list[TileRow]]) -> list[TileRow]:
    return [row for number in sorted(rows) for row in rows[number]]


def _require_room(count: int, done: int, number: int) -> None:
    """Raise `InputError` if the frames from `number` cannot hold what is still missing."""
    most = done + (MAX_FRAMES - number) * FRAME_ROWS * FRAME_COLUMNS
    if count > most:
        raise InputError(
            f"--count {count}: {MAX_FRAMES} frames, all that the published names can number, hold "
            f"at most {most} tiles with a car: ask for fewer, in another --root"
        )
