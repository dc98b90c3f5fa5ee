"""What is measured in one file, against numpy on what other readers read."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from raw2logit import Camera
from raw2logit.cfa import CFA, CFA_NAMES
from raw2logit.datasets.measure import FileJob, measure_file, site_names
from raw2logit.dng import write_dng

from .layout import write_mask

BLACK = (0.1, 0.2, 0.3, 0.4)


def mosaic(path: Path, values: np.ndarray) -> Path:
    tifffile.imwrite(path, values)
    return path


@pytest.mark.parametrize("cfa", CFA_NAMES)
def test_each_site_has_its_own_name_and_black_level(cfa: CFA, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 10), np.uint16)
    camera = Camera("some", cfa=cfa, black_level=BLACK)
    sites = measure_file(FileJob(mosaic(tmp_path / "a.tif", values), "image", camera)).sites
    seen = {}
    for site, colour in enumerate(cfa):
        name = colour
        if colour == "G":
            name = "G1" if cfa.index("G") == site else "G2"
        plane = values[site // 2 :: 2, site % 2 :: 2] / 65535
        seen[name] = plane
        assert sites[name].count == 15
        assert sites[name].total / 15 == pytest.approx(plane.mean(), rel=1e-6)
        assert sites[name].squares / 15 == pytest.approx((plane**2).mean(), rel=1e-6)
        assert sites[name].below_black == (plane < BLACK[site]).sum()
        assert sites[name].black_level == BLACK[site]
    assert sites.keys() == seen.keys() == {"R", "G1", "G2", "B"}
    assert set(site_names(cfa)) == set(seen)


@pytest.mark.parametrize(
    ("bits", "white", "top"), [(16, None, 65535), (12, None, 65520), (12, 32768.3 / 65535, 32768)]
)
def test_saturation_is_the_top_of_the_cameras_range(
    bits: int, white: float | None, top: int, tmp_path: Path
) -> None:
    values = np.full((4, 4), top - 16, np.uint16)
    values[0] = top
    values[3, 3] = 0
    camera = Camera("some", bits=bits, white_level=white)
    found = measure_file(FileJob(mosaic(tmp_path / "a.tif", values), "image", camera))
    assert (found.saturated, found.zeros, found.shape) == (4, 1, (4, 4))
    assert found.maximum == pytest.approx(top / 65535)
    assert found.minimum == 0


def test_pixels_at_the_black_level_are_not_below_it(tmp_path: Path) -> None:
    # As float32, the file's value is smaller than the level.
    level = np.float64(np.float32(6561 / 65535)) + 1e-10
    file = mosaic(tmp_path / "a.tif", np.full((4, 4), 6561, np.uint16))
    found = measure_file(FileJob(file, "image", Camera("some", black_level=(level,) * 4)))
    assert {site.below_black for site in found.sites.values()} == {0}
    below = measure_file(FileJob(file, "image", Camera("some", black_level=(level + 1e-5,) * 4)))
    assert {site.below_black for site in below.sites.values()} == {4}


def test_equal_pixels_in_other_files_have_one_digest(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (4, 6), np.uint16)
    a = measure_file(FileJob(mosaic(tmp_path / "a.tif", values), "image"))
    tifffile.imwrite(tmp_path / "b.tif", values, compression="zlib")
    b = measure_file(FileJob(tmp_path / "b.tif", "image"))
    c = measure_file(FileJob(mosaic(tmp_path / "c.tif", values.reshape(6, 4)), "image"))
    assert a.pixels == b.pixels != c.pixels
    assert a.sha256 != b.sha256


class TestCamera:
    @pytest.fixture
    def dng(self, tmp_path: Path) -> Path:
        values = torch.full((24, 24), 0.5)
        camera = Camera("model", cfa="GRBG", black_level=(0.25,) * 4, bits=16)
        return write_dng(tmp_path / "a.dng", values, camera)

    def test_none_is_known(self, tmp_path: Path) -> None:
        found = measure_file(FileJob(mosaic(tmp_path / "a.tif", np.ones((4, 4), "u2")), "image"))
        assert not found.error
        assert found.sites == {}

    def test_of_the_file_or_of_the_data_set(self, dng: Path) -> None:
        given = Camera("given", cfa="GRBG", black_level=(0.125,) * 4)
        for job, level in (
            (FileJob(dng, "image"), 0.25),
            (FileJob(dng, "image", given), 0.125),
            (FileJob(dng, "image", given, own_camera=True), 0.25),
        ):
            found = measure_file(job)
            assert found.sites["G1"].black_level == pytest.approx(level, abs=1e-5)

    def test_another_colour_filter_array_is_an_error(self, dng: Path) -> None:
        for own in (False, True):
            found = measure_file(FileJob(dng, "image", Camera("given", cfa="RGGB"), own))
            assert "metadata says GRBG, camera 'given' says RGGB" in found.error


class TestMask:
    def test_is_measured(self, tmp_path: Path) -> None:
        file = write_mask(tmp_path / "a.png", np.eye(5, 7) > 0)
        assert measure_file(FileJob(file, "mask")).shape == (5, 7)
        assert measure_file(FileJob(file, "mask", crop_odd=True)).shape == (4, 6)

    def test_of_several_classes_is_an_error_where_one_is_wanted(self, tmp_path: Path) -> None:
        file = write_mask(tmp_path / "a.png", np.array([[0, 1], [2, 3]], np.uint8))
        assert not measure_file(FileJob(file, "mask")).error
        assert "3 values beside 0" in measure_file(FileJob(file, "mask", one_class=True)).error

    def test_equal_masks_in_other_files_have_one_digest(self, tmp_path: Path) -> None:
        one = write_mask(tmp_path / "a.png", np.eye(4) > 0)
        other = write_mask(tmp_path / "b.png", np.eye(4, dtype=np.uint8) * 255)
        digests = {measure_file(FileJob(file, "mask")).pixels for file in (one, other)}
        assert len(digests) == 1
        assert one.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("role", ["image", "mask"])
def test_what_is_wrong_is_told_without_the_path(role: str, tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(b"no picture")
    job = FileJob(file, role)  # type: ignore[arg-type]
    found = measure_file(job)
    assert found.error.startswith("broken")
    assert found.sha256
    assert not measure_file(job._replace(role="other")).error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = mosaic(tmp_path / "a.tif", np.ones((4, 4), "u2"))
    file.chmod(0)
    assert "Permission denied" in measure_file(FileJob(file, "image")).error


def test_a_file_that_went_away_meanwhile(tmp_path: Path) -> None:
    found = measure_file(FileJob(tmp_path / "a.tif", "image"))
    assert "No such file" in found.error
    assert dataclasses.replace(found, error="").sha256 == ""
