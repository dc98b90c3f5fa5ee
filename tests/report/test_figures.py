import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from raw2logit.report import figures as f

VIEWS = ["bi,s,me", "bi,u,ga", "me,u,me"]
MEAN = np.array([[0.831, 0.664, 0.5], [0.702, 0.8449, 0.651], [0.9996, 0.04, 0.829]])
STD = np.array([[0.012, 0.004, 0.1], [0.0, 0.01, 0.02], [0.003, 0.001, 0.05]])


def cell_texts(figure: Figure) -> dict[tuple[int, int], list[str]]:
    found: dict[tuple[int, int], list[str]] = {}
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        found.setdefault((int(y), int(x)), []).append(text.get_text())
    return found


def outlined(figure: Figure) -> set[tuple[int, int]]:
    patches = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    return {(int(p.get_y()), int(p.get_x())) for p in patches}


def pixels(figure: Figure, folder: Path) -> npt.NDArray[np.uint8]:
    with Image.open(f.save_png(figure, folder / "figure.png")) as image:
        return np.asarray(image.convert("RGB"))


def contains(page: npt.NDArray[np.uint8], block: npt.NDArray[np.uint8]) -> bool:
    high, wide = block.shape[:2]
    corners = np.argwhere((page[: -high + 1, : -wide + 1] == block[0, 0]).all(axis=-1))
    return any(np.array_equal(page[y : y + high, x : x + wide], block) for y, x in corners)


def test_each_cell_shows_its_mean_and_spread() -> None:
    texts = cell_texts(f.drift_heatmap(MEAN, STD, VIEWS, VIEWS, "Accuracy"))
    assert texts[0, 0] == ["83.1", "± 1.2"]
    assert texts == {
        (i, j): [f"{100 * MEAN[i, j]:.1f}", f"± {100 * STD[i, j]:.1f}"]
        for i in range(3)
        for j in range(3)
    }


def test_own_views_are_outlined_wherever_they_stand() -> None:
    figure = f.drift_heatmap(MEAN[:2], None, VIEWS[:2], [VIEWS[2], VIEWS[1], VIEWS[0]], "IoU")
    assert outlined(figure) == {(0, 2), (1, 1)}


def test_a_missing_cell_is_a_dash_without_spread() -> None:
    mean = MEAN.copy()
    mean[1, 2] = np.nan
    texts = cell_texts(f.drift_heatmap(mean, STD, VIEWS, VIEWS, "Accuracy"))
    assert texts[1, 2] == [f.style.DASH]
    assert texts[1, 1] == ["84.5", "± 1.0"]


def test_a_grid_without_any_value_can_be_drawn(tmp_path: Path) -> None:
    nothing = np.full((2, 2), np.nan)
    for draw in (f.drift_heatmap, f.drop_heatmap):
        figure = draw(nothing, nothing, VIEWS[:2], VIEWS[:2], "Accuracy")
        assert all(texts == [f.style.DASH] for texts in cell_texts(figure).values())
        assert pixels(figure, tmp_path).size


def test_one_split_shows_no_spread() -> None:
    texts = cell_texts(f.drift_heatmap(MEAN, np.full((3, 3), np.nan), VIEWS, VIEWS, "Accuracy"))
    assert all(len(cell) == 1 for cell in texts.values())


def test_a_metric_that_is_no_fraction_is_shown_as_it_is() -> None:
    figure = f.drift_heatmap([[0.25, 1.5]], None, ["a"], ["a", "b"], "RMSE", percent=False)
    assert cell_texts(figure) == {(0, 0): ["0.250"], (0, 1): ["1.500"]}


def test_drop_is_own_view_minus_cell_and_its_map_is_centred() -> None:
    figure = f.drop_heatmap(MEAN, STD, VIEWS, VIEWS, "Accuracy")
    texts = cell_texts(figure)
    assert [texts[0, j] for j in range(3)] == [["0.0"], ["16.7", "± 0.4"], ["33.1", "± 10.0"]]
    assert texts[2, 0][0] == "\N{MINUS SIGN}17.1"
    mesh = figure.axes[0].collections[0]
    assert isinstance(mesh, QuadMesh)
    assert mesh.norm.vmin == -mesh.norm.vmax == pytest.approx(-78.9)


def test_drop_of_an_error_is_its_rise() -> None:
    figure = f.drop_heatmap(
        [[0.2, 0.5]], None, ["a"], ["a", "b"], "RMSE", percent=False, higher_is_better=False
    )
    assert cell_texts(figure)[0, 1] == ["0.300"]


def test_small_drops_do_not_fill_the_range_of_colours() -> None:
    for percent, unit in ((True, 100), (False, 1)):
        for reach in (0.05, 0.2):
            figure = f.drop_heatmap(
                [[0.5, 0.49]],
                None,
                ["a"],
                ["a", "b"],
                "R\u00b2",
                percent=percent,
                least_reach=reach,
            )
            mesh = figure.axes[0].collections[0]
            assert isinstance(mesh, QuadMesh)
            assert mesh.norm.vmax == pytest.approx(reach * unit)


