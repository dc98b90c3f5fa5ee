"""The animation: GIF and MP4 as others read them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from raw2logit.errors import InputError
from raw2logit.report import animation
from raw2logit.report.animation import (
    check_animation,
    encode_gif,
    read_frame,
    write_animations,
    write_frame,
)
from raw2logit.tasks.config import TrackConfig
from tests.report.traced import Named, made_up

SIZE = (121, 75)


def tracking(**options: object) -> TrackConfig:
    return TrackConfig(track_processing=True, track_every_epoch=True, **options)  # type: ignore[arg-type]


def picture(epoch: int) -> Image.Image:
    """Return a frame whose left half stays, and whose right half changes."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    pixels = np.stack([2 * x, 3 * y, 255 - 2 * x], axis=-1).astype(np.uint8)
    generator = np.random.default_rng(epoch)
    noise = generator.integers(0, 256, (5, 4, 3), np.uint8).repeat(15, axis=0).repeat(15, axis=1)
    pixels[:, 61:] = noise[: SIZE[1], : SIZE[0] - 61]
    pixels[:10] = 255
    pixels[:6, : 3 * epoch + 3] = 26
    return Image.fromarray(pixels)


def frames(folder: Path, n: int) -> list[Path]:
    return [
        write_frame(folder / f"epoch-{i:04d}.png", picture(i), {"raw": (0, 1)}) for i in range(n)
    ]


def shown_in(path: Path) -> list[npt.NDArray[np.uint8]]:
    with Image.open(path) as image:
        shown = []
        for index in range(image.n_frames):
            image.seek(index)
            shown.append(np.asarray(image.convert("RGB")))
        return shown


def test_a_frame_comes_back_with_its_ranges(tmp_path: Path) -> None:
    path = write_frame(tmp_path / "f.png", picture(2), {"raw": (0.1, 0.7), "weiß": (-1, 2)})
    image, ranges = read_frame(path)
    assert np.array_equal(np.asarray(image), np.asarray(picture(2)))
    assert ranges == {"raw": (0.1, 0.7), "weiß": (-1, 2)}


def test_the_gif_shows_every_epoch_loops_and_looks_like_the_frames(tmp_path: Path) -> None:
    (path,) = write_animations(frames(tmp_path, 6), tmp_path, tracking())
    assert path.name == "animation.gif"
    with Image.open(path) as image:
        assert image.format == "GIF"
        assert image.size == SIZE
        assert image.info["loop"] == 0
        durations = []
        for index in range(image.n_frames):
            image.seek(index)
            durations.append(image.info["duration"])
    assert durations == [600] * 5 + [2000]
    shown = shown_in(path)
    for epoch, pixels in enumerate(shown):
        wanted = np.asarray(picture(epoch)).astype(int)
        assert np.abs(pixels - wanted).mean() < 6
        assert (pixels[9] == 255).all()  # white stays white
    # Nothing flickers that does not change.
    assert all(np.array_equal(pixels[10:, :60], shown[0][10:, :60]) for pixels in shown)


def test_a_long_gif_is_quick_and_a_large_one_shows_fewer_epochs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = frames(tmp_path, 20)
    images = [read_frame(path)[0] for path in paths]
    whole = encode_gif(images)
    limit = len(whole) // 3
    monkeypatch.setattr(animation, "LARGEST_GIF_BYTES", limit)
    (path,) = write_animations(paths, tmp_path, tracking())
    assert path.stat().st_size <= limit
    shown = shown_in(path)
    assert 3 <= len(shown) <= 7
    for pixels, epoch in ((shown[0], 0), (shown[-1], 19)):
        # Four hundred colours at random are more than a palette has.
        differences = [
            np.abs(pixels - np.asarray(picture(i)).astype(int)).mean() for i in range(20)
        ]
        assert int(np.argmin(differences)) == epoch
        assert differences[epoch] < 10


def test_a_grey_animation(tmp_path: Path) -> None:
    greys = [Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)) for i in range(4)]
    (tmp_path / "a.gif").write_bytes(encode_gif(greys))
    for i, pixels in enumerate(shown_in(tmp_path / "a.gif")):
        assert np.abs(pixels.astype(int) - 40 * i).max() <= 4


def test_the_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    files = write_animations(frames(tmp_path, 7), tmp_path, tracking(animation="both"))
    assert [path.name for path in files] == ["animation.gif", "animation.mp4"]
    with av.open(str(files[1])) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (122, 76)
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert float(stream.average_rate) == pytest.approx(1 / 0.6)
    assert len(shown) == 7
    for epoch, pixels in enumerate(shown):
        wanted = np.asarray(picture(epoch)).astype(int)
        assert np.abs(pixels[: SIZE[1], : SIZE[0]] - wanted).mean() < 8
    content = files[1].read_bytes()
    assert content.find(b"moov") < content.find(b"mdat")  # plays before all of it is there
    again = write_animations(frames(tmp_path, 7), tmp_path / "b", tracking(animation="mp4"))
    assert [path.name for path in again] == ["animation.mp4"]
    assert again[0].read_bytes() == content


def test_mp4_wants_its_package_before_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for kind in ("mp4", "both"):
        with pytest.raises(InputError, match=r"pip install 'raw2logit\[video\]'") as caught:
            check_animation(tracking(animation=kind))
        assert "\n" not in str(caught.value)
    check_animation(tracking())
    check_animation(tracking(animation="none"))


def test_mp4_wants_h264(monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    check_animation(tracking(animation="mp4"))
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(InputError, match="has no libx264"):
        check_animation(tracking(animation="mp4"))


def test_mp4_wants_something_to_show() -> None:
    with pytest.raises(InputError, match="--track-processing --track-every-epoch"):
        check_animation(TrackConfig(animation="mp4"))
    check_animation(TrackConfig())


@pytest.mark.slow
def test_large_images_over_many_epochs_stay_below_ten_megabytes(tmp_path: Path) -> None:
    from raw2logit.report.traces import TraceWriter

    target = TraceWriter(
        tmp_path,
        Named("classification"),
        [0],
        tracking(track_processing_gradients=True),
    )
    for epoch in range(120):
        target.write(made_up(n=1, side=256, seed=epoch), epoch)
    (path,) = target.finish()
    assert 5_000_000 < path.stat().st_size <= 10_000_000
