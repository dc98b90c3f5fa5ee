from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from raw2logit import Camera, InputError, RawDrone, RawFolder, RawMicroscopy, read_raw, write_dng
from raw2logit.cli import main
from raw2logit.datasets.base import MANIFEST, REDUCED, intensity_folder
from raw2logit.datasets.drone import FRAMES
from raw2logit.datasets.info import inspect_data
from raw2logit.datasets.intensities import reduce_drone, reduce_folder, reduce_microscopy
from raw2logit.datasets.reduction import Reduction
from raw2logit.datasets.synthetic.capture import SENSORS
from raw2logit.datasets.synthetic.generate import generate_drone, generate_microscopy
from raw2logit.datasets.tile_table import read_tile_table
from raw2logit.raw import write_mosaic_tiff
from raw2logit.sensor import expose

SIX = (0.75, 0.5, 0.25, 0.1, 0.05, 0.01)


def how(*intensities: float, **options: float | None) -> Reduction:
    return Reduction(intensities=intensities or SIX, **{"workers": 1, **options})


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sets at full exposure. Read only."""
    root = tmp_path_factory.mktemp("full")
    generate_microscopy(root, count=24, size=64, workers=1)
    generate_drone(root, count=12, size=32, frames=True, workers=1)
    return root


@pytest.fixture
def root(full: Path, tmp_path: Path) -> Path:
    return shutil.copytree(full, tmp_path / "data")


def numbers(folder: Path) -> np.ndarray:
    return np.stack([tifffile.imread(path) for path in sorted(folder.iterdir())]).astype(float)


@pytest.mark.parametrize("intensity", [0.5, 0.1, 0.05])
def test_as_noisy_as_if_generated_at_that_intensity(
    full: Path, root: Path, intensity: float
) -> None:
    name = intensity_folder(intensity)
    reduce_microscopy(root, how(intensity))
    direct = root.parent / "direct"
    generate_microscopy(direct, count=24, size=64, intensities=[1.0, intensity], workers=1)
    camera = SENSORS["microscopy"]
    gain = 65535 / camera.full_scale_electrons
    black = camera.black_level[0] * 65535
    electrons = (numbers(full / "microscopy/images/raw_scale100") - black) / gain
    bright = electrons > 1000  # at 5 %, 50 electrons: the black level cuts nothing off
    one, other = (
        numbers(place / "microscopy/images" / name)[bright] / gain for place in (root, direct)
    )
    variance = intensity * electrons[bright] + camera.read_noise_electrons**2
    z = (one - other) / np.sqrt(2 * variance)
    # Some 20 000 pixels: the standard error of the mean is .007, that of the variance .01.
    assert bright.sum() > 15_000
    assert z.mean() == pytest.approx(0, abs=0.03)
    assert z.var() == pytest.approx(1, abs=0.04)


def test_all_six_are_written_and_read_by_the_loader(root: Path) -> None:
    reduce_microscopy(root, how())
    dataset = RawMicroscopy(root)
    mean = dataset.load()[0].mean()
    for intensity in SIX:
        reduced = RawMicroscopy(root, intensity=intensity)
        assert reduced.labels == dataset.labels
        ratio = float(reduced.load()[0].mean() / mean)
        # Without a black level, noise below zero is cut off: the darkest come out too bright.
        assert ratio == pytest.approx(intensity, rel=0.01 if intensity > 0.01 else 0.1)
    record = json.loads((root / "microscopy" / REDUCED).read_text())
    assert record["intensities"] == list(SIX)
    assert record["camera"] == SENSORS["microscopy"].to_dict()
    assert len(record["sources"]) == 24
    assert main(["data", "info", str(root), "--workers", "1"]) == 0
    next((root / "microscopy/images/raw_scale010").iterdir()).unlink()
    mend = inspect_data(root, ["microscopy"], workers=1).datasets[0].mend
    assert "`raw2logit data generate microscopy --root" in mend
    assert "--seed 0`; lower intensities" in mend
    command = re.findall("`raw2logit (data intensities .*)`", mend)[0].split()
    assert main([*command, "--workers", "1"]) == 0
    assert main(["data", "info", str(root), "--workers", "1"]) == 0


def test_frames_and_both_sets_of_tiles_are_one_picture(root: Path) -> None:
    folder = reduce_drone(root, how(0.25))
    rows = read_tile_table(folder)
    assert {row.set for row in rows} == {"segmentation", "classification"}
    for row in rows:
        frame = read_raw(folder / "images_full/raw_scale025" / f"{row.frame}.DNG").mosaic
        tiles = (
            folder / "images_tiles_256/raw_scale025"
            if row.set == "segmentation"
            else folder / "classification/images_tiles_256/raw_scale025_thr_0.01"
        )
        tile = read_raw(tiles / f"{row.tile}.tif").mosaic
        there = frame[row.row : row.row + 32, row.column : row.column + 32]
        assert torch.equal(tile, there)
        assert not (tile * 65535).round().long().remainder(16).any()
    for task in ("segmentation", "classification"):
        assert RawDrone(root, task=task, intensity=0.25).files
    full, reduced = (
        read_raw(folder / FRAMES / name / "DJI_0001.DNG")
        for name in ("raw_scale100", "raw_scale025")
    )
    assert full.camera is not None
    assert reduced.camera is not None
    for field in ("cfa", "bits", "black_level", "white_level"):
        assert getattr(reduced.camera, field) == getattr(full.camera, field)
    assert reduced.camera.white_balance == pytest.approx(full.camera.white_balance, rel=1e-4)
    np.testing.assert_allclose(reduced.camera.colour_matrix, full.camera.colour_matrix, atol=1e-4)


def test_tiles_without_frames(root: Path) -> None:
    shutil.rmtree(root / "drone/images_full")
    shutil.rmtree(root / "drone/masks_full")
    reduce_drone(root, how(0.5))
    dataset, reduced = RawDrone(root), RawDrone(root, intensity=0.5)
    black = torch.tensor(dataset.camera.black_level).mean()
    ratio = (reduced.load()[0].mean() - black) / (dataset.load()[0].mean() - black)
    assert float(ratio) == pytest.approx(0.5, rel=0.01)
    assert RawDrone(root, task="classification", intensity=0.5).files


def test_frames_without_tiles_can_be_tiled_later(root: Path) -> None:
    folder = root / "drone"
    for name in ("images_tiles_256", "masks_tiles_256", "classification"):
        shutil.rmtree(folder / name)
    for name in ("tiles.csv", MANIFEST):
        (folder / name).unlink()
    reduce_drone(root, how(0.1, read_noise_electrons=3.0))
    assert main(["data", "tile", str(root), "--size", "32", "--workers", "1"]) == 0
    assert RawDrone(root, intensity=0.1).files


def test_repeated_after_files_are_lost_and_with_any_number_of_workers(root: Path) -> None:
    twin = shutil.copytree(root, root.parent / "twin")
    for place, workers in ((root, 1), (twin, 2)):
        reduce_microscopy(place, how(0.5, 0.01, workers=workers))
        reduce_drone(place, how(0.5, 0.01, workers=workers))
    expected = tree(root)
    assert tree(twin) == expected
    for file in sorted(twin.rglob("raw_scale001*/*"))[::3]:
        file.unlink()
    (twin / "microscopy/images/raw_scale001/.cell.raw2logit-0123abcd.tiff").write_bytes(b"killed")
    for reduce in (reduce_microscopy, reduce_drone):
        reduce(twin, how(0.01))
    assert tree(twin) == expected


def test_further_intensities_join_and_are_the_same(root: Path) -> None:
    twin = shutil.copytree(root, root.parent / "twin")
    reduce_microscopy(root, how())
    for intensity in SIX[::-1]:
        reduce_microscopy(twin, how(intensity))
    assert tree(twin) == tree(root)


def test_another_seed_is_other_noise(root: Path) -> None:
    twin = shutil.copytree(root, root.parent / "twin")
    reduce_microscopy(root, how(0.5))
    reduce_microscopy(twin, how(0.5, seed=1))
    place = Path("microscopy/images/raw_scale050")
    one, other = numbers(root / place), numbers(twin / place)
    assert (one != other).mean() > 0.9
    assert one.mean() == pytest.approx(other.mean(), rel=0.01)


def test_what_is_there_is_never_overwritten(root: Path) -> None:
    generate_microscopy(root, count=24, size=64, intensities=[0.5], workers=1)
    before = tree(root)
    with pytest.raises(InputError, match=r"raw_scale050.*tiff: is there, and was not made by"):
        reduce_microscopy(root, how(0.5, 0.25))
    assert tree(root) == before
    reduce_microscopy(root, how(0.25))
    for other, message in (
        (how(0.25, seed=1), "made with another seed"),
        (how(0.25, gain_dn_per_electron=5.0), "made with another camera"),
    ):
        with pytest.raises(InputError, match=message):
            reduce_microscopy(root, other)
    with pytest.raises(InputError, match="made by `raw2logit data intensities`: repeat that one"):
        generate_microscopy(root, count=24, size=64, intensities=[0.25], workers=1)
    image = next((root / "microscopy/images/raw_scale100").iterdir())
    write_mosaic_tiff(image, torch.zeros(64, 64))
    with pytest.raises(InputError, match="made from other files"):
        reduce_microscopy(root, how(0.1))
    (root / "microscopy" / REDUCED).write_text("{}")
    with pytest.raises(InputError, match=r"intensities\.json: broken"):
        reduce_microscopy(root, how(0.1))


def test_the_published_sets_need_what_is_not_published(root: Path) -> None:
    for kind in ("microscopy", "drone"):
        (root / kind / MANIFEST).unlink()
    with pytest.raises(InputError, match="--gain: is not known of camera 'microscopy'"):
        reduce_microscopy(root, how())
    with pytest.raises(InputError, match="--read-noise: is not known of camera 'drone'"):
        reduce_drone(root, how())
    reduce_drone(root, how(0.5, read_noise_electrons=2.5))
    record = json.loads((root / "drone" / REDUCED).read_text())
    assert record["camera"]["full_scale_electrons"] == pytest.approx(65535 / 8.448)
    assert record["camera"]["read_noise_electrons"] == 2.5


def camera() -> Camera:
    return Camera("own", full_scale_electrons=20_000.0, read_noise_electrons=4.0)


def own(folder: Path, header: str, targets: list[str]) -> RawFolder:
    """A data set of one's own: bright mosaics, two groups."""
    generator = torch.Generator().manual_seed(0)
    lines = []
    for index, target in enumerate(targets):
        mosaic = 0.2 + 0.6 * torch.rand(32, 32, generator=generator)
        write_mosaic_tiff(folder / "raw" / f"{index}.tif", mosaic)
        lines.append(f"raw/{index}.tif,{target},g{index % 2}")
    camera().to_yaml(folder / "camera.yaml")
    (folder / "table.csv").write_text("\n".join([f"file,{header},group", *lines]) + "\n")
    return RawFolder(folder)


