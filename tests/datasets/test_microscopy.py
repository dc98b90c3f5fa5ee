import shutil
from pathlib import Path

import pytest
import torch

from raw2logit import Camera, InputError, MissingDataError, RawMicroscopy
from raw2logit.datasets.microscopy import CLASS_COUNTS

from .layout import COUNT, SIZE, stem, write_image, write_microscopy

CLASSES = ("BAS", "EOS", "KSC", "LYA", "LYT", "MON", "NGB", "NGS", "UNC")


def message_of(root: Path, error: type[Exception] = InputError) -> str:
    with pytest.raises(error) as caught:
        RawMicroscopy(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_published_counts() -> None:
    assert tuple(CLASS_COUNTS) == CLASSES == tuple(sorted(CLASSES))
    assert tuple(CLASS_COUNTS.values()) == (18, 54, 163, 30, 230, 191, 8, 216, 30)
    assert sum(CLASS_COUNTS.values()) == 940


def test_a_generated_set(root: Path) -> None:
    dataset = RawMicroscopy(root)
    assert len(dataset) == len(dataset.files) == len(dataset.groups) == len(dataset.labels) == COUNT
    assert dataset.name == "microscopy"
    assert dataset.task == "classification"
    assert dataset.classes == CLASSES
    assert dataset.camera == Camera.preset("microscopy")
    assert sum(dataset.class_counts().values()) == COUNT
    assert dataset.target_files() == []
    label_lines = (root / "microscopy/labels/Ma190c_annotations.dat").read_text().splitlines()
    for index, line in enumerate(label_lines):
        name, code = line.split()
        assert dataset.files[index] == root / f"microscopy/images/raw_scale100/{name}.tiff"
        mosaic, target = dataset[index]
        assert mosaic.shape == (SIZE, SIZE)
        assert mosaic.dtype == torch.float32
        assert 0 <= mosaic.min() < mosaic.max() <= 1
        assert target.dtype == torch.int64
        assert target.shape == ()
        assert CLASSES[target] == code
        assert dataset.labels[index] == target


def test_load_reads_the_same(root: Path) -> None:
    dataset = RawMicroscopy(root)
    mosaics, targets = dataset.load()
    assert mosaics.shape == (COUNT, SIZE, SIZE)
    assert mosaics.dtype == torch.float32
    assert targets.tolist() == dataset.labels
    assert torch.equal(mosaics[5], dataset[5][0])


def test_intensities_share_labels_and_groups(root: Path) -> None:
    full, dim = RawMicroscopy(root), RawMicroscopy(root, intensity=0.1)
    assert [file.name for file in dim.files] == [file.name for file in full.files]
    assert {file.parent.name for file in dim.files} == {"raw_scale010"}
    assert dim.labels == full.labels
    assert dim.groups == full.groups
    assert dim.fingerprint() != full.fingerprint()


def test_groups_are_zones_of_slides(tmp_path: Path) -> None:
    numbers = (0, 7, 8, 79, 80, 160)
    write_microscopy(tmp_path, "".join(f"{stem(number)} NGS\n" for number in numbers))
    dataset = RawMicroscopy(tmp_path)
    assert dataset.groups == [
        "lame1_zone1",
        "lame1_zone1",
        "lame1_zone2",
        "lame1_zone10",
        "lame2_zone1",
        "lame3_zone1",
    ]


def test_a_foreign_name_is_a_group_of_its_own(tmp_path: Path) -> None:
    write_microscopy(tmp_path, f"mine_1 NGS\n{stem(0)} NGS\nmine_2 NGS\n")
    assert RawMicroscopy(tmp_path).groups == ["mine_1", "lame1_zone1", "mine_2"]


def test_what_is_left_out(tmp_path: Path) -> None:
    rare = ("EBO", "MMZ", "MOB", "MYB", "MYO", "PMB", "PMO")
    invalid = "Ma190c_lame3_zone13_composite_Mcropped_2"
    neighbour = "Ma190c_lame3_zone13_composite_Mcropped_21"
    lines = [f"{stem(number)} {code}" for number, code in enumerate((*CLASSES, *rare))]
    write_microscopy(tmp_path, "\n".join([*lines, "", f"{invalid} NGS", f"{neighbour} NGS", " "]))
    # What is left out needs no image.
    (tmp_path / f"microscopy/images/raw_scale100/{invalid}.tiff").unlink()
    dataset = RawMicroscopy(tmp_path)
    assert [dataset.classes[label] for label in dataset.labels] == [*CLASSES, "NGS"]
    assert [file.stem for file in dataset.files][-1] == neighbour
    assert dataset.class_counts() == {code: 2 if code == "NGS" else 1 for code in CLASSES}


def test_repeated_lines_count_once(tmp_path: Path) -> None:
    write_microscopy(tmp_path, f"{stem(0)} NGS\n{stem(1)} BAS\r\n{stem(0)}\tNGS\n")
    assert len(RawMicroscopy(tmp_path)) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{stem(5)} XYZ", "unknown class 'XYZ': known are BAS EOS KSC LYA LYT MON NGB NGS UNC"),
        (f"{stem(5)} ngs", "unknown class 'ngs'"),
        (f"{stem(5)}", "expected '<file stem> <class code>'"),
        (f"{stem(5)} NGS 3", "expected '<file stem> <class code>'"),
        (f"{stem(0)} BAS", "is BAS here and NGS above"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    label_file = write_microscopy(tmp_path, f"{stem(0)} NGS\n\n{line}\n")
    message = message_of(tmp_path)
    assert message.startswith(f"{label_file}:3: ")
    assert words in message


def test_a_label_file_that_is_no_text(tmp_path: Path) -> None:
    label_file = write_microscopy(tmp_path, "")
    label_file.write_bytes(b"\x89PNG\r\n\xff\xfe")
    assert message_of(tmp_path).startswith(f"{label_file}: no text")


def test_missing_images(tmp_path: Path) -> None:
    label_file = write_microscopy(tmp_path, "".join(f"{stem(n)} NGS\n" for n in range(4)))
    folder = tmp_path / "microscopy/images/raw_scale100"
    (folder / f"{stem(1)}.tiff").unlink()
    message = message_of(tmp_path, MissingDataError)
    assert message.startswith(f"{folder / stem(1)}.tiff: ")
    assert str(label_file) in message
    assert "more" not in message.split(":")[0]
    (folder / f"{stem(3)}.tiff").unlink()
    assert f"{stem(1)}.tiff and 1 more: " in message_of(tmp_path, MissingDataError)


def test_a_set_without_images(tmp_path: Path) -> None:
    label_file = write_microscopy(tmp_path, "\n")
    message = message_of(tmp_path, MissingDataError)
    assert message.startswith(f"{label_file}: names no image")
    label_file.unlink()
    assert message_of(tmp_path, MissingDataError).startswith(f"{label_file}: not there. Generate")


def test_a_missing_set_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        RawMicroscopy(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'microscopy/images/raw_scale100'}: ")
    assert f"`raw2logit data generate microscopy --root {tmp_path}`" in message
    assert "10.5281/zenodo.5235536" in message
    assert "\n" not in message


def test_an_intensity_that_was_not_generated(root: Path) -> None:
    with pytest.raises(MissingDataError, match="raw_scale025"):
        RawMicroscopy(root, intensity=0.25)


@pytest.mark.parametrize("intensity", [0.0, 0.33, 2.0, 100])
def test_unknown_intensities(root: Path, intensity: float) -> None:
    with pytest.raises(InputError, match=r"none of 1 0\.75 0\.5 0\.25 0\.1 0\.05 0\.01"):
        RawMicroscopy(root, intensity=intensity)


def test_the_default_root(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAW2LOGIT_DATA", str(root))
    assert len(RawMicroscopy()) == COUNT
    monkeypatch.delenv("RAW2LOGIT_DATA")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root / "microscopy", tmp_path / "data" / "microscopy")
    assert len(RawMicroscopy()) == COUNT
    assert len(RawMicroscopy(str(root))) == COUNT


def test_images_of_different_sizes(tmp_path: Path) -> None:
    write_microscopy(tmp_path, f"{stem(0)} NGS\n{stem(1)} NGS\n")
    other = write_image(tmp_path / f"microscopy/images/raw_scale100/{stem(1)}.tiff", 6)
    with pytest.raises(InputError) as caught:
        RawMicroscopy(tmp_path).load()
    assert str(caught.value).startswith(f"{other}: (6, 6) pixels, but {stem(0)}.tiff has (4, 4)")


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    write_microscopy(tmp_path, f"{stem(0)} NGS\n{stem(1)} NGS\n")
    broken = tmp_path / f"microscopy/images/raw_scale100/{stem(1)}.tiff"
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(InputError) as caught:
        RawMicroscopy(tmp_path).load()
    assert str(caught.value).startswith(f"{broken}: broken TIFF")


def test_the_fingerprint_follows_content_and_labels(tmp_path: Path) -> None:
    labels = f"{stem(0)} NGS\n{stem(1)} BAS\n"
    label_file = write_microscopy(tmp_path / "a", labels)
    write_microscopy(tmp_path / "b", labels)
    first = RawMicroscopy(tmp_path / "a").fingerprint()
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert RawMicroscopy(tmp_path / "b").fingerprint() == first

    label_file.write_text(labels.replace("BAS", "EOS"))
    assert RawMicroscopy(tmp_path / "a").fingerprint() != first
    label_file.write_text("\n".join(reversed(labels.splitlines())))
    assert RawMicroscopy(tmp_path / "a").fingerprint() != first
    label_file.write_text(labels)
    assert RawMicroscopy(tmp_path / "a").fingerprint() == first

    image = RawMicroscopy(tmp_path / "a").files[0]
    renamed = image.rename(image.with_stem(stem(9)))
    label_file.write_text(labels.replace(stem(0), stem(9)))
    assert RawMicroscopy(tmp_path / "a").fingerprint() != first
    renamed.rename(image)
    label_file.write_text(labels)
    assert RawMicroscopy(tmp_path / "a").fingerprint() == first

    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    assert RawMicroscopy(tmp_path / "a").fingerprint() != first
