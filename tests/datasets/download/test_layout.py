from pathlib import PurePosixPath

import pytest

from raw2logit.datasets.download.layout import is_junk, kind_of_name, locate

CELL = "Ma190c_lame1_zone1_composite_Mcropped_1.tiff"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"raw_scale100/{CELL}", f"microscopy images/raw_scale100/{CELL}"),
        (f"a/Data histopathology/x-raw_scale001/{CELL}", f"microscopy images/raw_scale001/{CELL}"),
        (f"raw_scale100/raw_scale005/{CELL}", f"microscopy images/raw_scale005/{CELL}"),
        (f"unprocessed/raw_scale075/{CELL}", f"microscopy images/raw_scale075/{CELL}"),
        (f"Dataset overview/raw_scale100/{CELL}", f"microscopy images/raw_scale100/{CELL}"),
        (f"previews/raw_scale100/{CELL}", f"microscopy images/raw_scale100/{CELL}"),
        ("Ma190c_annotations.dat", "microscopy labels/Ma190c_annotations.dat"),
        ("a/b/Ma190c_annotations.dat", "microscopy labels/Ma190c_annotations.dat"),
        ("drone/images/raw_scale025/DJI_0001.DNG", "drone images_full/raw_scale025/DJI_0001.DNG"),
        ("masks_full/DJI_0001.png", "drone masks_full/DJI_0001.png"),
        ("drone_masks_full/DJI_0012_mask.tif", "drone masks_full/DJI_0012_mask.tif"),
        ("raw_scale050/07_00123.tif", "drone images_tiles_256/raw_scale050/07_00123.tif"),
        ("a/masks_tiles_256/07_00123.png", "drone masks_tiles_256/07_00123.png"),
        (
            "raw_scale010_thr_0.01/07_00123.tif",
            "drone classification/images_tiles_256/raw_scale010_thr_0.01/07_00123.tif",
        ),
        (
            "drone/classification/images/raw_scale010/07_00123.tif",
            "drone classification/images_tiles_256/raw_scale010_thr_0.01/07_00123.tif",
        ),
        (
            "masks_tiles_256_thr_0.01/07_00123.png",
            "drone classification/masks_tiles_256_thr_0.01/07_00123.png",
        ),
        (
            "classification/masks_tiles_256/07_00123.png",
            "drone classification/masks_tiles_256_thr_0.01/07_00123.png",
        ),
        (
            "dataset_tiles_256_72_0.01.csv",
            "drone classification/dataset_tiles_256_72_0.01.csv",
        ),
        ("tiles.csv", "drone tiles.csv"),
        ("a/drone/tiles.csv", "drone tiles.csv"),
    ],
)
def test_places(path: str, place: str) -> None:
    found = locate(PurePosixPath(path))
    assert found is not None
    assert f"{found.kind} {found.path}" == place


@pytest.mark.parametrize(
    "path",
    [
        CELL,
        f"images/{CELL}",
        f"raw_scale100/x/{CELL}",
        f"raw_scale033/{CELL}",
        f"raw_scale100_thr_0.01/{CELL}",
        f"processed/raw_scale100/{CELL}",
        f"all_views/raw_scale100/{CELL}",
        f"view-1/raw_scale100/{CELL}",
        f"views/bi_s_ga/raw_scale100/{CELL}",
        f"raw_scale100/{CELL}.bak",
        "raw_scale100/other.tiff",
        "DJI_0001.DNG",
        "images_full/DJI_0001.DNG",
        "07_00123.png",
        "raw_scale100/07_00123.png",
        "07_00123.tif",
        "masks_tiles_256/7_00123.png",
        "other/tiles.csv",
        "README.md",
    ],
)
def test_nothing_is_guessed(path: str) -> None:
    assert locate(PurePosixPath(path)) is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Raw-Microscopy.zip", "microscopy"),
        ("Data histopathology/a.zip", "microscopy"),
        ("WhiteCellsImages.zip", "microscopy"),
        ("leukocytes.tar", "microscopy"),
        ("Raw-Drone.zip", "drone"),
        ("DJI.zip", "drone"),
        ("masks_tiles_256.zip", "drone"),
        ("raw_scale100.zip", None),
        ("microscopy_and_drone.zip", None),
    ],
)
def test_kinds_by_name(name: str, kind: str | None) -> None:
    assert kind_of_name(name) == kind


def test_junk() -> None:
    for path in ("a/__MACOSX/b", "a/._b.tiff", ".DS_Store", "a/.bzEmpty", "Thumbs.db"):
        assert is_junk(PurePosixPath(path))
    assert not is_junk(PurePosixPath(f"raw_scale100/{CELL}"))
