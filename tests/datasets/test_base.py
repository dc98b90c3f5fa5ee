"""What all data sets share: one pass over the files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raw2logit.datasets import RawDrone, RawMicroscopy, base, drone
from raw2logit.errors import InputError
from raw2logit.tasks.training import LoadedData


@pytest.mark.parametrize("kind", [RawMicroscopy, RawDrone])
def test_loading_reads_every_file_once(
    root: Path, kind: type[RawMicroscopy | RawDrone], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = kind(root)
    expected = (*dataset.load(), dataset.fingerprint())
    read: list[Path] = []
    for module, name in ((base, "read_raw"), (drone, "read_mask")):
        function = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda path, function=function: (read.append(path), function(path))[1]
        )
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} read again"))
    loaded = LoadedData.of(dataset)
    assert sorted(read) == sorted([*dataset.files, *dataset.target_files()])
    assert torch.equal(loaded.raw, expected[0])
    assert torch.equal(loaded.targets, expected[1])
    assert loaded.fingerprint == expected[2]


def test_progress_tells_of_every_file(root: Path) -> None:
    told: list[tuple[str, int, int]] = []
    dataset = RawMicroscopy(root)
    dataset.load(lambda *step: told.append(step))
    assert told == [
        ("reading microscopy", number, len(dataset)) for number in range(1, len(dataset) + 1)
    ]


@pytest.mark.parametrize("content", ["{", "[1]", "\xff"])
def test_a_broken_manifest_is_named(tmp_path: Path, content: str) -> None:
    manifest = tmp_path / "microscopy" / base.MANIFEST
    manifest.parent.mkdir()
    manifest.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"generated\.json: broken"):
        RawMicroscopy(tmp_path)
