"""Folders of one's own, in every shape."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import raw2logit as r2l
from raw2logit.camera import Camera
from raw2logit.datasets import RawDataset, RawFolder, make_splits, open_dataset
from raw2logit.datasets.base import Task, is_generated
from raw2logit.errors import InputError, MissingDataError
from raw2logit.isp import static_pipeline
from raw2logit.raw import read_raw, write_mosaic_tiff

from .layout import write_image, write_mask

MODEL = Camera(
    "model",
    cfa="GBRG",
    black_level=(0.06,) * 4,
    white_level=0.95,
    white_balance=(2.0, 1.0, 1.5),
    colour_matrix=((1.5, -0.3, -0.2), (-0.2, 1.7, -0.5), (0.0, -0.4, 1.4)),
    bits=14,
)


def classes(root: Path) -> Path:
    for name in ("dog/3.tif", "cat/1.tif", "cat/2.TIFF", "cat/p1/1.tif", "dog/p1/x/4.tif"):
        write_image(root / name)
    return root


def masks(root: Path, *stems: str) -> Path:
    for stem in stems:
        write_image(root / "images" / f"{stem}.tif")
        write_mask(root / "masks" / f"{stem}.png", np.eye(4, dtype=np.uint8) * 255)
    return root


def message_of(path: Path, kind: type[Exception] = InputError, **options: object) -> str:
    with pytest.raises(kind) as caught:
        RawFolder(path, **{"camera": "drone", **options})  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestClasses:
    def test_samples(self, tmp_path: Path) -> None:
        root = classes(tmp_path / "pets")
        dataset = RawFolder(root, camera="drone")
        assert isinstance(dataset, RawDataset)
        assert dataset.name == f"folder:{root}"
        assert dataset.task == "classification"
        assert dataset.classes == ("cat", "dog")
        assert dataset.class_counts() == {"cat": 3, "dog": 2}
        names = [file.relative_to(root).as_posix() for file in dataset.files]
        assert names == ["cat/1.tif", "cat/2.TIFF", "cat/p1/1.tif", "dog/3.tif", "dog/p1/x/4.tif"]
        assert dataset.labels == [0, 0, 0, 1, 1]
        assert dataset.groups == ["cat/1.tif", "cat/2.TIFF", "p1", "dog/3.tif", "p1"]
        assert dataset.camera == Camera.preset("drone")
        assert dataset.target_files() == []
        assert not is_generated(dataset)
        mosaic, target = dataset[3]
        assert torch.equal(mosaic, read_raw(root / "dog/3.tif").mosaic)
        assert target.dtype == torch.int64
        assert target.shape == ()
        assert target == 1
        raw, targets = dataset.load()
        assert raw.shape == (5, 4, 4)
        assert targets.tolist() == dataset.labels

    def test_groups_stay_together(self, tmp_path: Path) -> None:
        for name in ("cat", "dog"):
            for number in range(12):
                write_image(tmp_path / name / f"p{number // 2}" / f"{number}.tif")
        dataset = RawFolder(tmp_path, camera="drone")
        for split in make_splits(dataset, 3, seed=0):
            parts = [{dataset.groups[i] for i in part} for part in dataclasses.astuple(split)]
            assert sum(map(len, parts)) == len(set.union(*parts)) == 6

    def test_hidden_files_are_left_out_in_silence(self, tmp_path: Path) -> None:
        root = classes(tmp_path)
        for name in ("cat/.1.tif", ".git/x.tif", "cat/.cache/x.tif"):
            write_image(root / name)
        assert len(RawFolder(root, camera="drone")) == 5

    def test_other_files_are_left_out_with_a_word(self, tmp_path: Path) -> None:
        root = classes(tmp_path)
        for name in ("cat/a.xmp", "cat/b.xmp", "dog/Thumbs", "dog/c.jpg", "README.md"):
            (root / name).write_text("x")
        words = r"files of another kind were left out: 1 \.jpg, 2 \.xmp, 1 without suffix$"
        with pytest.warns(UserWarning, match=words):
            dataset = RawFolder(root, camera="drone")
        assert len(dataset) == 5

    def test_one_class(self, tmp_path: Path) -> None:
        write_image(tmp_path / "images" / "1.tif")
        message = message_of(tmp_path)
        assert message.startswith(f"{tmp_path}: 1 class folder(s) (images), at least 2")
        assert "images/ and masks/" in message

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert "0 class folder(s)" in message_of(tmp_path)
        assert "no such folder or CSV" in message_of(tmp_path / "x", MissingDataError)

    def test_an_empty_class(self, tmp_path: Path) -> None:
        (classes(tmp_path) / "bird").mkdir()
        assert message_of(tmp_path).startswith(f"{tmp_path / 'bird'}: no raw file in it")

    def test_files_beside_the_classes(self, tmp_path: Path) -> None:
        stray = write_image(classes(tmp_path) / "z.tif")
        message = message_of(tmp_path)
        assert message.startswith(f"{stray}: 1 raw file(s) without a label")

    def test_a_link_to_nowhere_is_named_when_it_is_read(self, tmp_path: Path) -> None:
        (classes(tmp_path) / "dog" / "9.tif").symlink_to(tmp_path / "gone.tif")
        dataset = RawFolder(tmp_path, camera="drone")
        with pytest.raises(MissingDataError, match=r"9\.tif: no such file"):
            dataset.load()

    def test_linked_folders(self, tmp_path: Path) -> None:
        root = classes(tmp_path / "pets")
        write_image(tmp_path / "far" / "9.tif")
        (root / "bird").symlink_to(tmp_path / "far")
        assert RawFolder(root, camera="drone").class_counts()["bird"] == 1
        (root / "dog" / "p2").symlink_to(tmp_path / "far")
        assert "p2: a link to a folder is not followed here" in message_of(root)

    @pytest.mark.parametrize("task", ["segmentation", "regression"])
    def test_another_task(self, tmp_path: Path, task: Task) -> None:
        words = f"holds a folder per class, which is classification, not {task}"
        assert words in message_of(classes(tmp_path), task=task)


class TestMasks:
    def test_samples(self, tmp_path: Path) -> None:
        root = masks(tmp_path, "b", "a", "f1/a", "f1/b")
        dataset = RawFolder(root, camera="drone")
        assert dataset.task == "segmentation"
        assert dataset.classes == ("foreground",)
        assert [file.relative_to(root).as_posix() for file in dataset.files] == [
            *("images/a.tif", "images/b.tif", "images/f1/a.tif", "images/f1/b.tif")
        ]
        assert dataset.groups == ["images/a.tif", "images/b.tif", "f1", "f1"]
        assert [mask.stem for mask in dataset.target_files()] == ["a", "b", "a", "b"]
        assert dataset.labels == [0] * 4
        raw, targets = dataset.load()
        assert raw.shape == targets.shape == (4, 4, 4)
        assert torch.equal(targets[0], torch.eye(4))

    def test_unequal_stems(self, tmp_path: Path) -> None:
        root = masks(tmp_path, "a", "b")
        (root / "masks/a.png").unlink()
        assert message_of(root, MissingDataError).startswith(
            f"{root / 'images/a.tif'}: no mask of the same stem in {root / 'masks'}"
        )
        (root / "images/a.tif").unlink()
        (root / "images/b.tif").unlink()
        assert message_of(root, MissingDataError).startswith(
            f"{root / 'masks/b.png'}: no raw file of the same stem in {root / 'images'}"
        )
        (root / "masks/b.png").unlink()
        assert "no raw file in it" in message_of(root)

    def test_two_images_of_a_stem(self, tmp_path: Path) -> None:
        root = masks(tmp_path, "a")
        write_image(root / "images/a.png")
        assert "a.png has the same stem" in message_of(root)

    @pytest.mark.parametrize("values", [(0, 1, 2), (1, 2), (0, 100, 255)])
    def test_several_classes_in_a_mask(self, tmp_path: Path, values: tuple[int, ...]) -> None:
        root = masks(tmp_path, "a")
        mask = np.resize(np.array(values, np.uint8), (4, 4))
        path = write_mask(root / "masks/a.png", mask)
        with pytest.raises(InputError) as caught:
            RawFolder(root, camera="drone").load()
        assert str(caught.value).startswith(f"{path}: holds 2 values beside 0")

    @pytest.mark.parametrize("value", [1, 256, 65535])
    def test_16_bit_masks(self, tmp_path: Path, value: int) -> None:
        root = masks(tmp_path, "a")
        write_mask(root / "masks/a.png", np.eye(4, dtype=np.uint16) * value)
        assert torch.equal(RawFolder(root, camera="drone")[0][1], torch.eye(4))

    def test_a_mask_of_another_size(self, tmp_path: Path) -> None:
        root = masks(tmp_path, "a")
        mask = write_mask(root / "masks/a.png", np.eye(6, dtype=np.uint8))
        with pytest.raises(InputError, match=r"\(6, 6\) pixels, but its image has \(4, 4\)") as why:
            RawFolder(root, camera="drone").load()
        assert str(why.value).startswith(str(mask))

    def test_odd_sizes(self, tmp_path: Path) -> None:
        write_image(tmp_path / "images/a.tif", 5)
        write_mask(tmp_path / "masks/a.png", np.eye(5, dtype=np.uint8))
        with pytest.raises(InputError, match="--crop-odd"):
            RawFolder(tmp_path, camera="drone").load()
        raw, targets = RawFolder(tmp_path, camera="drone", crop_odd=True).load()
        assert raw.shape == targets.shape == (1, 4, 4)
        assert torch.equal(targets[0], torch.eye(4))


class TestTable:
    def numbers(self, root: Path, *labels: str) -> Path:
        lines = ["file,label"]
        for number, label in enumerate(labels):
            write_image(root / f"{number}.tif")
            lines.append(f"{number}.tif,{label}")
        (root / "labels.csv").write_text("\n".join(lines))
        return root

    @pytest.mark.parametrize("name", ["", "labels.csv"])
    def test_regression(self, tmp_path: Path, name: str) -> None:
        dataset = RawFolder(self.numbers(tmp_path, "1.5", "-2", "1e3") / name, camera="drone")
        assert dataset.task == "regression"
        assert dataset.classes == ()
        assert dataset.class_counts() == {}
        assert dataset.labels == [0, 0, 0]
        assert dataset[1][1].dtype == torch.float32
        assert dataset[1][1].shape == ()
        assert dataset.load()[1].tolist() == [1.5, -2.0, 1000.0]

    def test_codes_of_classes(self, tmp_path: Path) -> None:
        root = self.numbers(tmp_path, "1", "0", "10")
        dataset = RawFolder(root, camera="drone", task="classification")
        assert dataset.classes == ("0", "1", "10")
        assert dataset.labels == [1, 0, 2]
        assert dataset.fingerprint() != RawFolder(root, camera="drone").fingerprint()

    def test_nothing_to_learn(self, tmp_path: Path) -> None:
        root = self.numbers(tmp_path, "2", "2.0")
        assert "all labels are 2: nothing to predict" in message_of(root)
        root = self.numbers(tmp_path, "x", "x")
        assert "one class, 'x': at least 2" in message_of(root)

    def test_two_tables(self, tmp_path: Path) -> None:
        root = self.numbers(tmp_path, "1", "2")
        (root / "more.csv").write_text("")
        assert "2 CSVs (labels.csv more.csv): name the one to read" in message_of(root)
        assert len(RawFolder(root / "labels.csv", camera="drone")) == 2

    def test_the_table_goes_before_the_folders(self, tmp_path: Path) -> None:
        root = masks(tmp_path, "a", "b")
        (root / "m.csv").write_text("file,label\nimages/a.tif,x\nimages/b.tif,y\n")
        assert RawFolder(root, camera="drone").task == "classification"

    def test_no_table(self, tmp_path: Path) -> None:
        path = write_image(tmp_path / "a.tif")
        assert "is neither a folder nor a CSV" in message_of(path)

    def test_an_unknown_task(self, tmp_path: Path) -> None:
        root = self.numbers(tmp_path, "1", "2")
        assert "unknown task 'detection': choose from classification" in message_of(
            root, task="detection"
        )


class TestCamera:
    def shots(self, root: Path, *cameras: Camera) -> Path:
        for number, camera in enumerate(cameras):
            mosaic = torch.rand(24, 32, generator=torch.Generator().manual_seed(number))
            path = root / ("day", "night")[number % 2] / f"{number}.dng"
            path.parent.mkdir(exist_ok=True, parents=True)
            r2l.write_dng(path, mosaic, camera)
        return root

    def test_given(self, tmp_path: Path) -> None:
        root = classes(tmp_path / "data")
        MODEL.to_yaml(tmp_path / "bench.yaml")
        MODEL.to_yaml(tmp_path / "other.yml")
        for camera in (MODEL, tmp_path / "bench.yaml", str(tmp_path / "other.yml")):
            dataset = RawFolder(root, camera=camera)
            assert dataset.camera == MODEL
            assert "constants of one camera, model, that was given" in dataset.caveats[0]
        assert RawFolder(root, camera="drone").camera == Camera.preset("drone")

    def test_beside_the_data(self, tmp_path: Path) -> None:
        root = classes(tmp_path)
        MODEL.to_yaml(root / "camera.yaml")
        assert RawFolder(root).camera == MODEL
        assert RawFolder(root, camera="drone").camera.name == "drone"
        (root / "t.csv").write_text("file,label\ncat/1.tif,x\ndog/3.tif,y\n")
        assert RawFolder(root / "t.csv").camera == MODEL
        (root / "camera.yaml").write_text("cfa: XXXX\nname: a\n")
        with pytest.raises(InputError, match=r"camera\.yaml: camera 'a': CFA 'XXXX' is none of"):
            RawFolder(root)

    def test_unknown(self, tmp_path: Path) -> None:
        root = classes(tmp_path)
        message = message_of(root, camera=None)
        assert message.startswith(f"{root / 'cat/1.tif'}: the file does not tell its camera")
        assert "camera.yaml" in message
        assert "unknown camera 'webcam'" in message_of(root, camera="webcam")
        assert "no such camera file" in message_of(root, MissingDataError, camera="x.yaml")

    def test_each_files_own(self, tmp_path: Path) -> None:
        lamp = dataclasses.replace(
            MODEL, white_balance=(1.2, 1.0, 2.4), black_level=(0.03,) * 4, white_level=0.9
        )
        root = self.shots(tmp_path / "shots", MODEL, lamp, MODEL, lamp)
        dataset = RawFolder(root)
        assert dataset.camera.name == "shots"
        assert dataset.camera.white_balance == pytest.approx((2.0, 1.0, 2.4), rel=1e-4)
        assert any("exact for bilinear" in sentence for sentence in dataset.caveats)
        raw, _ = dataset.load()
        view = static_pipeline(dataset.camera)(raw)
        for index, file in enumerate(dataset.files):
            image = read_raw(file)
            assert image.camera is not None
            own = static_pipeline(image.camera)(image.mosaic[None])[0]
            torch.testing.assert_close(view[index] ** 2.2, own**2.2, atol=3e-6, rtol=0)

    def test_files_that_agree(self, tmp_path: Path) -> None:
        root = self.shots(tmp_path, MODEL, MODEL, MODEL)
        dataset = RawFolder(root)
        assert torch.equal(dataset[0][0], read_raw(dataset.files[0]).mosaic)
        assert not any("exact for bilinear" in sentence for sentence in dataset.caveats)

    def test_files_of_two_camera_models(self, tmp_path: Path) -> None:
        root = self.shots(tmp_path, MODEL, dataclasses.replace(MODEL, cfa="RGGB"))
        with pytest.raises(InputError, match=r"1\.dng: its camera has another CFA than .* 0\.dng"):
            RawFolder(root)

    def test_a_given_camera_of_another_pattern(self, tmp_path: Path) -> None:
        dataset = RawFolder(self.shots(tmp_path, MODEL, MODEL), camera="drone")
        with pytest.raises(InputError, match="metadata says GBRG, camera 'drone' says RGGB"):
            dataset.load()

    def test_a_file_without_metadata_among_others(self, tmp_path: Path) -> None:
        root = self.shots(tmp_path, MODEL, MODEL)
        write_mosaic_tiff(root / "day" / "z.tif", torch.zeros(24, 32))
        with pytest.raises(InputError, match=r"z\.tif: the file does not tell its camera"):
            RawFolder(root)


class TestOpenDataset:
    def test_by_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        classes(tmp_path / "pets")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("folder:pets", f"folder:{tmp_path}/pets", "folder:~/pets"):
            assert len(open_dataset(name, camera="drone")) == 5
        assert open_dataset("folder:pets", camera="drone").name == "folder:pets"

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("folder:", {}, "--data folder:: name the folder"),
            ("folder:x", {"root": "data"}, "--root: --data folder:x is a path of its own"),
            ("folder:x", {"intensity": 0.5}, "intensity 0.5: a folder of one's own"),
            ("cells", {}, "known are microscopy drone drone-classification folder:PATH"),
            ("drone", {"camera": "drone"}, "--camera is for --data folder:PATH; drone has"),
            ("microscopy", {"task": "regression"}, "--task is for --data folder:PATH"),
            ("drone", {"crop_odd": True}, "--crop-odd is for --data folder:PATH"),
        ],
    )
    def test_bad_input(self, name: str, options: dict[str, object], words: str) -> None:
        with pytest.raises(InputError, match=words):
            open_dataset(name, **options)  # type: ignore[arg-type]


def test_what_a_report_says_of_the_groups(tmp_path: Path) -> None:
    lone = RawFolder(masks(tmp_path / "a", "x", "y"), camera="drone")
    assert lone.group_noun == "image"
    assert "each is a group of its own" in lone.group_caveat
    grouped = RawFolder(masks(tmp_path / "b", "g/x", "g/y"), camera="drone")
    assert grouped.group_noun == "group"
    assert "No group is in two parts" in grouped.group_caveat


def test_opening_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = classes(tmp_path)
    monkeypatch.setattr("raw2logit.datasets.folder.read_raw", lambda *_, **__: pytest.fail("read"))
    assert len(RawFolder(root, camera="drone")) == 5
