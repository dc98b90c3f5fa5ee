from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from raw2logit.report.figures import drift_heatmap, save_png
from raw2logit.report.html import Picture, Report, Section, Table, write_report

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Every element with its attributes and text; fails on tags that do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def texts(self, tag: str) -> list[str]:
        return [" ".join("".join(t).split()) for name, _, t in self.elements if name == tag]


def heatmap() -> Figure:
    return drift_heatmap([[0.831, 0.5]], [[0.01, 0.02]], ["a"], ["a", "b"], "Accuracy")


def example(**changes: object) -> Report:
    fields: dict[str, object] = {
        "title": "Drift synthesis",
        "subtitle": "two views",
        "verdict": "The model does not survive view b.",
        "summary_cards": [("Own view", "83.1 %", "± 1.0"), ("Worst", "50.0 %", "")],
        "sections": [
            Section(
                "Grid",
                "Outlined: own view.",
                [Picture(heatmap(), "Accuracy by view.")],
                [Table(["View", "a", "b"], [["a", 0.831, float("nan")]], "The grid.")],
                ["Two splits only."],
            ),
            Section("Nothing"),
        ],
        "provenance": {"Command": "raw2logit synthesis", "Seed": "72"},
        "not_controlled": ["The light of the scene."],
    }
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_file_holds_everything_it_shows(tmp_path: Path) -> None:
    path = write_report(example(), tmp_path / "run" / "report.html")
    page = Page(path)
    source = path.read_text(encoding="utf-8")
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#"))
    assert not page.attributes("script")
    assert "url(" not in source
    assert "@import" not in source
    assert "http://" not in source
    assert "https://" not in source
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_pictures_are_png_with_their_size_and_an_alternative_text(tmp_path: Path) -> None:
    figure = heatmap()
    file = save_png(figure, tmp_path / "grid.png")
    own = Figure(figsize=(3, 2), dpi=72)
    sections = [Section("Grid", figures=[figure, file, Picture(own, "My own.", alt="Empty")])]
    images = Page(write_report(example(sections=sections), tmp_path / "r.html")).attributes("img")
    sizes = []
    for image in images:
        head, data = str(image["src"]).split(",")
        assert head == "data:image/png;base64"
        with Image.open(BytesIO(b64decode(data, validate=True))) as decoded:
            decoded.load()
            assert decoded.format == "PNG"
            sizes.append(decoded.size)
    shown = [(int(str(image["width"])), int(str(image["height"]))) for image in images]
    assert sizes[0] == sizes[1]
    assert shown[0] == shown[1] == pytest.approx([side / 2 for side in sizes[0]], abs=1)
    assert sizes[2] == (600, 400)
    assert shown[2] == (300, 200)
    assert [image["alt"] for image in images] == [
        figure.get_label(),
        "Figure of the section Grid",
        "Empty",
    ]


def test_all_words_arrive(tmp_path: Path) -> None:
    page = Page(write_report(example(), tmp_path / "r.html"))
    assert page.texts("title") == page.texts("h1") == ["Drift synthesis"]
    assert page.texts("h2") == ["Grid", "Nothing", "What was not controlled", "Provenance"]
    assert page.texts("figcaption") == ["Figure 1. Accuracy by view.", "Table 1. The grid."]
    assert page.texts("dt") == ["Own view", "Worst"]
    assert page.texts("dd") == ["83.1 %", "± 1.0", "50.0 %"]
    assert "The model does not survive view b." in page.texts("p")
    assert {"Two splits only.", "The light of the scene."} <= set(page.texts("li"))
    assert page.texts("td") == ["0.831", "\N{EN DASH}", "raw2logit synthesis", "72"]


def test_contents_lead_to_every_part(tmp_path: Path) -> None:
    page = Page(write_report(example(), tmp_path / "r.html"))
    targets = [str(link["href"]).removeprefix("#") for link in page.attributes("a")]
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert targets == [section["id"] for section in page.attributes("section")]
    assert len(targets) == 4
    assert len(ids) == len(set(ids))


def test_table_headers_have_their_scope(tmp_path: Path) -> None:
    page = Page(write_report(example(), tmp_path / "r.html"))
    texts = page.texts("th")
    heads = [(text, th["scope"]) for text, th in zip(texts, page.attributes("th"), strict=True)]
    assert heads == [
        *[("View", "col"), ("a", "col"), ("b", "col"), ("a", "row")],
        *[("Command", "row"), ("Seed", "row")],
    ]


def test_an_almost_empty_report_is_a_page(tmp_path: Path) -> None:
    page = Page(write_report(Report("Only a title"), tmp_path / "r.html"))
    assert page.texts("h1") == ["Only a title"]
    assert not page.attributes("section")


def test_markup_in_any_text_stays_text(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"><img src=x onerror=y>"
    figure = heatmap()
    figure.set_label(evil)
    table = Table([evil, evil], [[evil, evil]], evil)
    report = Report(
        title=evil,
        subtitle=evil,
        summary_cards=[(evil, evil, evil)],
        sections=[Section(evil, evil, [figure, Picture(heatmap(), evil, evil)], [table], [evil])],
        provenance={evil: evil},
        verdict=evil,
        verdict_detail=evil,
        not_controlled=[evil],
    )
    page = Page(write_report(report, tmp_path / "r.html"))
    assert not page.attributes("script")
    assert len(page.attributes("img")) == 2
    assert not any("onerror" in attributes for _, attributes, _ in page.elements)
    assert page.texts("h1") == [evil]
    assert {image["alt"] for image in page.attributes("img")} == {evil}


def test_a_report_that_fails_leaves_the_old_one_and_no_temporary_file(tmp_path: Path) -> None:
    path = write_report(example(), tmp_path / "report.html")
    before = path.read_bytes()
    lost = example(sections=[Section("Lost", figures=[tmp_path / "missing.png"])])
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        write_report(lost, path)
    # A lone surrogate renders, and then cannot be encoded: the failure comes while writing.
    with pytest.raises(UnicodeEncodeError):
        write_report(example(title="\ud800"), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_only_png_files_are_taken(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(photo)
    with pytest.raises(ValueError, match=r"photo\.jpg is not a PNG"):
        write_report(example(sections=[Section("Photo", figures=[photo])]), tmp_path / "r.html")


def test_cells_are_shown_by_their_kind() -> None:
    table = Table(
        ["name", "n", "value", "ok", "remark"],
        [["a", -3, np.float32(-0.25), True, None], ["b", np.int64(4), 0.123456, False, "seen"]],
    )
    assert table.texts == [
        ["a", "\N{MINUS SIGN}3", "\N{MINUS SIGN}0.25", "yes", "\N{EN DASH}"],
        ["b", "4", "0.1235", "no", "seen"],
    ]
    assert table.alignment == "lrrll"
    assert Table(["a", "b"], [["x", "83.1 ± 1.2"]]).alignment == "lr"
    assert Table(["a", "b"], [["x", 1]], align="cl").alignment == "cl"


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"row 1 has 1 cells, the table has 2 columns"):
        Table(["a", "b"], [["x", 1], ["y"]])
    with pytest.raises(ValueError, match="align is 'lx'"):
        Table(["a", "b"], [["x", 1]], align="lx")
