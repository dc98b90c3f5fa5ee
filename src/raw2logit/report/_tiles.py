"""Sheets of views: small pictures in a grid, each pixel shown as it is.

A sheet is one array at the figure's own resolution, in which every tile is
enlarged by a whole number (or, if too large to show, averaged over whole
blocks). So a pixel of a view is a sharp square in the PNG, never a blend.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from raw2logit.report import _style as style
from raw2logit.report._style import text_style, text_width_in

FloatArray: TypeAlias = npt.NDArray[np.float64]

_SHEET_PX = 1960  # a page of 980 px at two device pixels each
_TILE_PX = 480
_GAP_PX = 22
_EDGE_PX = 24
_LINE_PX = 30


def contact_sheet(
    views: Mapping[str, npt.ArrayLike], columns: int | None = None, title: str | None = None
) -> Figure:
    """Lay out the views of one raw file, each with its name below.

    A two-dimensional entry is a raw mosaic: it is shown in grey, in a column of its
    own at the left, divided by its 99.5th percentile and gamma-encoded, since
    linear light is too dark to look at.

    Args:
        views: Name to picture: `(3, H, W)` or `(H, W, 3)` RGB in [0, 1], gamma-encoded, or
            `(H, W)` for a mosaic in linear light. Values outside are clipped, pixels that
            are not finite are drawn in magenta.
        columns: Tiles a row, not counting the mosaic; default 4, so that the twelve views
            stand with one demosaicing method a row.
        title: A line above the sheet.

    Returns:
        The figure; its label describes it in words.

    Raises:
        ValueError: If there is no view, a picture has another shape, or `columns` < 1.
    """
    if not views:
        raise ValueError("contact_sheet needs at least one view, got an empty mapping")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns}")
    tiles = {name: _picture(name, image) for name, image in views.items()}
    mosaics = [name for name, image in views.items() if np.ndim(image) == 2]
    others = [name for name in tiles if name not in mosaics]
    per_row = min(columns or 4, max(len(others), 1))
    rows = [others[i : i + per_row] for i in range(0, len(others), per_row)]
    cells: list[list[str | None]] = [list(row) for row in rows]
    if mosaics:
        cells += [[] for _ in range(len(mosaics) - len(cells))]
        cells = [[mosaics[i] if i < len(mosaics) else None, *row] for i, row in enumerate(cells)]
    figure = _sheet(
        [[None if name is None else (name, tiles[name]) for name in row] for row in cells],
        title=title,
    )
    figure.set_label(f"{title or 'Contact sheet'}: {', '.join(views)}.")
    return figure


def view_gallery(rows: Sequence[tuple[str, Mapping[str, npt.ArrayLike]]]) -> Figure:
    """Lay out several samples: one a row, the raw mosaic first, then each view.

    Args:
        rows: Pairs of a row label and the sample's pictures, as in `contact_sheet`. The
            columns are all names that occur, mosaics first; a sample may lack some.

    Returns:
        The figure; its label describes it in words.

    Raises:
        ValueError: If there is no picture or one has a wrong shape.
    """
    seen: dict[str, int] = {}
    for _, pictures in rows:
        for name, image in pictures.items():
            seen.setdefault(name, np.ndim(image))
    if not seen:
        raise ValueError(f"view_gallery needs at least one picture, got {len(rows)} empty rows")
    names = sorted(seen, key=lambda name: seen[name] != 2)  # stable: the given order otherwise
    cells = [
        [("", _picture(name, pictures[name])) if name in pictures else None for name in names]
        for _, pictures in rows
    ]
    figure = _sheet(cells, column_labels=names, row_labels=[label for label, _ in rows])
    figure.set_label(
        f"Samples {', '.join(label for label, _ in rows)} (rows) as {', '.join(names)} (columns)."
    )
    return figure


def difference_strip(
    reference_name: str,
    views: Mapping[str, npt.ArrayLike],
    *,
    gain: float | None = None,
    columns: int = 4,
) -> Figure:
    """Show what the processing changes: each view minus a reference, signed, amplified.

    Mid-grey is no change. All tiles share one gain, which is printed; below each
    stands the root mean square difference in units of full scale.

    Args:
        reference_name: The view to subtract, a key of `views`; it is shown first, as it is.
        views: Name to picture of one size, `(3, H, W)` or `(H, W, 3)` in [0, 1].
        gain: The factor; default the largest power of two up to 64 that leaves 99.5 % of
            the differences inside the range.
        columns: Tiles a row.

    Returns:
        The figure; its label describes it in words.

    Raises:
        ValueError: If the reference is not among the views or the shapes differ.
    """
    if reference_name not in views:
        raise ValueError(f"reference {reference_name!r} is not among the views {list(views)}")
    if columns < 1:
        raise ValueError(f"columns must be 1 or more, got {columns}")
    pictures: dict[str, FloatArray] = {}
    for name, image in views.items():
        if np.ndim(image) == 2:
            raise ValueError(f"view {name!r} has shape {np.shape(image)}, expected three channels")
        pictures[name] = _picture(name, image)
    reference = pictures.pop(reference_name)
    for name, picture in pictures.items():
        if picture.shape != reference.shape:
            raise ValueError(
                f"view {name!r} has shape {picture.shape}, "
                f"the reference {reference_name!r} has {reference.shape}"
            )
    changes = {name: picture - reference for name, picture in pictures.items()}
    if gain is None:
        spans = [np.percentile(np.abs(change), 99.5) for change in changes.values()]
        span = float(max(spans, default=0.0))
        gain = 2.0 ** np.clip(np.floor(np.log2(0.5 / span)), 0, 6) if span > 0 else 1.0
    tiles = [(f"{reference_name}\nreference", reference)]
    for name, change in changes.items():
        rms = float(np.sqrt(np.mean(change**2)))
        tiles.append((f"{name}\nrms {rms:.3f}", np.clip(0.5 + gain * change, 0, 1)))
    title = f"Difference from {reference_name}, {style.TIMES} {gain:g}"
    cells = [list(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    figure = _sheet(cells, title=title, note="mid-grey: no change")
    figure.set_label(f"{title}, for {', '.join(changes)}. Mid-grey is no change.")
    return figure


def _picture(name: str, image: npt.ArrayLike) -> FloatArray:
    """Bring a view or mosaic to `(H, W, 3)` in [0, 1]."""
    array = np.asarray(image, dtype=np.float64)
    shape = array.shape
    if array.ndim == 2 and 0 not in shape:
        finite = np.isfinite(array)
        white = float(np.percentile(array[finite], 99.5)) if finite.any() else 1.0
        grey = np.clip(array / white if white > 0 else array, 0, 1) ** (1 / 2.2)
        array = np.repeat(grey[..., None], 3, axis=-1)
    elif array.ndim == 3 and 0 not in shape and shape[0] == 3:
        array = np.moveaxis(array, 0, -1)
    elif array.ndim != 3 or 0 in shape or shape[-1] != 3:
        raise ValueError(
            f"view {name!r} has shape {shape}, expected (3, H, W), (H, W, 3) or (H, W)"
        )
    visible = np.isfinite(array).all(axis=-1, keepdims=True)
    return np.where(visible, np.clip(array, 0, 1), to_rgb(style.NOT_FINITE))


def _sheet(
    cells: Sequence[Sequence[tuple[str, FloatArray] | None]],
    *,
    title: str | None = None,
    note: str = "",
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
) -> Figure:
    columns = max(len(row) for row in cells)
    present = [tile for row in cells for tile in row if tile is not None]
    side_px = max(max(picture.shape[:2]) for _, picture in present)
    row_label_px = ceil(
        max((text_width_in(x, style.LABEL_PT) for x in row_labels), default=0) * style.DPI
    )
    left = _EDGE_PX + (row_label_px + 20 if row_labels else 0)
    room = (_SHEET_PX - left - _EDGE_PX) / columns - _GAP_PX
    target = 1.15 * min(room, _TILE_PX)
    enlarge, average = max(int(target // side_px), 1), ceil(side_px / target)
    shown = [
        [None if tile is None else (tile[0], _resize(tile[1], enlarge, average)) for tile in row]
        for row in cells
    ]
    sizes = [tile[1].shape for row in shown for tile in row if tile is not None]
    label_in = max(
        [text_width_in(label, style.LABEL_PT) for label, _ in present]
        + [text_width_in(label, style.LABEL_PT) for label in column_labels]
    )
    cell_h = max(size[0] for size in sizes)
    cell_w = max(max(size[1] for size in sizes), ceil(label_in * style.DPI))
    label_h = _LINE_PX * max(label.count("\n") + 1 if label else 0 for label, _ in present)
    step_x, step_y = cell_w + _GAP_PX, cell_h + _GAP_PX + (label_h + 6 if label_h else 0)
    top = _EDGE_PX + (_LINE_PX + 24 if title else 0) + (_LINE_PX + 10 if column_labels else 0)
    title_in = text_width_in(title or "", style.TITLE_PT, bold=True)
    heading_in = title_in + 0.14 + text_width_in(note, style.NOTE_PT)
    width = max(
        left + step_x * columns - _GAP_PX + _EDGE_PX, ceil(heading_in * style.DPI) + 2 * _EDGE_PX
    )
    height = top + step_y * len(cells) - _GAP_PX + _EDGE_PX

    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    # A hundredth of a pixel more, since the number of pixels is rounded down.
    figure = Figure(
        figsize=((width + 0.01) / style.DPI, (height + 0.01) / style.DPI),
        dpi=style.DPI,
        facecolor="white",
    )
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    named, quiet = text_style(style.LABEL_PT), text_style(style.NOTE_PT, style.MUTED)
    hairline = (np.array(to_rgb(style.HAIRLINE)) * 255).round()
    for row, tiles in enumerate(shown):
        for column, tile in enumerate(tiles):
            x0, y0 = left + column * step_x, top + row * step_y
            if tile is None:
                if column_labels:
                    axes.text(
                        x0 + cell_w / 2,
                        y0 + cell_h / 2,
                        style.DASH,
                        ha="center",
                        va="center",
                        **quiet,
                    )
                continue
            label, picture = tile
            high, wide = picture.shape[:2]
            x, y = x0 + (cell_w - wide) // 2, y0 + (cell_h - high) // 2
            canvas[y - 1 : y + high + 1, x - 1 : x + wide + 1] = hairline
            canvas[y : y + high, x : x + wide] = picture
            for line, text in enumerate(label.splitlines()):
                axes.text(
                    x0 + cell_w / 2,
                    y0 + cell_h + 8 + line * _LINE_PX,
                    text,
                    ha="center",
                    va="top",
                    **(quiet if line else named),
                )
    for column, label in enumerate(column_labels):
        x = left + column * step_x + cell_w / 2
        axes.text(x, top - 12, label, ha="center", va="baseline", **named)
    for row, label in enumerate(row_labels):
        y = top + row * step_y + cell_h / 2
        axes.text(left - 20, y, label, ha="right", va="center", **named)
    if title:
        heading = text_style(style.TITLE_PT, bold=True)
        baseline = _EDGE_PX + _LINE_PX
        axes.text(_EDGE_PX, baseline, title, va="baseline", **heading)
        if note:
            after = _EDGE_PX + (title_in + 0.14) * style.DPI
            axes.text(after, baseline, note, va="baseline", **quiet)
    axes.imshow(
        canvas, interpolation="nearest", extent=(0, width, height, 0), aspect="auto", origin="upper"
    )
    axes.set_xlim(0, width + 0.01)
    axes.set_ylim(height + 0.01, 0)
    return figure


def _resize(picture: FloatArray, enlarge: int, average: int) -> npt.NDArray[np.uint8]:
    if average > 1:
        high, wide = (max(size // average, 1) for size in picture.shape[:2])
        rows, columns = (min(average, size) for size in picture.shape[:2])
        trimmed = picture[: high * rows, : wide * columns]
        picture = trimmed.reshape(high, rows, wide, columns, 3).mean(axis=(1, 3))
    pixels = np.rint(picture * 255).astype(np.uint8)
    return pixels.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
