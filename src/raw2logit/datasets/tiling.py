"""Full frames and their masks to a set of tiles: the published drone set, or frames of one's own.

Several processes work on one frame each. All frames are read before the first tile is written, so
that one that does not fit leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from raw2logit.camera import Camera, find_camera
from raw2logit.datasets.base import intensity_folder
from raw2logit.datasets.drone import FRAME_MASKS, MASK_SHARE_OF_CAR, read_mask
from raw2logit.datasets.folder import CAMERA_FILE
from raw2logit.datasets.frames import Frame, drone_frames, own_frames
from raw2logit.datasets.reference import reference_camera, to_reference
from raw2logit.datasets.tile_layouts import DroneLayout, FolderLayout, Layout
from raw2logit.datasets.tile_record import TileRecord, claim_tiles, write_record
from raw2logit.datasets.tile_table import TileRow, TileSet
from raw2logit.datasets.tiles import PUBLISHED_SIZE, Mask, check_tiling, cut_windows
from raw2logit.errors import InputError
from raw2logit.files import remove_leftovers, sha256_of
from raw2logit.parallel import check_workers, run_in_order
from raw2logit.progress import Progress, silent
from raw2logit.raw import RawImage, read_raw


def tile_drone(
    root: Path,
    *,
    size: int = PUBLISHED_SIZE,
    overlap: int = 0,
    workers: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Cut the full frames of the drone set into its tiles, both sets, every intensity.

    The rules are the published ones, see `raw2logit.datasets.tiles`; the masks alone decide, so
    all intensities have the same tiles. A tile holds the frame's fractions of full scale on 16
    bits: the digital numbers themselves, where the frame is left-justified in 16 bits.

    An interrupted call can be repeated, and intensities that join later are added.

    Args:
        root: Holds ``drone/images_full`` and ``drone/masks_full``.
        size: Height and width of a tile in pixels, even.
        overlap: Pixels that neighbouring tiles share, even, less than `size`.
        workers: Processes; None: one a core.
        progress: Told after every frame.

    Returns:
        The folder ``root/drone``.

    Raises:
        MissingDataError: There are no frames, or one lacks its mask.
        InputError: An option or a file makes no sense, no tile would be kept, or there are other
            tiles already.
    """
    _check_options(size, overlap, workers)
    folder = root / "drone"
    job = _Job(DroneLayout(folder), size, overlap, Camera.preset("drone"))
    made = claim_tiles(job.layout, job.options)
    looks = _look(job, drone_frames(folder), workers, progress)
    if not any(row.set == "segmentation" for look in looks for row in look.rows):
        raise InputError(f"{folder / FRAME_MASKS}: no tile to keep: all masks are zero")
    _begin(job, made, looks)
    _cut(job, looks, workers, progress)
    return folder


def tile_folder(
    frames: Path,
    masks: Path,
    out: Path,
    *,
    task: TileSet = "segmentation",
    size: int = PUBLISHED_SIZE,
    overlap: int = 0,
    camera: Camera | str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Cut frames of one's own into tiles that `RawFolder` reads.

    ``images/`` holds 16-bit TIFF, ``masks/`` one-bit PNG (segmentation), ``tiles.csv`` the place of
    each, and ``camera.yaml`` the camera, where one is known: `camera`, that of a ``camera.yaml``
    beside the frames, or that of the frames themselves, which are then brought to a common one,
    see `raw2logit.datasets.reference`. Values stay fractions of full scale, rounded to 16 bits.
    A last odd row or column of a frame is dropped.

    Args:
        frames: Folder of raw files.
        masks: Folder of masks, zero for background, each as large as its frame. A mask has the
            stem of its frame or contains it.
        out: Folder to make.
        task: ``segmentation`` keeps a tile that shows any of the mask; ``classification`` keeps as
            many ``foreground`` tiles (mask share above .01) as ``background`` ones (none).
        size: Height and width of a tile in pixels, even.
        overlap: Pixels that neighbouring tiles share, even, less than `size`.
        camera: Of all frames: a `Camera`, a preset's name or a YAML file.
        workers: Processes; None: one a core.
        progress: Told after every frame.

    Returns:
        `out`.

    Raises:
        MissingDataError: A frame lacks its mask, or the other way round.
        InputError: An option or a file makes no sense, no tile would be kept, or `out` holds
            something else.
    """
    _check_options(size, overlap, workers)
    beside = frames / CAMERA_FILE
    if camera is None and beside.is_file():
        camera = beside
    given = None if camera is None else find_camera(camera)
    camera_file = out / CAMERA_FILE
    known = camera_file.is_file() or given is not None
    job = _Job(FolderLayout(out, task), size, overlap, given, task=task)
    made = claim_tiles(job.layout, job.options)
    looks = _look(job, own_frames(frames, masks), workers, progress, read_all=not known)
    if not any(look.rows for look in looks):
        why = "all masks are zero" if task == "segmentation" else _ONE_KIND
        raise InputError(f"{masks}: no tile to keep: {why}")
    common = given
    if given is None:
        common = (
            Camera.from_yaml(camera_file)
            if camera_file.is_file()
            else _common_camera(looks, out.resolve().name)
        )
        job = replace(job, reference=common)
    _begin(job, made, looks)
    if common is not None:
        common.to_yaml(camera_file)
    _cut(job, looks, workers, progress)
    return out


_ONE_KIND = (
    f"no frame has both tiles with a mask share above {MASK_SHARE_OF_CAR:g} and tiles without mask"
)


def _check_options(size: int, overlap: int, workers: int | None) -> None:
    check_tiling(size, overlap)
    check_workers(workers)


@dataclass(frozen=True)
class _Job:
    """What is done with every frame."""

    layout: Layout
    size: int
    overlap: int
    camera: Camera | None
    """Whose colour filter array the frames must have; None: each has its own."""
    reference: Camera | None = None
    """What frames with cameras of their own are brought to."""
    task: TileSet | None = None
    """Of frames of one's own."""

    @property
    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"size": self.size, "overlap": self.overlap}
        if self.task is not None:
            camera = None if self.camera is None else self.camera.to_dict()
            options |= {"task": self.task, "camera": camera}
        return options

    def mask(self, frame: Frame) -> Mask:
        mask = read_mask(frame.mask, one_class=self.task is not None).numpy() > 0
        height, width = mask.shape
        return mask[: height - height % 2, : width - width % 2]

    def image(self, path: Path) -> RawImage:
        image = read_raw(path, crop_odd=True)
        if self.camera and image.camera and image.camera.cfa != self.camera.cfa:
            raise InputError(
                f"{path}: its metadata says {image.camera.cfa}, camera {self.camera.name!r} says "
                f"{self.camera.cfa}: tile frames of another camera with --frames and --camera"
            )
        return image


