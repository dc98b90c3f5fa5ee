"""What is there of a data set, and whether it is whole.

Every file is read. What is missing or broken is a problem; what is merely worth a look is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raw2logit.camera import Camera, find_camera
from raw2logit.datasets import DATASETS, FOLDER, folder_path
from raw2logit.datasets.base import Task, default_root, require_data
from raw2logit.datasets.findings import DataInfo, DatasetInfo, Findings
from raw2logit.datasets.folder_inventory import folder_section
from raw2logit.datasets.inventory import drone_sections, microscopy_sections
from raw2logit.datasets.measure import FileJob, Measured, measure_file
from raw2logit.datasets.provenance import Provenance, read_provenance
from raw2logit.datasets.section_check import SectionCheck
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import find_leftovers
from raw2logit.parallel import check_workers, run_in_order
from raw2logit.progress import Progress, silent

_KINDS = ("microscopy", "drone")


def inspect_data(
    root: Path | None = None,
    names: Sequence[str] = (),
    *,
    camera: Camera | str | Path | None = None,
    task: Task | None = None,
    crop_odd: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> DataInfo:
    """Read everything that is there of some data sets, and compare it with what should be.

    Problems are files that are missing, cannot be read, have another checksum than the download or
    another size than the rest, equal images of different classes or masks, numbers other than a
    generated set's own options or, where nothing says that it was generated or tiled by the user,
    than the published ones, and whatever the loaders refuse.

    Args:
        root: Where data sets lie; None: `default_root`.
        names: Those of `open_dataset`; none: ``microscopy`` and ``drone``, as far as they lie
            below `root`.
        camera: Of ``folder:PATH``, see `RawFolder`.
        task: Of ``folder:PATH``.
        crop_odd: Of ``folder:PATH``.
        workers: Processes; None: one a core.
        progress: Told after every file.

    Raises:
        MissingDataError: There is no such data set.
        InputError: An option makes no sense.
    """
    check_workers(workers)
    own = [name for name in names if name.startswith(FOLDER)]
    if own and len(own) == len(names) and root is not None:
        raise InputError(f"--data {own[0]} is a path of its own: leave ROOT out")
    if not own and (camera is not None or task is not None or crop_odd):
        raise InputError(f"--camera, --task and --crop-odd are for --data {FOLDER}PATH")
    given = None if camera is None else find_camera(camera)
    root = default_root() if root is None else root
    inspections = [
        _of_folder(name, given, task, crop_odd) if name.startswith(FOLDER) else _of_kind(name, root)
        for name in _chosen(root, names)
    ]
    jobs = list(dict.fromkeys(job for inspection in inspections for job in inspection.jobs()))
    measured: dict[FileJob, Measured] = {}
    for job, result in zip(jobs, run_in_order(measure_file, jobs, workers), strict=True):
        measured[job] = result
        progress("reading data", len(measured), len(jobs))
    return DataInfo([inspection.info(measured) for inspection in inspections])


def _chosen(root: Path, names: Sequence[str]) -> list[str]:
    """Return what to look at: microscopy, drone (with both its sets of tiles) and folders."""
    if names:
        chosen = []
        for name in names:
            if name.startswith(FOLDER):
                chosen.append(name)
                continue
            if name not in DATASETS:
                known = " ".join(DATASETS)
                raise InputError(f"unknown data set {name!r}: known are {known} {FOLDER}PATH")
            kind = name.partition("-")[0]
            require_data(root / kind, kind, root, 1.0)
            chosen.append(kind)
        return list(dict.fromkeys(chosen))
    there = [kind for kind in _KINDS if (root / kind).is_dir()]
    if there:
        return there
    if root.name in _KINDS and root.is_dir():
        raise MissingDataError(f"{root}: name the folder above it, {root.parent}")
    raise MissingDataError(
        f"{root}: no data set in it: make one with `raw2logit data generate microscopy --root "
        f"{root}`, or look at your own with --data {FOLDER}PATH"
    )


@dataclass(frozen=True)
class _Inspection:
    """A data set whose files are to be measured."""

    name: str
    folder: Path
    provenance: Provenance
    checks: list[SectionCheck]
    found: Findings

    def jobs(self) -> Iterator[FileJob]:
        known = set()
        for check in self.checks:
            for job in check.jobs():
                known.add(job.path)
                yield job
        for file in self.provenance.files:
            path = self.folder / file.path
            if path not in known and path.is_file():
                yield FileJob(path, "other")

    def info(self, measured: Mapping[FileJob, Measured]) -> DatasetInfo:
        found, made = self.found, self.provenance
        sections = [check.find(measured, found, opens=made.legible) for check in self.checks]
        self._check_count()
        self._check_downloaded({job.path: result.sha256 for job, result in measured.items()})
        if self.folder.is_dir():
            for path in find_leftovers(self.folder):
                found.note("leftover", path, "of a call that was killed, unless one is at work")
        return DatasetInfo(
            self.name,
            str(self.folder),
            made.origin,
            made.options,
            sections,
            found.problems,
            found.notes,
            made.mend,
        )

    def _check_count(self) -> None:
        wanted = self.provenance.options.get("count")
        for section in (check.section for check in self.checks):
            if section.name in ("images", "tiles") and wanted not in (None, len(section.keys)):
                message = f"{len(section.keys)} files, but it was generated with --count {wanted}"
                self.found.problem("count", section.place, message)

    def _check_downloaded(self, digests: Mapping[Path, str]) -> None:
        for file in self.provenance.files:
            path = self.folder / file.path
            if path not in digests:
                self.found.problem("missing", path, "not there")
            elif digests[path] != file.sha256:
                self.found.problem("changed", path, "another checksum than when it was downloaded")


def _of_folder(name: str, camera: Camera | None, task: Task | None, crop_odd: bool) -> _Inspection:
    path = folder_path(name)
    if not path.exists():
        raise MissingDataError(f"{path}: no such folder or CSV: check the name")
    section = folder_section(path, camera=camera, task=task, crop_odd=crop_odd)
    mend = "mend or replace the files, or take them out of the data set"
    made = Provenance("own", mend, {"task": section.task})
    folder = path if path.is_dir() else path.parent
    return _Inspection(name, folder, made, [SectionCheck(section)], Findings(folder))


def _of_kind(kind: str, root: Path) -> _Inspection:
    folder = root / kind
    found = Findings(folder)
    made = read_provenance(kind, root, found)
    generated = made.origin == "generated"
    sections = (
        microscopy_sections(root)
        if kind == "microscopy"
        else drone_sections(root, tiles=generated or made.tiled)
    )
    size = made.options.get("size")
    checks = [
        SectionCheck(
            section,
            # Full frames are of many tiles.
            shape=(size, size) if size and section.name != "frames" else None,
            as_published=not generated and not made.tiled,
        )
        for section in sections
    ]
    return _Inspection(kind, folder, made, checks, found)