@pytest.mark.parametrize(
    ("header", "targets"),
    [("label", ["cat", "dog", "cat", "dog"]), ("label", ["0.1", "2", "3e5", "-7.25"])],
)
def test_a_folder_of_ones_own(tmp_path: Path, header: str, targets: list[str]) -> None:
    dataset = own(tmp_path / "in", header, targets)
    made = reduce_folder(dataset, tmp_path / "out", how(0.5, 0.1))
    assert made == [tmp_path / "out/raw_scale050", tmp_path / "out/raw_scale010"]
    for folder, intensity in zip(made, (0.5, 0.1), strict=True):
        reduced = RawFolder(folder)
        assert (reduced.task, reduced.classes) == (dataset.task, dataset.classes)
        assert reduced.groups == dataset.groups
        assert reduced.camera == camera()
        assert [reduced.target(i).item() for i in range(4)] == [
            dataset.target(i).item() for i in range(4)
        ]
        ratio = float(reduced.load()[0].mean() / dataset.load()[0].mean())
        assert ratio == pytest.approx(intensity, rel=0.01)


def test_bits_that_contradict_the_camera(tmp_path: Path) -> None:
    drone = dataclasses.replace(SENSORS["drone"], white_level=1.0)
    light = torch.linspace(0.01, 0.5, 32 * 32).reshape(1, 32, 32)
    shot = expose(light, drone, generator=torch.Generator().manual_seed(0))[0]
    for index in range(4):
        path = tmp_path / "in" / "ab"[index % 2] / f"{index}.dng"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dng(path, shot, drone)
    dataset = RawFolder(tmp_path / "in")
    noise = {"gain_dn_per_electron": 8.448, "read_noise_electrons": 3.0}
    with pytest.raises(InputError, match=r"0\.dng: all values are multiples of 16.*--bits 12"):
        reduce_folder(dataset, tmp_path / "out", how(0.5, **noise))
    assert not (tmp_path / "out").exists()
    (folder,) = reduce_folder(dataset, tmp_path / "out", how(0.5, bits=12, **noise))
    reduced = RawFolder(folder)
    assert reduced.camera.bits == 12
    assert not (reduced.mosaic(0) * 65535).round().long().remainder(16).any()


