"""``raw2logit data calibrate`` through the real entry point."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import raw2logit as r2l
from raw2logit.cli import main
from raw2logit.photon_transfer import PhotonTransfer
from raw2logit.raw import write_mosaic_tiff
from raw2logit.report.figures import save_png
from raw2logit.report.photon_transfer import transfer_curve

GAIN, READ_NOISE = 8.448, 3.2
DRONE = dataclasses.replace(
    r2l.Camera.preset("drone"), read_noise_electrons=READ_NOISE, white_level=1.0
)
LEVELS = np.geomspace(0.001, 0.7, 5)


def take(
    level: float,
    seed: int,
    *,
    size: tuple[int, int] = (192, 256),
    bits: int = 12,
    black: tuple[float, ...] = DRONE.black_level,
) -> torch.Tensor:
    """Take a shaded picture with numpy alone."""
    rng = np.random.default_rng(seed)
    light = level * np.linspace(1, 0.6, size[1]) * np.ones((size[0], 1))
    signal = rng.poisson(light * 65535 / GAIN) + rng.normal(0, READ_NOISE, size)
    numbers = signal * GAIN + 65535 * np.tile(np.reshape(black, (2, 2)), [s // 2 for s in size])
    step = 2 ** (16 - bits)
    numbers = np.clip(np.rint(numbers / step), 0, 2**bits - 1) * step
    return torch.from_numpy((numbers / 65535).astype(np.float32))


def tiffs(levels: np.ndarray = LEVELS, count: int = 2) -> list[str]:
    """Write pictures, `count` a level one after the other; return their names."""
    names = [f"{level:.5f}-{i}.tif" for level in levels for i in range(count)]
    for seed, name in enumerate(names):
        write_mosaic_tiff(Path(name), take(levels[seed // count], seed))
    return names


def run(*words: str) -> None:
    assert main(["data", "calibrate", *words]) == 0


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with code 2 and one line; return the line."""
    capsys.readouterr()
    before = sorted(Path().iterdir())
    assert main(["data", "calibrate", *words]) == 2
    assert sorted(Path().iterdir()) == before
    # What went well before has told so.
    (error,) = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("[")]
    assert error.startswith("raw2logit: ")
    return error


def recovered(path: Path | str = "camera.yaml", read_noise: float = READ_NOISE) -> r2l.Camera:
    camera = r2l.Camera.from_yaml(path)
    assert camera.full_scale_electrons == pytest.approx(65535 / GAIN, rel=0.03)
    assert camera.read_noise_electrons == pytest.approx(read_noise, rel=0.1)
    return camera


def test_pairs_of_tiffs(capsys: pytest.CaptureFixture[str]) -> None:
    run(*tiffs(), "--camera", "drone")
    camera = recovered()
    assert camera == dataclasses.replace(
        r2l.Camera.preset("drone"),
        full_scale_electrons=camera.full_scale_electrons,
        read_noise_electrons=camera.read_noise_electrons,
    )
    assert camera.full_scale_electrons
    gain, full, noise, points, path = capsys.readouterr().out.splitlines()
    assert gain.startswith(f"gain        {65535 / camera.full_scale_electrons:.5g} ± 0.0")
    assert gain.endswith(" DN (16 bits) / e-")
    assert full.startswith(f"full scale  {camera.full_scale_electrons:.5g} ± ")
    assert noise.startswith(f"read noise  {camera.read_noise_electrons:.3g} ± 0.")
    assert points.startswith("points      240, scatter ")
    assert path == "camera.yaml"


def test_the_camera_of_dngs_comes_from_their_metadata() -> None:
    names = []
    for seed, level in enumerate(np.repeat(LEVELS, 2)):
        names.append(f"{seed}.dng")
        r2l.write_dng(names[-1], take(level, seed), DRONE)
    run(*names, "--bits", "12", "-o", "own/camera-of-mine.yaml")
    camera = recovered("own/camera-of-mine.yaml")
    assert camera.name == "camera-of-mine"
    assert camera.bits == 12
    assert camera.black_level == pytest.approx(DRONE.black_level, abs=1e-6)
    assert camera.white_balance == pytest.approx(DRONE.white_balance, rel=1e-4)


