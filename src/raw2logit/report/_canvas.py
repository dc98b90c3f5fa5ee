"""Sheets drawn without matplotlib: pictures in a grid, labelled, in milliseconds.

They are drawn after every epoch of a training, so what counts is that they cost little. As in
`raw2logit.report._tiles`, a pixel is enlarged by a whole number, or averaged over whole blocks.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TypeAlias

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from raw2logit.report import _style as style
from raw2logit.report._tiles import FloatArray, _resize

Pixels: TypeAlias = npt.NDArray[np.uint8]
Line: TypeAlias = tuple[str, str]
"""A line of text and its colour."""

GAMMA = 2.2
TEXT_PX, TITLE_PX = 11, 15
_LINE_PX, _TITLE_LINE_PX = 15, 21
_EDGE_PX, _GAP_PX = 16, 12
_CELL_PX = 112
"""A column is at least so wide, for the text below a picture."""
_LABEL_PX = 132
_LEAST_PX = 560
"""A sheet is at least so wide, for the text above it."""
_LONGEST = 400
"""So many letters of a text go into no line: no more are measured."""
_PERCENTILE = 99.5
_FAR_BELOW = 0.25
"""Negative values beyond this share of the largest are more than overshoot."""


@dataclass(frozen=True)
class Tile:
    """A picture of a grid.

    Attributes:
        picture: ``(h, w, 3)``, as large as it shall be shown.
        caption: Lines below it.
        border: Colour of a frame around it; None: a hairline.
    """

    picture: Pixels
    caption: Sequence[Line] = ()
    border: str | None = None


# --- From numbers to pixels -----------------------------------------------------------------


def display_range(values: npt.ArrayLike, *, encoded: bool) -> tuple[float, float]:
    """Return which values to show as black and as white.

    Encoded pictures are shown as they are. Linear ones reach up to their 99.5th percentile, since
    a few bright pixels would leave all others dark. Black is zero, or the 0.5th percentile where
    that is far below: the overshoot of a sharpening stays black, a negative gain is shown.

    Args:
        values: All of the pictures that shall share one scale.
        encoded: Whether they are in [0, 1] and gamma-encoded.
    """
    if encoded:
        return 0.0, 1.0
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, [100 - _PERCENTILE, _PERCENTILE])
    low = float(low) if low < -_FAR_BELOW * max(high, 0.0) else 0.0
    return low, float(high) if high > low else low + 1.0


def stage_pixels(
    stage: npt.ArrayLike, shown: tuple[float, float], target_px: int, *, encoded: bool
) -> Pixels:
    """Return the picture of a stage.

    A value v has brightness ``clip((v - low) / (high - low), 0, 1)``, to the power of 1 / 2.2
    where it is linear, of 255, rounded. What is not finite is magenta.

    Args:
        stage: ``(H, W)`` or ``(3, H, W)``.
        shown: Low and high, see `display_range`.
        target_px: About how large the picture shall be, see `fit`.
        encoded: Whether it is gamma-encoded already.
    """
    array = _channels_last(stage)
    low, high = shown
    values = np.clip((array - low) / (high - low), 0, 1)
    return fit(_marked(array, values if encoded else values ** (1 / GAMMA)), target_px)


def signed_pixels(values: npt.ArrayLike, span: float, target_px: int) -> Pixels:
    """Return a picture of signed values: mid-grey is zero, +-`span` are white and black.

    Args:
        values: ``(H, W)`` or ``(3, H, W)``.
        span: Positive.
        target_px: About how large the picture shall be, see `fit`.
    """
    array = _channels_last(values)
    return fit(_marked(array, np.clip(0.5 + 0.5 * array / span, 0, 1)), target_px)


def span_of(values: npt.ArrayLike) -> float:
    """Return the 99.5th percentile of what is finite, without sign; 1 where all is zero."""
    array = np.abs(np.asarray(values, dtype=np.float64))
    finite = array[np.isfinite(array)]
    span = float(np.percentile(finite, _PERCENTILE)) if finite.size else 0.0
    return span or float(finite.max(initial=0.0)) or 1.0


def fit(picture: FloatArray, target_px: int) -> Pixels:
    """Enlarge by a whole number up to `target_px`, or average whole blocks down to below twice it.

    Args:
        picture: ``(H, W, 3)`` in [0, 1].
        target_px: For the longer side.
    """
    side = max(picture.shape[:2])
    average = 1 if side < 2 * target_px else ceil(side / target_px)
    return _resize(picture, max(target_px // side, 1), average)


def _channels_last(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    return np.repeat(array[..., None], 3, axis=-1) if array.ndim == 2 else np.moveaxis(array, 0, -1)


def _marked(values: FloatArray, picture: FloatArray) -> FloatArray:
    finite = np.isfinite(values).all(axis=-1, keepdims=True)
    return np.where(finite, picture, np.array(ImageColor.getrgb(style.NOT_FINITE)) / 255)


# --- Text -----------------------------------------------------------------------------------


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many digits and a proper minus."""
    text = re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), f"{value + 0.0:.{digits}g}")
    return text.replace("-", style.MINUS)


