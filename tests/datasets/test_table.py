"""The table of a data set of one's own: what it says, and what its errors name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from raw2logit.datasets.base import Task
from raw2logit.datasets.table import read_table
from raw2logit.errors import InputError, MissingDataError

from .layout import write_image, write_mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four raw files, two masks."""
    import numpy as np

    for name in ("a.tif", "b.tif", "sub/c.png", "d e.tif"):
        write_image(tmp_path / name)
    for name in ("ma.png", "mb.png"):
        write_mask(tmp_path / "m" / name, np.eye(4, dtype=np.uint8))
    return tmp_path


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_class_names_mean_classification(folder: Path) -> None:
    made = read_table(table(folder, "file,label\na.tif,cat\nb.tif,dog\nsub/c.png,cat\n"))
    assert made.task == "classification"
    assert made.files == [folder / "a.tif", folder / "b.tif", folder / "sub" / "c.png"]
    assert made.classes == ["cat", "dog", "cat"]
    assert made.groups == ["a.tif", "b.tif", "sub/c.png"]
    assert not made.values
    assert not made.masks


@pytest.mark.parametrize("number", ["2", "-0.5", "+1e3", ".5", "5.", "1E-3"])
def test_numbers_mean_regression(folder: Path, number: str) -> None:
    made = read_table(table(folder, f"file,label\na.tif,{number}\nb.tif,1\n"))
    assert made.task == "regression"
    assert made.values == [float(number), 1.0]


def test_numbers_may_be_codes_of_classes(folder: Path) -> None:
    made = read_table(table(folder, "file,label\na.tif,0\nb.tif,1\n"), "classification")
    assert made.task == "classification"
    assert made.classes == ["0", "1"]


def test_masks_mean_segmentation_and_groups_are_read(folder: Path) -> None:
    text = "file,mask,group\na.tif,m/ma.png,one\nb.tif,m/mb.png,one\n"
    made = read_table(table(folder, text))
    assert made.task == "segmentation"
    assert made.masks == [folder / "m" / "ma.png", folder / "m" / "mb.png"]
    assert made.groups == ["one", "one"]


TILES = (
    "file,mask,frame,row,column,mask_share,label\n"
    "a.tif,m/ma.png,DJI_0001,0,0,.25,car\nb.tif,m/mb.png,DJI_0001,0,1,0,no car\n"
)


@pytest.mark.parametrize("task", [None, "segmentation", "classification"])
def test_a_manifest_of_tiles(folder: Path, task: Task | None) -> None:
    made = read_table(table(folder, TILES), task)
    assert made.groups == ["DJI_0001", "DJI_0001"]
    assert made.task == (task or "segmentation")
    assert made.classes == (["car", "no car"] if task == "classification" else [])
    assert len(made.masks) == (0 if task == "classification" else 2)


def test_a_named_group_goes_before_the_frame(folder: Path) -> None:
    made = read_table(table(folder, "file,label,group,frame\na.tif,x,g,1\nb.tif,y,h,1\n"))
    assert made.groups == ["g", "h"]


def test_a_column_that_is_empty_throughout_counts_as_absent(folder: Path) -> None:
    made = read_table(table(folder, "file,mask,label,group\na.tif,,x,\nb.tif,,y,\n"))
    assert made.task == "classification"
    assert made.groups == ["a.tif", "b.tif"]


def test_what_spreadsheets_write(folder: Path) -> None:
    text = '\ufeffFile, Label \r\n"a.tif","x, y"\r\n\r\n,\r\nd e.tif , z\r\n'
    made = read_table(table(folder, text))
    assert made.files == [folder / "a.tif", folder / "d e.tif"]
    assert made.classes == ["x, y", "z"]


