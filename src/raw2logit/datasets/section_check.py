"""One section of a data set, compared with what should be there."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raw2logit.datasets.findings import Exposure, Findings, Levels, SectionInfo, SiteLevels
from raw2logit.datasets.inventory import Section
from raw2logit.datasets.measure import SITES, FileJob, Measured, SiteSums
from raw2logit.errors import InputError

Measurements = Mapping[FileJob, Measured]
Exposures = Mapping[float, Mapping[str, Measured]]
Shape = tuple[int, int]


@dataclass(frozen=True)
class SectionCheck:
    """A section whose files are to be measured and then compared.

    Attributes:
        section: What should be there.
        shape: What all images must have; None: that of most.
        as_published: Whether another number, class or shape than published is a problem.
    """

    section: Section
    shape: Shape | None = None
    as_published: bool = False

    def jobs(self) -> Iterator[FileJob]:
        """Yield the files that are there."""
        for images in self.section.images.values():
            yield from (self._image(file) for file in images.values() if file.is_file())
        yield from (self._mask(file) for file in self.section.masks.values() if file.is_file())

    def find(self, measured: Measurements, found: Findings, *, opens: bool = True) -> SectionInfo:
        """Compare what was measured.

        Args:
            measured: Of all `jobs`.
            found: Takes what is wrong.
            opens: Whether the commands that read data get as far as this section.
        """
        section = self.section
        exposures = {
            value: self._readable(images, measured, found)
            for value, images in section.images.items()
        }
        masks = self._readable(section.masks, measured, found, masks=True)
        for fault in section.faults:
            _refuse(section.place, fault, found)
        if opens:
            self._open(found)
        shape = self._check_shapes(exposures, found)
        self._check_masks(exposures, masks, found)
        self._check_twins(exposures, masks, found)
        for path in section.extra:
            found.note("unnamed", path, "nothing names it, so no command reads it")
        differences = self._differences(shape)
        if self.as_published:
            for difference in differences or ():
                found.problem("published", section.place, difference)
        told = [self._exposure(value, images, found) for value, images in exposures.items()]
        return SectionInfo(section.name, len(section.keys), len(masks), differences, told)

    def _image(self, file: Path) -> FileJob:
        section = self.section
        return FileJob(file, "image", section.camera, section.own_cameras, section.crop_odd)

    def _mask(self, file: Path) -> FileJob:
        section = self.section
        return FileJob(file, "mask", crop_odd=section.crop_odd, one_class=section.own)

    def _readable(
        self,
        files: Mapping[str, Path],
        measured: Measurements,
        found: Findings,
        *,
        masks: bool = False,
    ) -> dict[str, Measured]:
        """Return, by key, what can be read, and tell of the rest."""
        readable = {}
        for key, file in files.items():
            result = measured.get(self._mask(file) if masks else self._image(file))
            if result is None:
                found.problem("missing", file, "not there")
            elif result.error:
                found.problem("unreadable", file, result.error)
            else:
                readable[key] = result
        return readable

    def _open(self, found: Findings) -> None:
        told = {problem.file for problem in found.problems}
        for value in self.section.images:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    self.section.open(value)
                except (InputError, OSError) as error:
                    # One bad file is enough to be refused; that it is bad was said above.
                    if found.name(_split(str(error))[0]) not in told:
                        _refuse(self.section.place, str(error), found)
            for warning in caught:
                if warning.category is UserWarning:
                    found.note("warning", self.section.place, str(warning.message))

    def _check_shapes(self, exposures: Exposures, found: Findings) -> Shape | None:
        """Return the shape of most images, and tell of those that have another."""
        shapes = Counter(image.shape for images in exposures.values() for image in images.values())
        if not shapes:
            return None
        most = shapes.most_common(1)[0][0]
        if self.section.own:
            if len(shapes) > 1:
                sizes = ", ".join(f"{count} of {_pixels(s)}" for s, count in shapes.most_common(4))
                message = f"{len(shapes)} sizes ({sizes}), but training needs one: tile them"
                found.note("size", self.section.place, message)
            return most
        wanted = self.shape or most
        for value, images in exposures.items():
            for key, image in images.items():
                if image.shape != wanted:
                    message = f"{_pixels(image.shape)} pixels, not {_pixels(wanted)}"
                    found.problem("size", self.section.images[value][key], message)
        return most

    def _check_masks(
        self, exposures: Exposures, masks: Mapping[str, Measured], found: Findings
    ) -> None:
        for images in exposures.values():
            for key in images.keys() & masks.keys():
                mask, image = masks[key].shape, images[key].shape
                if mask != image:
                    message = f"{_pixels(mask)} pixels, but its image has {_pixels(image)}"
                    found.problem("size", self.section.masks[key], message)

    def _check_twins(
        self, exposures: Exposures, masks: Mapping[str, Measured], found: Findings
    ) -> None:
        """Tell of images that are equal pixel by pixel."""
        firsts: dict[str, tuple[float, str]] = {}
        for value, images in exposures.items():
            for key, image in images.items():
                other, first = firsts.setdefault(image.pixels, (value, key))
                if (other, first) == (value, key):
                    continue
                path = self.section.images[value][key]
                same = f"same pixels as {found.name(self.section.images[other][first])}"
                labels = [self.section.labels.get(name, "") for name in (key, first)]
                both = [masks[name].pixels for name in (key, first) if name in masks]
                if labels[0] != labels[1]:
                    message = f"{same}, but {labels[0]}, not {labels[1]}"
                    found.problem("contradiction", path, message)
                elif len(set(both)) > 1:
                    found.problem("contradiction", path, f"{same}, but another mask")
                else:
                    found.note("duplicate", path, same)

    def _differences(self, shape: Shape | None) -> list[str] | None:
        section = self.section
        if section.published is None:
            return None
        count, classes, published_shape = section.published
        differences = []
        if len(section.keys) != count:
            differences.append(f"{len(section.keys)} files, published {count}")
        there = Counter(section.labels.values())
        differences += [
            f"{there[name]} of class {name}, published {number}"
            for name, number in classes.items()
            if there and there[name] != number
        ]
        if shape and shape != published_shape:
            differences.append(f"{_pixels(shape)} pixels, published {_pixels(published_shape)}")
        return differences

    def _exposure(self, value: float, images: Mapping[str, Measured], found: Findings) -> Exposure:
        section = self.section
        levels = _levels(list(images.values()))
        for name, site in levels.sites.items() if levels else ():
            if site.mean < site.black_level:
                message = (
                    f"intensity {value:g}: mean {site.mean:.4g} of site {name} is below the black "
                    f"level {site.black_level:.4g}: another camera took them, or nothing was seen"
                )
                found.note("black-level", section.place, message)
        labels = Counter(section.labels[key] for key in images if key in section.labels)
        sizes = Counter(_pixels(image.shape) for image in images.values())
        classes = {name: labels[name] for name in section.classes} if section.labels else {}
        return Exposure(value, len(images), classes, dict(sizes.most_common()), levels)


def _refuse(place: Path, text: str, found: Findings) -> None:
    file, message = _split(text)
    if found.holds(file):
        found.problem("refused", file, message)
    else:
        found.problem("refused", place, text)


def _split(text: str) -> tuple[Path, str]:
    """Part a message into the file that it begins with and the rest."""
    file, _, message = text.partition(": ")
    return Path(file.split(" and ")[0]), message


def _pixels(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _levels(images: list[Measured]) -> Levels | None:
    """Put the values of all images of an intensity together."""
    if not images:
        return None
    pixels = sum(math.prod(image.shape) for image in images)
    sites = {}
    for name in SITES:
        if sums := [image.sites[name] for image in images if name in image.sites]:
            sites[name] = _site_levels(sums)
    return Levels(
        minimum=min(image.minimum for image in images),
        maximum=max(image.maximum for image in images),
        at_zero=sum(image.zeros for image in images) / pixels,
        saturated=sum(image.saturated for image in images) / pixels,
        sites=sites,
    )


def _site_levels(sums: list[SiteSums]) -> SiteLevels:
    count = sum(part.count for part in sums)
    mean = math.fsum(part.total for part in sums) / count
    square = math.fsum(part.squares for part in sums) / count
    return SiteLevels(
        mean=mean,
        std=math.sqrt(max(square - mean**2, 0.0)),
        black_level=math.fsum(part.black_level for part in sums) / len(sums),
        below_black=sum(part.below_black for part in sums) / count,
    )
