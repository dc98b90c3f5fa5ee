"""``raw2logit data info`` through the real entry point."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from raw2logit import Camera
from raw2logit.cli import main
from raw2logit.datasets import findings
from raw2logit.datasets.synthetic.generate import generate_drone, generate_microscopy
from raw2logit.dng import write_dng
from raw2logit.raw import write_mosaic_tiff


@pytest.fixture
def data(own_folder: Path) -> Path:
    """A small generated set where commands look for it."""
    root = Path("data")
    generate_microscopy(root, count=20, size=32, intensities=(1.0, 0.05), workers=1)
    return root / "microscopy"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["data", "info", *words, "--workers", "1"])
    return code, capsys.readouterr().out


def image(data: Path, number: int) -> Path:
    return sorted((data / "images/raw_scale100").iterdir())[number]


def test_whole(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys)
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == "microscopy in data/microscopy: generated (count 20, size 32, seed 0)"
    assert "  images: 20 files of each of 2 intensities, not as published:" in lines
    assert lines[-1] == "  Nothing is missing or broken."
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines]
    assert [row[:3] for row in rows if row[1:3] == ["20", "32x32"]] == [
        ["1", "20", "32x32"],
        ["0.05", "20", "32x32"],
    ]


def test_tables_are_aligned(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run(capsys)
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("    intensity")]
    assert len(starts) == 2
    for start in starts:
        assert len({len(line) for line in lines[start : start + 3]}) == 1


def test_broken(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone, broken = image(data, 3), image(data, 4)
    gone.unlink()
    broken.write_bytes(b"II*\0")
    code, text = run(capsys, "--data", "microscopy")
    assert code == 1
    assert "\n  images: 20 files expected of each of 2 intensities, not as published:\n" in text
    assert "\n  2 problems\n" in text
    assert f"\n    missing     images/raw_scale100/{gone.name}: not there\n" in text
    assert f"\n    unreadable  images/raw_scale100/{broken.name}: broken TIFF (" in text
    assert text.splitlines()[-1] == (
        "  To mend it, take broken files away, then repeat `raw2logit data generate microscopy "
        "--root data --count 20 --size 32 --seed 0 --intensity 1 0.05`."
    )


def test_the_mend_it_names_mends_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(data, 3).unlink()
    _, text = run(capsys)
    words = text.split("`")[1].split()
    assert words[0] == "raw2logit"
    assert main([*words[1:], "--workers", "1"]) == 0
    assert run(capsys)[0] == 0


def test_notes_alone_are_no_failure(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mosaic_tiff(data / "images/raw_scale100/more.tiff", torch.full((32, 32), 0.5))
    code, text = run(capsys)
    assert code == 0
    assert "\n  1 note\n    unnamed  images/raw_scale100/more.tiff: nothing names it" in text
    assert text.endswith("  Nothing is missing or broken.\n")


def test_of_many_only_some_are_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        image(data, number).write_bytes(b"x")
    _, text = run(capsys)
    assert text.count("unreadable  images") == 5
    assert "    unreadable  and 7 more: --json lists all\n" in text
    _, text = run(capsys, "--json")
    assert len(json.loads(text)["datasets"][0]["problems"]) == 12


def keys(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def test_json_has_the_figures_of_the_text(
    data: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate_drone(own_folder / "data", count=8, size=32, workers=1)
    image(data, 3).write_bytes(b"x")
    code, text = run(capsys)
    json_code, output = run(capsys, "--json")
    assert code == json_code == 1
    info: dict[str, Any] = json.loads(output)
    assert info.keys() == {"whole", "datasets"}
    assert info["whole"] is False
    assert [each["name"] for each in info["datasets"]] == ["microscopy", "drone"]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for dataset in info["datasets"]:
        assert dataset.keys() == keys(findings.DatasetInfo)
        for finding in dataset["problems"]:
            assert finding.keys() == keys(findings.Finding)
            assert f"{finding['kind']} {finding['file']}: {finding['message']}" in lines
        for section in dataset["sections"]:
            assert section.keys() == keys(findings.SectionInfo)
            told = [line for line in lines if line.startswith(f"{section['name']}: ")]
            assert f"{section['expected']} files" in told[0]
            for exposure in section["exposures"]:
                assert exposure.keys() == keys(findings.Exposure)
                levels = exposure["levels"]
                assert levels.keys() == keys(findings.Levels)
                start = f"{exposure['intensity']:g}"
                size = next(iter(exposure["sizes"]))
                low, high = (f"{levels[name]:.4f}" for name in ("minimum", "maximum"))
                row = f"{start} {exposure['files']} {size} {low} {high} "
                assert any(line.startswith(row) for line in lines)
                sites = levels["sites"].values()
                assert all(site.keys() == keys(findings.SiteLevels) for site in sites)
                means = " ".join(f"{site['mean']:.4f} ±{site['std']:.4f}" for site in sites)
                assert f"{start} {means}" in lines
                if exposure["classes"]:
                    counts = ", ".join(f"{k} {v}" for k, v in exposure["classes"].items())
                    assert any(line.endswith(counts) for line in lines)


def test_json_goes_alone_to_standard_output(data: Path) -> None:
    words = [sys.executable, "-c", "from raw2logit.cli import main; raise SystemExit(main())"]
    done = subprocess.run(
        [*words, "data", "info", "data", "--json", "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["whole"] is True
    assert "reading data" in done.stderr


def test_a_folder_of_ones_own(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(4):
        values = torch.rand(24, 24, generator=torch.Generator().manual_seed(index))
        folder = own_folder / "own" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_mosaic_tiff(folder / f"{index}.tif", values)
    code, text = run(capsys, "--data", "folder:own")
    assert code == 1
    assert "refused  a/0.tif: the file does not tell its camera: put a camera.yaml" in text
    code, text = run(capsys, "--data", "folder:own", "--camera", "drone")
    assert code == 0
    start = "folder:own in own: your own (task classification)\n\n  files: 4 files\n    a 2, b 2\n"
    assert text.startswith(start)
    for index in range(4):
        file = own_folder / "dng" / f"class{index % 2}" / f"{index}.dng"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_dng(file, torch.full((24, 24), 0.1 * index + 0.1), Camera("model", cfa="BGGR"))
    code, text = run(capsys, "--data", "folder:own", "folder:dng", "--camera", "drone")
    assert code == 1
    assert "4 problems" in text
    assert "its metadata says BGGR, camera 'drone' says RGGB" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "data: no data set in it: make one with `raw2logit data generate"),
        (["--data", "cells"], "unknown data set 'cells'"),
        (["--data", "folder:nowhere"], "nowhere: no such folder or CSV"),
        (["here", "--data", "folder:x"], "leave ROOT out"),
        (["--crop-odd"], "--camera, --task and --crop-odd are for --data folder:PATH"),
        (["--yaml"], "--yaml"),
    ],
)
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("raw2logit: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