def test_drop_without_an_own_view_is_missing() -> None:
    texts = cell_texts(f.drop_heatmap(MEAN[:, :2], None, VIEWS, VIEWS[:2], "Accuracy"))
    assert texts[2, 0] == texts[2, 1] == [f.style.DASH]
    assert texts[0, 1] == ["16.7"]


@pytest.mark.parametrize("size", [1, 3, 12])
def test_no_text_of_a_grid_leaves_its_cell_or_the_figure(size: int) -> None:
    names = [f"bi,u,{i:02d}" for i in range(size)]
    rng = np.random.default_rng(0)
    figure = f.drift_heatmap(
        rng.random((size, size)), rng.random((size, size)), names, names, "Accuracy"
    )
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    for text in axes.texts:
        (x0, y1), (x1, y0) = axes.transData.inverted().transform(text.get_window_extent())
        column, row = (int(v) for v in text.get_position())
        assert column < x0 < x1 < column + 1
        assert row < y0 < y1 < row + 1
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), *figure.texts]
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
    columns = sorted(label.get_window_extent().intervalx.tolist() for label in labels[:size])
    assert all(left[1] < right[0] for left, right in pairwise(columns))


def test_long_names_stay_inside_the_figure() -> None:
    names = ["bi,s,me", "white_balance.red=0.80x", "a$b$c"]
    figure = f.drift_heatmap(MEAN, STD, names, names, "Accuracy")
    FigureCanvasAgg(figure).draw()
    for label in (*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels()):
        box = label.get_window_extent()
        assert figure.bbox.contains(*box.min)
        assert figure.bbox.contains(*box.max)


@pytest.mark.parametrize("draw", [f.drift_heatmap, f.drop_heatmap])
def test_wrong_grid_shapes_are_named(draw: type[Figure]) -> None:
    with pytest.raises(ValueError, match=r"mean has shape \(3, 3\), expected \(2, 3\)"):
        draw(MEAN, STD, VIEWS[:2], VIEWS, "Accuracy")
    with pytest.raises(ValueError, match=r"std has shape \(3,\), expected \(3, 3\)"):
        draw(MEAN, STD[0], VIEWS, VIEWS, "Accuracy")


