"""What the README tells a newcomer to type."""

import re
from pathlib import Path

import pytest
import torch

import raw2logit as r2l
from raw2logit.cli import app, main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
# Language and text of each fenced block.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.split()[1:]
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("raw2logit ")
]


def test_every_command_parses() -> None:
    assert len(COMMANDS) == 14
    for words in COMMANDS:
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.usefixtures("own_registry")
def test_every_python_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    r2l.write_dng(
        "IMG_0001.DNG", torch.rand(32, 48, generator=generator), r2l.Camera.preset("drone")
    )
    generate = ["data", "generate", "microscopy", "--count", "4", "--size", "32", "--workers", "1"]
    assert main(generate) == 0
    names: dict[str, object] = {}
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert len(blocks) == 3
    for block in blocks:
        exec(block.replace("torch.rand(8, 256, 256)", "torch.rand(2, 16, 16)"), names)
    assert "'gamma': (2, 3, 16, 16)" in capsys.readouterr().out
    view = names["view"]
    assert isinstance(view, torch.Tensor)
    assert view.shape == (1, 3, 32, 48)


def test_the_picture_is_there() -> None:
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / picture).is_file()