def test_values_that_show_fewer_bits_than_stated(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        r2l.write_dng(f"{seed}.dng", take(0.5, seed), dataclasses.replace(DRONE, bits=16))
    assert fails(["0.dng", "1.dng"], capsys) == (
        "raw2logit: 0.dng: all values are multiples of 16, so the converter has 12 bits, but "
        "camera 'camera' states 16: add --bits 12"
    )


def test_single_pictures() -> None:
    run(*tiffs(count=1), "--flat", "--camera", "drone")
    recovered()


def test_camera_from_a_file_and_black_level_from_a_dark_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataclasses.replace(DRONE, black_level=(0.0,) * 4).to_yaml("before.yaml")
    names = tiffs()
    error = fails([*names, "--camera", "before.yaml"], capsys)
    assert "no variance is left at the black level (0.0 0.0 0.0 0.0)" in error
    assert "measure it from a dark picture (--dark)" in error
    write_mosaic_tiff(Path("dark.tif"), take(0, 99))
    capsys.readouterr()
    run(*names, "--camera", "before.yaml", "--dark", "dark.tif")
    camera = recovered()
    assert camera.black_level == pytest.approx(DRONE.black_level, abs=3e-5)
    assert "\nblack level 409" in capsys.readouterr().out


def test_one_exposure_and_a_known_read_noise(capsys: pytest.CaptureFixture[str]) -> None:
    names = tiffs(np.array([0.5]))
    run(*names, "--camera", "drone", "--read-noise", "3.2")
    recovered()
    assert "\nread noise  3.2 e- (given)\n" in capsys.readouterr().out


def test_regions_keep_out_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    names = tiffs()
    for name in names:
        mosaic = r2l.read_raw(name).mosaic
        mosaic[:, 128:] = 0.3 + 0.2 * torch.rand(192, 128)
        write_mosaic_tiff(Path(name), mosaic)
    words = ["--region", "0", "0", "192", "64", "--region", "0", "64", "192", "64"]
    run(*words, *names, "--camera", "drone")
    recovered()
    assert "points      120," in capsys.readouterr().out


def test_odd_sizes_are_cropped_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{seed}.npy" for seed in range(10)]
    for seed, name in enumerate(names):
        np.save(name, take(LEVELS[seed // 2], seed)[:191].numpy())
    words = [*names, "--camera", "drone"]
    assert "0.npy: 191 x 256 pixels, but a mosaic" in fails(words, capsys)
    run(*words, "--crop-odd")
    recovered()


def test_plot(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(*tiffs(), "--camera", "drone", "-o", "out/drone.yml", "--plot", "out/ptc.png")
    recovered("out/drone.yml")
    assert capsys.readouterr().out.endswith("out/drone.yml out/ptc.png\n")
    with Image.open("out/ptc.png") as picture:
        assert picture.width > picture.height > 500
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
    assert sorted(path.name for path in Path("out").iterdir()) == ["drone.yml", "ptc.png"]


def result(**changes: object) -> PhotonTransfer:
    values = {
        "gain_dn_per_electron": 2.0,
        "gain_error": 0.1,
        "read_noise_electrons": 3.0,
        "read_noise_error": 0.2,
        "mean_dn": (-1.0, 0.0, 10.0, 100.0, 1000.0),
        "variance_dn2": (36.0, 36.0, 56.0, 236.0, 2036.0),
        "rounding_dn2": 0.0,
        "scatter": 1.0,
    }
    return PhotonTransfer(**{**values, **changes})


def test_figure_shows_the_points_and_their_line() -> None:
    figure = transfer_curve(result(), "a $ camera")
    (axes,) = figure.axes
    (points,) = axes.collections
    np.testing.assert_array_equal(points.get_offsets(), [[10, 56], [100, 236], [1000, 2036]])
    fit, floor = axes.lines
    levels, variances = fit.get_data()
    np.testing.assert_allclose(variances, 2 * levels + 36)
    assert levels.min() < 10 < 1000 < levels.max()
    assert set(floor.get_ydata()) == {36.0}
    assert "gain 2 ± 0.1" in figure.get_label()
    assert "3 ± 0.2 e" in figure.get_label()
    assert axes.get_legend().get_texts()[0].get_text() == "3 points"
    assert figure.texts[0].get_text() == "Photon transfer curve of a $ camera"


@pytest.mark.parametrize(
    "changes",
    [
        {"read_noise_electrons": 0.0, "read_noise_error": 0.0},
        {"mean_dn": (5.0,), "variance_dn2": (10.0,)},
        {"mean_dn": (-5.0, 0.0), "variance_dn2": (10.0, 0.0)},
        {"mean_dn": tuple(np.geomspace(1, 6e4, 5000)), "variance_dn2": (9.0,) * 5000},
    ],
)
def test_figure_of_odd_results(changes: dict[str, object], own_folder: Path) -> None:
    assert save_png(transfer_curve(result(**changes), "x"), own_folder / "x.png").is_file()


def test_other_files_are_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    names = [*tiffs(), "--camera", "drone"]
    Path("camera.yaml").write_text("mine")
    Path("ptc.png").write_bytes(b"mine")
    Path("dangling.yaml").symlink_to("nowhere")
    for words, message in (
        ([], "--out camera.yaml: is there already: remove it, or name another file"),
        (["-o", "dangling.yaml"], "--out dangling.yaml: is there already"),
        (["-o", "new.yaml", "--plot", "ptc.png"], "--plot ptc.png: is there already"),
        (["-o", "new.png"], "--out new.png: give it a name that ends in .yaml"),
        (["-o", "new.yaml", "--plot", "p.pdf"], "--plot p.pdf: give it a name that ends in .png"),
        (["-o", "camera.yaml/new.yaml"], "--out camera.yaml: no folder can be made there"),
    ):
        assert message in fails([*names, *words], capsys)
    assert Path("camera.yaml").read_text() == "mine"
    assert Path("ptc.png").read_bytes() == b"mine"


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c, d = tiffs(np.array([0.2, 0.5]))
    drone = ["--camera", "drone"]
    write_mosaic_tiff(Path("small.tif"), take(0.2, 7, size=(64, 64)))
    write_mosaic_tiff(Path("black.tif"), torch.zeros(64, 64))
    Path("copy.tif").write_bytes(Path(a).read_bytes())
    Path("cut.tif").write_bytes(Path(a).read_bytes()[:-50])
    for name, level in (("one.dng", 0.06), ("two.dng", 0.07)):
        camera = dataclasses.replace(DRONE, black_level=(level,) * 4)
        r2l.write_dng(name, take(0.2, 8), camera)
    for words, message in (
        ([], "FILES"),
        ([a, b, c, *drone], "--pairs: 3 files are no pairs: name both pictures of each exposure"),
        ([a, b], f"{a}: has no camera metadata: add --camera microscopy, drone or a YAML file"),
        ([a, b, "--camera", "webcam"], "unknown camera 'webcam': registered are"),
        ([a, b, "--camera", "no.yaml"], "no.yaml: no such camera file"),
        ([a, "nope.tif", *drone], "nope.tif: no such file"),
        ([a, "cut.tif", *drone], "cut.tif: broken TIFF"),
        ([a, a, *drone], f"{a}: named twice, which makes no second picture"),
        ([a, "copy.tif", *drone], f"{a} copy.tif: both pictures of a pair are the same"),
        ([a, "small.tif", *drone], f"{a} small.tif: a pair of pictures of (192, 256) and (64, 64)"),
        ([a, d, *drone], f"{a} {d}: the pictures of a pair differ by"),
        (["one.dng", "two.dng"], "two.dng: its black_level is (0.0"),
        (
            [a, b, "--region", "0", "0", "64", "64", *drone],
            "differ too little to tell the gain: add pictures of other levels, or",
        ),
        ([a, b, c, d, *drone], "but not the read noise"),
        (["--flat", a, "--region", "0", "0", "500", "64", *drone], f"{a}: region 0 0 500 64 (row,"),
        (["--flat", a, "--region", "0", "0", "64", *drone], "--region"),
        (["--flat", a, "--region", "0", "0", "64", "x", *drone], "--region"),
        ([a, b, "--read-noise", "-1", *drone], "read noise must be at least 0 electrons, got -1"),
        ([a, b, "--bits", "17", *drone], "bits must be from 1 to 16, got 17"),
        ([a, b, "--dark", "nope.tif", *drone], "nope.tif: no such file"),
        ([a, b, "--dark", "black.tif", *drone], "--dark black.tif: 100% of the pixels of a dark"),
    ):
        assert message in fails(words, capsys), words


def test_help_names_what_messages_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "calibrate", "--help"]) == 0
    text = capsys.readouterr().out
    for option in (
        *("--bits", "--camera", "--crop-odd", "--dark", "--flat", "--out", "--pairs", "--plot"),
        *("--read-noise", "--region"),
    ):
        assert option in text
