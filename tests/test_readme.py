"""What the README tells a newcomer to type."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

import raw2logit as r2l
from raw2logit.cli import app, main
from raw2logit.lab.models import write_models
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.training import build_task

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
# Language and text of each fenced block.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [
    shlex.split(line)[1:]
    for language, block in BLOCKS
    if not language
    for line in block.splitlines()
    if line.startswith("raw2logit ")
]


def test_every_command_parses() -> None:
    assert len(COMMANDS) == 20
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
    dataset = r2l.RawMicroscopy("data")
    task = build_task(dataset, "bi,s,ga", TrainingConfig(), learn_pipeline=False, seed=0)
    write_models(task, dataset, Path("models"))
    shutil.copy(dataset.files[0], "tile.tif")
    names: dict[str, object] = {}
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert len(blocks) == 4
    for block in blocks:
        exec(block.replace("torch.rand(8, 256, 256)", "torch.rand(2, 16, 16)"), names)
    assert "'gamma': (2, 3, 16, 16)" in capsys.readouterr().out
    view = names["view"]
    assert isinstance(view, torch.Tensor)
    assert view.shape == (1, 3, 32, 48)


def test_the_picture_is_there() -> None:
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / picture).is_file()