def wrap(text: str, width_px: int, most_lines: int) -> list[str]:
    """Break a name where it is too long, after a ``_`` or ``/`` if it has one there.

    What does not go into the lines is left out before the name's end, where names differ.
    """
    lines: list[str] = []
    text = _one_line(text)
    while text and len(lines) < most_lines - 1 and _width(text) > width_px:
        end = len(text)
        while end > 1 and _width(text[:end]) > width_px:
            end -= 1
        at = max(text.rfind(mark, 0, end) for mark in "_/- ") + 1
        end = at if at > end // 2 else end
        lines.append(text[:end])
        text = text[end:]
    if _width(text) > width_px:
        while text and _width("\u2026" + text) > width_px:
            text = text[1:]
        text = "\u2026" + text
    return [*lines, text]


def _one_line(text: str) -> str:
    """Return what of a text can be measured and drawn in a line; people name classes and files."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\u2026{text[-_LONGEST // 2 :]}"
    plain = (" " if letter.isspace() else letter for letter in text)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in plain)


@lru_cache(maxsize=8)
def _font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    # The font of the figures: Pillow's own one has neither umlauts nor a minus.
    name = style.FAMILY.replace(" ", "") + ("-Bold" if bold else "")
    return ImageFont.truetype(
        Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), size_px
    )


@lru_cache(maxsize=4096)
def _width(text: str, size_px: int = TEXT_PX, *, bold: bool = False) -> float:
    return _font(size_px, bold=bold).getlength(text)


def _cut(text: str, width_px: float, size_px: int = TEXT_PX, *, bold: bool = False) -> str:
    text = _one_line(text)
    if _width(text, size_px, bold=bold) <= width_px:
        return text
    while text and _width(text + "\u2026", size_px, bold=bold) > width_px:
        text = text[:-1]
    return text + "\u2026"


# --- The grid -------------------------------------------------------------------------------


def column_width(picture: Pixels) -> int:
    """Return how wide a column of such pictures is."""
    return max(int(picture.shape[1]), _CELL_PX)


def draw_grid(
    rows: Sequence[Sequence[Tile | None]],
    *,
    title: str,
    notes: Sequence[str] = (),
    legend: Sequence[Line] = (),
    headers: Sequence[Sequence[str]] = (),
    labels: Sequence[Sequence[Line]] = (),
    group: int = 1,
) -> Image.Image:
    """Lay out pictures of one size.

    The layout depends on the number and size of the pictures and the number of lines of text, not
    on what the text says: text that is too long is cut.

    Args:
        rows: Pictures, None for an empty place.
        title: First line, bold.
        notes: Lines below it.
        legend: Text and colour of what is drawn in the pictures, after the notes.
        headers: Above each column a name and further lines.
        labels: Lines at the left of each row.
        group: How many rows belong together; a hairline parts one group from the next.
    """
    tiles = [tile for row in rows for tile in row if tile is not None]
    high = max(tile.picture.shape[0] for tile in tiles)
    wide = column_width(tiles[0].picture)
    n_columns = max(map(len, rows))
    captions = [max((len(tile.caption) for tile in row if tile), default=0) for row in rows]
    left = _EDGE_PX + (_LABEL_PX + _GAP_PX if labels else 0)
    head = _EDGE_PX + _TITLE_LINE_PX + _LINE_PX * (len(notes) + bool(legend)) + _GAP_PX // 2
    top = head + _LINE_PX * max(map(len, headers), default=0) + _GAP_PX // 2
    step_x = wide + _GAP_PX
    starts = [top]
    for index, lines in enumerate(captions, start=1):
        between = 2 * _GAP_PX if group > 1 and not index % group else 0
        starts.append(starts[-1] + high + _LINE_PX * lines + _GAP_PX + between)
    width = max(left + n_columns * step_x - _GAP_PX + _EDGE_PX, _LEAST_PX)
    height = starts[-1] - _GAP_PX - between + _EDGE_PX
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)

    def write(x: float, y: float, text: str, colour: str, room: float, anchor: str = "la") -> None:
        draw.text((x, y), _cut(text, room), fill=colour, font=_font(TEXT_PX), anchor=anchor)

    room = width - 2 * _EDGE_PX
    bold = _font(TITLE_PX, bold=True)
    text = _cut(title, room, TITLE_PX, bold=True)
    draw.text((_EDGE_PX, _EDGE_PX - 2), text, fill=style.INK, font=bold, anchor="la")
    y = _EDGE_PX + _TITLE_LINE_PX
    for note in notes:
        write(_EDGE_PX, y, note, style.MUTED, room)
        y += _LINE_PX
    x = float(_EDGE_PX)
    for text, colour in legend:
        draw.rectangle((x, y + 2, x + 18, y + 10), fill=colour, outline=style.INK)
        write(x + 24, y, text, style.INK, room)
        x += 24 + _width(text) + 2 * _GAP_PX
    for column, header in enumerate(headers):
        for line, text in enumerate(header):
            colour = style.MUTED if line else style.INK
            centre = left + column * step_x + wide / 2
            write(centre, head + line * _LINE_PX, text, colour, wide, "ma")
    for index, row in enumerate(rows):
        y0 = starts[index]
        if group > 1 and index and not index % group:
            line_y = y0 - 3 * _GAP_PX // 2
            draw.line((_EDGE_PX, line_y, width - _EDGE_PX, line_y), fill=style.HAIRLINE)
        for line, (text, colour) in enumerate(labels[index] if labels else ()):
            write(_EDGE_PX, y0 + line * _LINE_PX, text, colour, _LABEL_PX)
        for column, tile in enumerate(row):
            if tile is not None:
                _place(image, draw, tile, left + column * step_x, y0, wide, high)
                for line, (text, colour) in enumerate(tile.caption):
                    centre = left + column * step_x + wide / 2
                    write(centre, y0 + high + 4 + line * _LINE_PX, text, colour, wide, "ma")
    return image


def _place(
    image: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, wide: int, high: int
) -> None:
    height, width = tile.picture.shape[:2]
    x, y = x + (wide - width) // 2, y + (high - height) // 2
    thick = 3 if tile.border else 1
    draw.rectangle(
        (x - thick, y - thick, x + width + thick - 1, y + height + thick - 1),
        fill=tile.border or style.HAIRLINE,
    )
    image.paste(Image.fromarray(tile.picture), (x, y))


def encode_png(image: Image.Image, texts: dict[str, str] | None = None) -> bytes:
    """Return a sheet as the bytes of a PNG, with texts inside that `Image.text` reads."""
    info = PngInfo()
    for key, text in (texts or {}).items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    # Higher levels take several times as long and save little of noisy pictures.
    image.save(buffer, "PNG", compress_level=3, pnginfo=info)
    return buffer.getvalue()
