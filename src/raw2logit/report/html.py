"""The report of a run: one HTML file that holds everything it shows.

Style and pictures are inside the file, there is no script and no address, so it
opens from a disk, a mail or an artifact store alike. All text is escaped.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from math import isnan
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from jinja2 import Environment, StrictUndefined
from PIL import Image

from raw2logit.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "Report", "Section", "Table", "write_report"]

Cell: TypeAlias = str | int | float | None
Tone: TypeAlias = Literal["neutral", "good", "caution", "bad"]

_DPI = 200  # least resolution of an embedded figure: two device pixels for each of the page
_PAGE_PX_PER_INCH = 100
_LOOKS_NUMERIC = re.compile(r"[+\-\N{MINUS SIGN}\N{PLUS-MINUS SIGN}<>~]?\s*\.?\d")
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Picture:
    """A figure with its words.

    Attributes:
        image: A matplotlib figure, or the path of a PNG file.
        caption: A sentence below it.
        alt: What it shows, for those who do not see it; default the figure's own label
            (which the functions of `raw2logit.report.figures` set), else the caption.
    """

    image: "Figure | Path"
    caption: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Table:
    """A table; its first column heads the rows.

    Attributes:
        columns: Names of the columns.
        rows: One cell a column. None and NaN become a dash, a float is shown with four
            digits: pass text where the number of digits matters.
        caption: A sentence above it.
        align: One letter a column, "l", "r" or "c"; default right for columns of numbers.

    Raises:
        ValueError: If a row or `align` does not fit the columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    align: str = ""

    def __post_init__(self) -> None:
        """Refuse rows and an alignment that do not fit."""
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {number} has {len(row)} cells, "
                    f"the table has {len(self.columns)} columns: {list(self.columns)}"
                )
        if self.align and not re.fullmatch(f"[lrc]{{{len(self.columns)}}}", self.align):
            raise ValueError(
                f"align is {self.align!r}, expected one of 'l', 'r', 'c' "
                f"for each of {len(self.columns)} columns"
            )

    @property
    def texts(self) -> list[list[str]]:
        """The cells as they are shown."""
        return [[_cell_text(cell) for cell in row] for row in self.rows]

    @property
    def alignment(self) -> str:
        """One letter a column."""
        if self.align:
            return self.align
        texts = self.texts
        letters = ["l"]
        for index in range(1, len(self.columns)):
            column = [row[index] for row in texts if row[index] != _DASH]
            numeric = all(_LOOKS_NUMERIC.match(text) for text in column)
            letters.append("r" if numeric and column else "l")
        return "".join(letters)


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: Its heading.
        lead: What it says, in a sentence or two.
        figures: Pictures in order; a bare figure or path has no caption.
        tables: Tables, after the figures.
        notes: Plain sentences in small type, at the end.
    """

    title: str
    lead: str = ""
    figures: "Sequence[Picture | Figure | Path]" = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        title: Name of the report.
        subtitle: What was run, in a line.
        summary_cards: `(label, value, detail)` of the few numbers that matter.
        sections: The parts, in order.
        provenance: What is needed to run it again: versions, seeds, data, command, date.
        verdict: The answer, as one sentence.
        verdict_detail: What the answer rests on, in a sentence or two.
        tone: How the verdict is meant: "neutral", "good", "caution" or "bad".
        not_controlled: Plain sentences on what could explain the result and was not
            held fixed or tested.
    """

    title: str
    subtitle: str = ""
    summary_cards: Sequence[tuple[str, str, str]] = ()
    sections: Sequence[Section] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    verdict: str = ""
    verdict_detail: str = ""
    tone: Tone = "neutral"
    not_controlled: Sequence[str] = ()


@dataclass(frozen=True)
class _Embedded:
    """A picture as the template needs it; width and height in pixels of the page."""

    data: str
    width: int
    height: int
    caption: str
    alt: str


def write_report(report: Report, path: str | Path) -> Path:
    """Write a report as one self-contained HTML file.

    The file is written under a temporary name and renamed, so a report that fails
    to render leaves nothing, and an older one in its place stays.

    Args:
        report: What to write.
        path: The file. Missing folders are made.

    Returns:
        The path written.

    Raises:
        FileNotFoundError: If a picture's file does not exist.
        ValueError: If a picture's file is not a PNG.
    """
    path = Path(path)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("raw2logit.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(source).render(
        report=report,
        sections=[
            (section, [_embed(picture, section) for picture in section.figures])
            for section in report.sections
        ],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return path


def _embed(picture: "Picture | Figure | Path", section: Section) -> _Embedded:
    if not isinstance(picture, Picture):
        picture = Picture(picture)
    label = ""
    if isinstance(picture.image, str | Path):
        content = Path(picture.image).read_bytes()
        name = str(picture.image)
    else:
        figure = picture.image
        label = name = str(figure.get_label())
        buffer = BytesIO()
        dpi = max(figure.dpi, _DPI)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        content = buffer.getvalue()
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as image:
            (width, height), resolution = image.size, image.info.get("dpi")
    except OSError as error:
        raise ValueError(f"{name} is not a PNG picture: {error}") from error
    # A file that does not say its resolution is shown pixel by pixel.
    scale = _PAGE_PX_PER_INCH / resolution[0] if resolution and resolution[0] > 0 else 1.0
    return _Embedded(
        data=b64encode(content).decode("ascii"),
        width=max(round(width * scale), 1),
        height=max(round(height * scale), 1),
        caption=picture.caption,
        alt=picture.alt or label or picture.caption or f"Figure of the section {section.title}",
    )


def _cell_text(cell: object) -> str:
    # By the abstract types, since numpy's scalars are of those too.
    if cell is None or (isinstance(cell, Real) and isnan(cell)):
        return _DASH
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Integral):
        return str(int(cell)).replace("-", "\N{MINUS SIGN}")
    if isinstance(cell, Real):
        return f"{float(cell):.4g}".replace("-", "\N{MINUS SIGN}")
    return str(cell)