def test_a_folder_with_masks(tmp_path: Path) -> None:
    for index in range(3):
        mask = np.zeros((32, 32), np.uint8)
        mask[index:, 4:] = 255
        path = tmp_path / "in/masks" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    dataset = own(tmp_path / "in", "mask", [f"masks/{index}.png" for index in range(3)])
    (folder,) = reduce_folder(dataset, tmp_path / "out", how(0.5))
    reduced = RawFolder(folder)
    assert reduced.task == "segmentation"
    for index in range(3):
        assert torch.equal(reduced.target(index), dataset.target(index))


def test_files_that_bring_their_own_cameras(tmp_path: Path) -> None:
    lines = ["file,label"]
    for index, gain in enumerate((1.5, 2.0, 1.5)):
        shot = dataclasses.replace(
            camera(), white_balance=(gain, 1.0, 1.8), black_level=(0.01,) * 4, white_level=1.0
        )
        path = tmp_path / "in" / f"{index}.dng"
        write_dng(path, torch.full((32, 32), 0.4), shot)
        lines.append(f"{path.name},{'ab'[index % 2]}")
    (tmp_path / "in/table.csv").write_text("\n".join(lines) + "\n")
    dataset = RawFolder(tmp_path / "in")
    noise = {"gain_dn_per_electron": 3.0, "read_noise_electrons": 2.0}
    (folder,) = reduce_folder(dataset, tmp_path / "out", how(0.5, **noise))
    reduced = RawFolder(folder)
    # No common gain is known once the files are brought to one white balance.
    assert reduced.camera == dataset.camera
    assert reduced.camera.full_scale_electrons is None
    black = torch.tensor(dataset.camera.black_level).mean()
    for index in range(3):
        ratio = (reduced.mosaic(index).mean() - black) / (dataset.mosaic(index).mean() - black)
        assert float(ratio) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intensities": ()}, "--intensity needs at least one value"),
        ({"intensities": (1.0,)}, "--intensity 1: is what the others are made from"),
        ({"intensities": (0.3,)}, "intensity 0.3 is none of"),
        ({"gain_dn_per_electron": 0.0}, "--gain must be above 0"),
        ({"gain_dn_per_electron": float("nan")}, "--gain must be above 0"),
        ({"read_noise_electrons": -1.0}, "--read-noise must be 0 or more"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"workers": 0}, "--workers must be at least 1"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reduction(**options)  # type: ignore[arg-type]