class _Look(NamedTuple):
    """What a first look at a frame found."""

    frame: Frame
    rows: list[TileRow]
    missing: list[float]
    """Intensities of which a tile is not there."""
    cameras: dict[Path, Camera | None]
    """Of the raw files that were read."""
    mask_digest: str
    image_digests: dict[str, str]


def _look(
    job: _Job,
    frames: list[Frame],
    workers: int | None,
    progress: Progress,
    *,
    read_all: bool = False,
) -> list[_Look]:
    looks = []
    for look in run_in_order(partial(_look_at, job, read_all=read_all), frames, workers):
        looks.append(look)
        progress("looking at frames", len(looks), len(frames))
    return looks


def _look_at(job: _Job, frame: Frame, *, read_all: bool) -> _Look:
    mask = job.mask(frame)
    windows = cut_windows(mask, job.size, job.overlap)
    if not windows:
        raise InputError(
            f"{frame.mask}: {_pixels(mask.shape)} hold no tile of {job.size}: choose a smaller "
            "--size"
        )
    rows = job.layout.plan(frame.number, frame.stem, windows)
    missing = [
        intensity
        for intensity in frame.images
        if not all(path.is_file() for path in job.layout.files(rows, intensity))
    ]
    cameras = {}
    for intensity, path in frame.images.items():
        if read_all or intensity in missing:
            image = job.image(path)
            if image.mosaic.shape != mask.shape:
                raise InputError(
                    f"{frame.mask}: {_pixels(mask.shape)}, but {path} has "
                    f"{_pixels(image.mosaic.shape)}: a mask is as large as its frame"
                )
            cameras[path] = image.camera
    digests = {
        f"{intensity_folder(intensity)}/{path.name}": sha256_of(path)
        for intensity, path in frame.images.items()
    }
    return _Look(frame, rows, missing, cameras, sha256_of(frame.mask), digests)


def _pixels(shape: tuple[int, ...]) -> str:
    height, width = shape
    return f"{height} x {width} pixels"


def _common_camera(looks: list[_Look], name: str) -> Camera | None:
    """Return what all frames are brought to; None: none of them tells its camera."""
    cameras = {path: camera for look in looks for path, camera in look.cameras.items()}
    known = {path: camera for path, camera in cameras.items() if camera is not None}
    if not known:
        return None
    if silent_ones := sorted(cameras.keys() - known.keys()):
        raise InputError(
            f"{silent_ones[0]}: does not tell its camera, but {next(iter(known)).name} does: give "
            "one for all (--camera)"
        )
    return reference_camera(known, name)


def _begin(job: _Job, made: TileRecord, looks: list[_Look]) -> None:
    masks = {look.frame.mask.name: look.mask_digest for look in looks}
    frames = {name: digest for look in looks for name, digest in look.image_digests.items()}
    write_record(job.layout, made, masks, frames)
    remove_leftovers(job.layout.folder)


def _cut(job: _Job, looks: list[_Look], workers: int | None, progress: Progress) -> None:
    todo = [look for look in looks if look.missing]
    there = len(looks) - len(todo)
    for done, _ in enumerate(run_in_order(partial(_cut_frame, job), todo, workers), there + 1):
        progress("tiling frames", done, len(looks))
    job.layout.write_tables([row for look in looks for row in look.rows])


def _cut_frame(job: _Job, look: _Look) -> None:
    job.layout.write_masks(look.rows, job.mask(look.frame), job.size)
    for intensity in look.missing:
        image = job.image(look.frame.images[intensity])
        mosaic = image.mosaic
        if job.reference and image.camera:
            mosaic = to_reference(mosaic, image.camera, job.reference)
        job.layout.write_images(look.rows, mosaic, intensity, job.size)