def test_absolute_paths(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "tables"
    elsewhere.mkdir()
    text = f"file,label\n{folder / 'a.tif'},x\n../b.tif,y\n"
    assert read_table(table(elsewhere, text)).files == [folder / "a.tif", folder / "b.tif"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "empty: the first line is file,label"),
        ("file,label\n", None, "names no file"),
        ("file;label\na.tif;x\n", 1, "unknown column 'file;label': known are file label"),
        ("file,label,colour\na.tif,x,red\n", 1, "unknown column 'colour'"),
        ("file,label,label\na.tif,x,y\n", 1, "a column stands twice"),
        ("file,group\na.tif,x\n", 1, "needs the columns 'file' and 'label' or 'mask'"),
        ("label,group\nx,y\n", 1, "needs the columns 'file' and 'label' or 'mask'"),
        ("a.tif,x\nb.tif,y\n", 1, "unknown column 'a.tif'"),
        ("file,label\na.tif,x\nb.tif\n", 3, "1 values for the 2 columns file,label"),
        ("file,label\na.tif,x\n\nb.tif,y,z\n", 4, "3 values for the 2 columns file,label"),
        ('file,label\na.tif,"x\n', 2, "broken line"),
        ("file,label\na.tif,x\nb.tif,\n", 3, "no label: fill it in"),
        ("file,label\na.tif,1\nb.tif,\n", 3, "no label: fill it in"),
        ("file,label\na.tif,x\n,y\n", 3, "no file: fill it in"),
        ("file,mask\na.tif,m/ma.png\nb.tif,\n", 3, "no mask: fill it in"),
        ("file,label,group\na.tif,x,g\nb.tif,y,\n", 3, "no group: fill it in"),
        ("file,label\na.tif,x\n./a.tif,y\n", 3, "labels.csv:2 too: keep one"),
        ("file,label\na.tif,x\nnotes.txt,y\n", 3, "notes.txt: unknown kind of file"),
        ("file,mask\na.tif,b.jpg\n", 2, "b.jpg: unknown kind of file: name one of .png"),
        ("file,label\na.tif,1\nb.tif,1.2O\nsub/c.png,3\n", 3, "'1.2O' is no number, but 2 others"),
        ("file,label\na.tif,1\nb.tif,nan\n", 3, "label 'nan' is no finite number"),
        ("file,label\na.tif,1\nb.tif,1e39\n", 3, "label '1e39' is no finite number"),
        ("file,label\na.tif,1\nb.tif,1_0\n", 3, "'1_0' is no number"),
        ("file,label\na.tif,\nb.tif,\n", None, "classification needs the column 'label'"),
    ],
)
def test_broken_lines_are_named(folder: Path, text: str, line: int | None, words: str) -> None:
    path = table(folder, text)
    with pytest.raises(InputError) as caught:
        read_table(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        ("file,label\na.tif,x\n", "segmentation", "segmentation needs the column 'mask'"),
        ("file,mask\na.tif,m/ma.png\n", "regression", "regression needs the column 'label'"),
        ("file,label\na.tif,1\nb.tif,x\n", "regression", "csv:3: label 'x' is no finite number"),
    ],
)
def test_a_task_that_the_table_does_not_serve(
    folder: Path, text: str, task: Task, words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        read_table(table(folder, text), task)


def test_missing_files(folder: Path) -> None:
    with pytest.raises(MissingDataError, match=r"labels.csv:3: .*x.tif: no such file"):
        read_table(table(folder, "file,label\na.tif,x\nx.tif,y\n"))
    with pytest.raises(MissingDataError, match=r"labels.csv:2: .*x.tif and 1 more: no such file"):
        read_table(table(folder, "file,label\nx.tif,x\ny.tif,y\n"))
    with pytest.raises(MissingDataError, match=r"labels.csv:2: .*mx.png: no such file"):
        read_table(table(folder, "file,mask\na.tif,m/mx.png\n"))


def test_no_text(folder: Path) -> None:
    path = folder / "labels.csv"
    path.write_bytes(b"file,label\na.tif,\xff\xfe\n")
    with pytest.raises(InputError, match=r"labels.csv: no UTF-8 text"):
        read_table(path)


def test_numbers_that_may_be_codes_of_classes(folder: Path) -> None:
    names = [f"x/{number}.tif" for number in range(24)]
    for name in names:
        write_image(folder / name)
    codes = table(folder, "file,label\n" + "".join(f"{n},{i % 3}\n" for i, n in enumerate(names)))
    with pytest.warns(UserWarning, match=r":2: the labels are 3 whole numbers.*--task classif"):
        assert read_table(codes).task == "regression"
    for task in ("regression", "classification"):
        assert read_table(codes, task).task == task
    amounts = "".join(f"{name},{index % 3 + 0.5}\n" for index, name in enumerate(names))
    assert read_table(table(folder, "file,label\n" + amounts)).task == "regression"