def test_on_the_command_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "intensities", str(root), "--workers", "1", "--intensity"]
    assert main([*words, ".5", ".1"]) == 0
    assert capsys.readouterr().out == f"{root / 'microscopy'}\n"
    assert main([*words, ".5", "--data", "drone"]) == 0
    folders = {path.name for path in (root / "microscopy/images").iterdir()}
    assert folders == {"raw_scale100", "raw_scale050", "raw_scale010"}
    own(tmp_path / "own", "label", ["a", "b", "a", "b"])
    name = f"folder:{tmp_path / 'own'}"
    capsys.readouterr()
    words = ["data", "intensities", "--data", name, "--intensity", ".25"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out/raw_scale025'}\n"
    with (tmp_path / "out/raw_scale025/samples.csv").open(newline="") as file:
        assert next(csv.DictReader(file)) == {
            "file": "images/0.tif",
            "label": "a",
            "group": "g0",
        }


def test_bad_input_on_the_command_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own(tmp_path / "own", "label", ["a", "b", "a", "b"])
    name = f"folder:{tmp_path / 'own'}"
    for words, message in (
        ([str(tmp_path)], "microscopy/images/raw_scale100: not there"),
        ([str(root), "--data", "drone-classification"], "choose microscopy, drone or folder:PATH"),
        ([str(root), "--out", "x"], "--out is for --data folder:PATH"),
        ([str(root), "--camera", "drone"], "--camera is for --data folder:PATH"),
        ([str(root), "--intensity", "1"], "--intensity 1: is what the others are made from"),
        (["--data", name], "needs --out"),
        (["--data", name, "--out", str(tmp_path / "own/x")], "lies in the data set"),
        ([str(root), "--data", name, "--out", "x"], "leave --root out"),
    ):
        assert main(["data", "intensities", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