@pytest.mark.parametrize("size", [5, 64, 96])
def test_tiles_are_whole_multiples_of_their_pixels(size: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(size)
    views = {name: rng.random((3, size, size + 2)) for name in VIEWS}
    page = pixels(f.contact_sheet(views), tmp_path)
    scale = int(1.15 * 480 // (size + 2))
    for view in views.values():
        tile = np.rint(np.moveaxis(view, 0, -1) * 255).astype(np.uint8)
        assert contains(page, tile.repeat(scale, axis=0).repeat(scale, axis=1))


def test_large_tiles_are_averaged_over_whole_blocks(tmp_path: Path) -> None:
    view = np.zeros((3, 1200, 1200))
    view[:, ::3] = 0.6
    page = pixels(f.contact_sheet({"a": view}), tmp_path)
    assert contains(page, np.full((400, 400, 3), round(0.6 / 3 * 255), dtype=np.uint8))


def test_both_channel_orders_give_the_same_sheet(tmp_path: Path) -> None:
    view = np.random.default_rng(0).random((3, 20, 30))
    first = pixels(f.contact_sheet({"a": view}), tmp_path)
    assert np.array_equal(first, pixels(f.contact_sheet({"a": np.moveaxis(view, 0, -1)}), tmp_path))


def test_contact_sheet_labels_each_tile_and_sets_the_mosaic_apart() -> None:
    views = {f"v{i}": np.full((3, 8, 8), 0.5) for i in range(12)}
    axes = f.contact_sheet({**views, "raw": np.eye(8)}, title="lame1").axes[0]
    where = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(where) == {*views, "raw", "lame1"}
    assert where["raw"][0] < where["v0"][0]
    assert where["raw"][1] == where["v3"][1] < where["v4"][1]
    assert len({where[name][0] for name in views}) == 4


def test_a_mosaic_is_grey_and_brightened(tmp_path: Path) -> None:
    mosaic = np.tile([[0.01, 0.0025], [0.0025, 0.01]], (4, 4))
    page = pixels(f.contact_sheet({"raw": mosaic}), tmp_path)
    dark = round(0.25 ** (1 / 2.2) * 255)
    tile = np.where(mosaic == 0.01, 255, dark).astype(np.uint8)[..., None].repeat(3, axis=2)
    scale = int(1.15 * 480 // 8)
    assert contains(page, tile.repeat(scale, axis=0).repeat(scale, axis=1))


def test_pixels_that_are_not_finite_stand_out(tmp_path: Path) -> None:
    view = np.full((3, 4, 4), 0.5)
    view[1, 2, 2] = np.nan
    page = pixels(f.contact_sheet({"a": view}), tmp_path)
    assert (page == (0xD8, 0x1B, 0x60)).all(axis=-1).sum() == (552 // 4) ** 2


def test_gallery_has_a_row_a_sample_and_the_mosaic_first() -> None:
    view = np.full((3, 16, 16), 0.5)
    rows = [("EOS", {"bi,s,me": view, "raw": np.eye(16)}), ("MON", {"me,u,ga": view})]
    where = {
        text.get_text(): text.get_position()
        for text in f.view_gallery(rows).axes[0].texts
        if text.get_text() != f.style.DASH
    }
    assert where["raw"][0] < where["bi,s,me"][0] < where["me,u,ga"][0]
    assert where["raw"][1] == where["bi,s,me"][1] < where["EOS"][1] < where["MON"][1]
    assert where["EOS"][0] < where["raw"][0]


def test_difference_is_signed_around_mid_grey_and_says_its_gain(tmp_path: Path) -> None:
    base = np.full((3, 8, 8), 0.4)
    other = base + np.array([0.05, 0.0, -0.05])[:, None, None]
    figure = f.difference_strip("a", {"a": base, "b": other})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "Difference from a, \N{MULTIPLICATION SIGN} 8" in texts
    assert "rms 0.041" in texts
    colour = np.rint(np.array([0.9, 0.5, 0.1]) * 255).astype(np.uint8)
    page = pixels(figure, tmp_path)
    assert ((np.abs(page.astype(int) - colour) <= 1).all(axis=-1)).sum() >= (8 * 69) ** 2


def test_equal_views_differ_by_nothing() -> None:
    view = np.full((3, 8, 8), 0.4)
    figure = f.difference_strip("a", {"a": view, "b": view})
    assert "rms 0.000" in [text.get_text() for text in figure.axes[0].texts]


def test_wrong_pictures_are_named() -> None:
    with pytest.raises(ValueError, match=r"view 'x' has shape \(4, 8, 8\)"):
        f.contact_sheet({"x": np.zeros((4, 8, 8))})
    with pytest.raises(ValueError, match=r"view 'x' has shape \(1, 3, 8, 8\)"):
        f.view_gallery([("row", {"x": np.zeros((1, 3, 8, 8))})])
    with pytest.raises(ValueError, match="'nope' is not among"):
        f.difference_strip("nope", {"x": np.zeros((3, 8, 8))})
    with pytest.raises(ValueError, match=r"\(9, 8, 3\).*\(8, 8, 3\)"):
        f.difference_strip("x", {"x": np.zeros((3, 8, 8)), "y": np.zeros((3, 9, 8))})
    with pytest.raises(ValueError, match="empty"):
        f.contact_sheet({})
    with pytest.raises(ValueError, match="columns must be 1 or more, got 0"):
        f.contact_sheet({"x": np.zeros((3, 8, 8))}, columns=0)


def test_curves_are_the_mean_over_runs_with_a_band() -> None:
    curves = {
        "a": [([1, 2, 3], [0.1, 0.2, 0.3]), ([1, 2, 3], [0.3, 0.4, 0.5])],
        "b": [([1, 3], [0.0, 1.0])],
    }
    axes = f.learning_curves(curves, "Accuracy").axes[0]
    first, second = axes.lines
    np.testing.assert_allclose(first.get_ydata(), [0.2, 0.3, 0.4])
    np.testing.assert_allclose(second.get_ydata(), [0.0, 1.0])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(0.4 + np.std([0.3, 0.5], ddof=1))


def test_runs_at_different_steps_are_interpolated_where_both_reach() -> None:
    curves = {"a": [([0, 2, 4], [0.0, 2.0, 4.0]), ([1, 2, 3], [1.0, np.nan, 3.0])]}
    (line,) = f.learning_curves(curves, "Loss").axes[0].lines
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [1, 2, 3])


def test_twelve_curves_look_different() -> None:
    curves = {f"v{i}": [([1, 2], [0.0, i / 12])] for i in range(12)}
    lines = f.learning_curves(curves, "Accuracy").axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


def test_wrong_curves_are_named() -> None:
    with pytest.raises(ValueError, match=r"'a': steps \(2,\) and values \(3,\)"):
        f.learning_curves({"a": [([1, 2], [1, 2, 3])]}, "Loss")
    with pytest.raises(ValueError, match="'a' has no runs"):
        f.learning_curves({"a": []}, "Loss")


def test_png_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = f.contact_sheet({"a": np.zeros((3, 4, 4))})
    path = f.save_png(figure, tmp_path / "new" / "sheet.png")
    before = path.read_bytes()
    assert b"matplotlib" not in before

    def half_written(target: Path, content: bytes) -> int:
        with target.open("wb") as file:
            file.write(content[:4])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", half_written)
    with pytest.raises(OSError, match="disk full"):
        f.save_png(figure, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_pyplot_stays_out() -> None:
    code = (
        "import sys; from raw2logit.report import figures as f;"
        "f.drift_heatmap([[.5]], None, ['a'], ['a'], 'IoU');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
