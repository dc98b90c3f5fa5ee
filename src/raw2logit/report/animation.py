"""The stages of a pipeline over a training, as GIF and MP4.

Each epoch leaves a frame, a PNG that holds beside the picture the ranges in which it was drawn.
So the animation is whole after kills: it is made of what lies in the folder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raw2logit.errors import InputError
from raw2logit.files import atomic_path, write_bytes
from raw2logit.tasks.config import TrackConfig

if TYPE_CHECKING:
    from PIL import Image

LARGEST_GIF_BYTES = 10_000_000
_KEY = "raw2logit.frame"
_CODEC = "libx264"
"""H.264, which browsers play; in all wheels of PyAV."""
_SHORTEST_MS, _LONGEST_MS, _WHOLE_MS = 100, 600, 12_000
_LAST_MS = 2000
_GREYS, _GREY_SPREAD = 33, 12
"""Entries of the palette that are grey, 8 levels apart as Pillow matches them; and how far the
channels of a grey pixel may differ."""
_PALETTE_PX = 1_000_000
"""So many pixels of all frames decide on the palette."""

Ranges = dict[str, tuple[float, float]]


def wants_animation(config: TrackConfig) -> bool:
    """Tell whether a run shall leave an animation."""
    stages = config.track_processing or config.track_processing_gradients
    return stages and config.track_every_epoch and config.animation != "none"


def check_animation(config: TrackConfig) -> None:
    """Look whether the animation that a run shall leave can be made, before it starts.

    Raises:
        InputError: MP4 is asked for, and PyAV is not installed or without H.264, or no images of
            every epoch are kept.
    """
    if config.animation not in ("mp4", "both"):
        return
    if not wants_animation(config):
        raise InputError(
            f"--animation {config.animation}: needs the stages of every epoch: add "
            "--track-processing --track-every-epoch"
        )
    _require_av()


def _require_av() -> Any:  # noqa: ANN401 - the module, which may not be installed
    try:
        import av
    except ImportError as error:
        raise InputError(
            "--animation mp4: needs PyAV: pip install 'raw2logit[video]', or use --animation gif"
        ) from error
    if _CODEC not in av.codecs_available:
        raise InputError(
            f"--animation mp4: this PyAV has no {_CODEC}: install its wheel with "
            "pip install 'raw2logit[video]', or use --animation gif"
        )
    return av


def write_frame(path: Path, image: Image.Image, ranges: Ranges) -> Path:
    """Write the frame of an epoch, complete or not at all."""
    from raw2logit.report._canvas import encode_png

    return write_bytes(path, encode_png(image, {_KEY: json.dumps(ranges)}))


def read_frame(path: Path) -> tuple[Image.Image, Ranges]:
    """Read what `write_frame` wrote.

    Raises:
        InputError: It is damaged.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            ranges = {
                str(name): (float(low), float(high))
                for name, (low, high) in json.loads(image.info[_KEY]).items()
            }
            return image.convert("RGB"), ranges
    except (
        AttributeError,
        KeyError,
        OSError,
        SyntaxError,
        TypeError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: a frame of the animation that cannot be read ({type(error).__name__}: "
            f"{reason}): delete it, and the animation is made without it"
        ) from error


def write_animations(frames: Sequence[Path], folder: Path, config: TrackConfig) -> list[Path]:
    """Write ``animation.gif`` and ``animation.mp4``, as far as asked for.

    Args:
        frames: One an epoch, in order; of fewer than two no animation is made.
        folder: Gets the files, each complete or not at all.
        config: Says which.

    Returns:
        The files.

    Raises:
        InputError: A frame is damaged or of another size than the first, or PyAV is missing.
    """
    if len(frames) < 2 or not wants_animation(config):
        return []
    images = [read_frame(path)[0] for path in frames]
    for path, image in zip(frames, images, strict=True):
        if image.size != images[0].size:
            raise InputError(
                f"{path}: {image.size[0]} x {image.size[1]} pixels, but {frames[0].name} has "
                f"{images[0].size[0]} x {images[0].size[1]}: delete the frames of other runs"
            )
    files = []
    if config.animation in ("gif", "both"):
        files.append(write_bytes(folder / "animation.gif", encode_gif(images)))
    if config.animation in ("mp4", "both"):
        files.append(folder / "animation.mp4")
        with atomic_path(files[-1]) as temporary:
            _write_mp4(images, temporary)
    return files


def encode_gif(images: Sequence[Image.Image]) -> bytes:
    """Return a GIF that loops and stands still at its end.

    All frames share one palette without dithering, so that nothing flickers that does not change.
    Above 10 MB only every second, third, ... epoch is shown, and the last.

    Args:
        images: At least two, of one size.
    """
    from PIL import Image

    palette = _palette(images)
    shown = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    content = _gif(shown)
    step = 1
    while len(content) > LARGEST_GIF_BYTES and step < len(shown):
        step = max(ceil(step * len(content) / LARGEST_GIF_BYTES), step + 1)
        chosen = shown[:-1:step]
        content = _gif([*chosen, shown[-1]])
    return content


def _gif(images: Sequence[Image.Image]) -> bytes:
    durations = [_frame_ms(len(images))] * (len(images) - 1) + [_LAST_MS]
    buffer = io.BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
    )
    return buffer.getvalue()


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """Return greys, for mosaics and text, and the colours of pixels spread evenly over all."""
    import numpy as np
    from PIL import Image

    width, height = images[0].size
    step = max(ceil(width * height * len(images) / _PALETTE_PX), 1)
    pixels = np.concatenate([np.asarray(image).reshape(-1, 3)[::step] for image in images])
    greys = np.linspace(0, 255, _GREYS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    entries = greys.tobytes()
    coloured = pixels[np.ptp(pixels, axis=1) > _GREY_SPREAD]
    if len(coloured):
        cut = Image.fromarray(coloured[None]).quantize(
            256 - _GREYS, method=Image.Quantize.MEDIANCUT
        )
        entries += bytes(cut.getpalette() or [])[: 3 * (256 - _GREYS)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries)
    return palette


def _frame_ms(n_frames: int) -> int:
    # Browsers count hundredths of a second.
    return min(max(_WHOLE_MS // n_frames // 10 * 10, _SHORTEST_MS), _LONGEST_MS)


def _write_mp4(images: Sequence[Image.Image], path: Path) -> None:
    """Write H.264 in yuv420p, which wants even sizes: one row or column of white may be added."""
    from fractions import Fraction

    from PIL import Image

    av = _require_av()
    width, height = (side + side % 2 for side in images[0].size)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(_CODEC, rate=Fraction(1000, _frame_ms(len(images))))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", "preset": "medium", "threads": "1"}
        for image in images:
            canvas = Image.new("RGB", (width, height), "white")
            canvas.paste(image)
            for packet in stream.encode(av.VideoFrame.from_image(canvas)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
