"""What `raw2logit.datasets.info` tells of a data set: plain data, as text or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Origin = Literal["generated", "downloaded", "own", "unknown"]


@dataclass(frozen=True)
class Finding:
    """Something that a person should know.

    Attributes:
        kind: Of a problem: ``missing``, ``unreadable``, ``size``, ``contradiction`` (equal images,
            other targets), ``changed`` (since the download), ``count`` (not as generated),
            ``published`` (not as published), ``refused`` (by the commands that read data). Of a
            note: ``duplicate``, ``unnamed``, ``leftover``, ``black-level``, ``warning``, and
            ``size`` for images of one's own.
        file: Relative to the folder of the data set, ``.`` for all of it.
        message: What about it.
    """

    kind: str
    file: str
    message: str


class Findings:
    """Problems and notes on one data set, each once, in the order in which they came."""

    def __init__(self, folder: Path) -> None:
        """Begin with none.

        Args:
            folder: Of the data set.
        """
        self._folder = folder
        self._problems: dict[Finding, None] = {}
        self._notes: dict[Finding, None] = {}

    @property
    def problems(self) -> list[Finding]:
        """What is missing or broken."""
        return list(self._problems)

    @property
    def notes(self) -> list[Finding]:
        """What is worth a look."""
        return list(self._notes)

    def problem(self, kind: str, path: Path, message: str) -> None:
        """Add a problem."""
        self._add(self._problems, kind, path, message)

    def note(self, kind: str, path: Path, message: str) -> None:
        """Add a note."""
        self._add(self._notes, kind, path, message)

    def holds(self, path: Path) -> bool:
        """Tell whether a path lies in the folder of the data set."""
        return path.is_relative_to(self._folder)

    def name(self, path: Path) -> str:
        """Return a path relative to the folder of the data set, if it lies in it."""
        return (path.relative_to(self._folder) if self.holds(path) else path).as_posix()

    def _add(self, findings: dict[Finding, None], kind: str, path: Path, message: str) -> None:
        # As keys: several sections may find the same, and there may be thousands.
        findings[Finding(kind, self.name(path), message)] = None


@dataclass(frozen=True)
class SiteLevels:
    """Values at one site of the colour filter array, as fractions of full scale.

    Attributes:
        mean: Of all its pixels.
        std: Standard deviation.
        black_level: Of the camera; the mean, where files differ.
        below_black: Share of pixels below it.
    """

    mean: float
    std: float
    black_level: float
    below_black: float


@dataclass(frozen=True)
class Levels:
    """Values of all files of one intensity, as fractions of full scale.

    Attributes:
        minimum: Smallest.
        maximum: Largest.
        at_zero: Share of pixels at 0.
        saturated: Share of pixels at the white level, or at the top of the camera's range.
        sites: By name: R, G1, G2, B; empty if no camera is known.
    """

    minimum: float
    maximum: float
    at_zero: float
    saturated: float
    sites: dict[str, SiteLevels]


@dataclass(frozen=True)
class Exposure:
    """The files of one intensity.

    Attributes:
        intensity: Exposure relative to full.
        files: Number of files that are there and can be read.
        classes: The same by class; empty if there are none, or none are known.
        sizes: The same by size, as ``256x256`` (height x width).
        levels: None: there are no files.
    """

    intensity: float
    files: int
    classes: dict[str, int]
    sizes: dict[str, int]
    levels: Levels | None


@dataclass(frozen=True)
class SectionInfo:
    """Raw files of one kind.

    Attributes:
        name: ``images`` (microscopy), ``tiles``, ``classification``, ``frames`` (drone), ``files``.
        expected: Number of files that there should be of each intensity.
        masks: Number of masks that are there and can be read.
        differences: From the published data set; empty: as published; None: not comparable.
        exposures: One an intensity, brightest first.
    """

    name: str
    expected: int
    masks: int
    differences: list[str] | None
    exposures: list[Exposure]


@dataclass(frozen=True)
class DatasetInfo:
    """One data set.

    Attributes:
        name: ``microscopy``, ``drone`` or ``folder:PATH``.
        folder: Where it lies.
        origin: ``generated``, ``downloaded``, ``own`` (folder:PATH), ``unknown`` (by hand).
        options: Of the generator, source of the download, or task of folder:PATH.
        sections: What it consists of.
        problems: What is missing or broken.
        notes: What is worth a look.
        mend: How to get what is missing or broken.
    """

    name: str
    folder: str
    origin: Origin
    options: dict[str, Any]
    sections: list[SectionInfo]
    problems: list[Finding]
    notes: list[Finding]
    mend: str


@dataclass(frozen=True)
class DataInfo:
    """What `raw2logit.datasets.info.inspect_data` found.

    Attributes:
        datasets: One a data set.
    """

    datasets: list[DatasetInfo]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or broken."""
        return not any(dataset.problems for dataset in self.datasets)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings, fit for JSON.

        The keys are the attributes of the classes above, nested as they are, and ``whole``.
        """
        return {"whole": self.whole, **asdict(self)}
