"""``raw2logit data info``."""

from __future__ import annotations

import dataclasses
import json as json_format
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from raw2logit.cli._console import show_progress
from raw2logit.cli._options import Folder, FolderOptions

if TYPE_CHECKING:
    from raw2logit.datasets.findings import DatasetInfo, Exposure, Finding, Levels, SectionInfo

_COLUMNS = 100
_FILES_SHOWN = 5


def info(
    root: Path | None = None,
    *,
    data: Annotated[
        list[str], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = [],  # noqa: B006 - never changed
    folder: Folder = FolderOptions(),  # noqa: B008 - frozen
    json: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
) -> int:
    """Read all of a data set, and tell what is there, what is missing and what is broken.

    Counts by class and intensity, sizes, values as fractions of full scale, equal images, and how
    it compares with what made it or with the published set. Exit code: 0 it is whole, 1 something
    is missing or broken, 2 it could not be looked at.

    Args:
        root: Where data sets lie; default $RAW2LOGIT_DATA, else ./data.
        data: One or more of microscopy drone folder:PATH; default what lies in root.
        folder: Options of folder:PATH.
        json: Print JSON, with every finding.
        workers: Processes; default one a core.
    """
    from raw2logit.datasets.info import inspect_data

    with show_progress() as progress:
        found = inspect_data(
            root, data, **dataclasses.asdict(folder), workers=workers, progress=progress
        )
    if json:
        print(json_format.dumps(found.to_dict(), indent=1))
    else:
        print("\n\n".join("\n".join(_dataset(dataset)) for dataset in found.datasets))
    return 0 if found.whole else 1


def _dataset(dataset: DatasetInfo) -> Iterator[str]:
    made = ", ".join(
        f"{key} {value}" for key, value in dataset.options.items() if value is not None
    )
    origin = {"unknown": "of unknown origin", "own": "your own"}.get(dataset.origin, dataset.origin)
    yield f"{dataset.name} in {dataset.folder}: {origin}" + (f" ({made})" if made else "")
    for section in dataset.sections:
        yield ""
        yield from _section(section)
    for title, findings in (("problem", dataset.problems), ("note", dataset.notes)):
        if findings:
            yield f"\n  {len(findings)} {title}{'s' * (len(findings) > 1)}"
            yield from _findings(findings)
    yield ""
    if dataset.problems:
        yield f"  To mend it, {dataset.mend}."
    else:
        yield "  Nothing is missing or broken."


def _section(section: SectionInfo) -> Iterator[str]:
    whole = all(each.files == section.expected for each in section.exposures)
    words = f"{section.name}: {section.expected} files{'' if whole else ' expected'}"
    if len(section.exposures) > 1:
        words += f" of each of {len(section.exposures)} intensities"
    if section.masks:
        words += f", {section.masks} masks"
    if section.differences is not None:
        words += ", not as published:" if section.differences else ", as published"
    yield f"  {words}"
    yield from _wrapped("; ".join(section.differences or ()))
    yield from _classes(section)
    told = [(f"{each.intensity:g}", each, each.levels) for each in section.exposures if each.levels]
    if told:
        yield from _table(_VALUES, [(name, *_values(each, levels)) for name, each, levels in told])
        sites = told[0][2].sites
        header = ("intensity", *(f"{name} mean ±std" for name in sites))
        rows = [(name, *_means(levels)) for name, _, levels in told]
        yield from _table(header, rows if sites else [])


_VALUES = ("intensity", "files", "pixels", "min", "max", "at zero", "below black", "saturated")


def _values(exposure: Exposure, levels: Levels) -> tuple[str, ...]:
    size, *others = exposure.sizes
    sites = levels.sites.values()
    below = sum(site.below_black for site in sites) / len(sites) if sites else None
    return (
        f"{exposure.files}",
        f"{size} and {len(others)} more" if others else size,
        f"{levels.minimum:.4f}",
        f"{levels.maximum:.4f}",
        _share(levels.at_zero),
        _share(below),
        _share(levels.saturated),
    )


def _means(levels: Levels) -> Iterator[str]:
    return (f"{site.mean:.4f} ±{site.std:.4f}" for site in levels.sites.values())


def _classes(section: SectionInfo) -> Iterator[str]:
    """Tell the classes once, or by intensity where files are missing."""
    texts = {
        f"{each.intensity:g}": ", ".join(f"{name} {count}" for name, count in each.classes.items())
        for each in section.exposures
    }
    if len(set(texts.values())) == 1:
        texts = {"": next(iter(texts.values()))}
    for intensity, text in texts.items():
        if text:
            yield from _wrapped(f"intensity {intensity}: {text}" if intensity else text)


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    width = max(map(len, by_kind))
    for kind, some in by_kind.items():
        for finding in some[:_FILES_SHOWN]:
            yield f"    {kind:<{width}}  {finding.file}: {finding.message}"
        if (more := len(some) - _FILES_SHOWN) > 0:
            yield f"    {kind:<{width}}  and {more} more: --json lists all"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        columns = zip(header, *rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        for row in (header, *rows):
            cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield "    " + "  ".join(cells)


def _wrapped(text: str) -> Iterator[str]:
    indent = "    "
    yield from textwrap.wrap(text, _COLUMNS, initial_indent=indent, subsequent_indent=indent)


def _share(share: float | None) -> str:
    if share is None:
        return "-"
    if share == 0:
        return "0 %"
    return "<0.01 %" if share < 1e-4 else f"{share * 100:.2f} %"
