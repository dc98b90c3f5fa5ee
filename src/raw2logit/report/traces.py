"""What a training keeps of its images, epoch by epoch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from raw2logit.datasets.base import RawDataset
from raw2logit.files import write_bytes, write_text
from raw2logit.report import _trace_sheets as sheets
from raw2logit.report._canvas import encode_png, number
from raw2logit.report.animation import read_frame, wants_animation, write_animations, write_frame
from raw2logit.tasks.config import TrackConfig
from raw2logit.tasks.trace import Trace

_KEY, _FORMAT = "raw2logit.trace", 1
_ANIMATION_PX = 128
"""Pictures of 64 pixels are shown enlarged to it, those of 256 averaged down to it."""
_FRAMES = "frames"
_NOTES = (
    "Linear stages are scaled to the range under their name, then gamma-encoded.",
    "Below each picture stand its least and largest value.",
)
_GRADIENT_NOTE = "Gradient of the loss: mid-grey is zero, each picture has its own scale."


class TraceWriter:
    """Writes the traces of one training into a folder.

    Every file is complete or not there, and depends on the trace and on frames of earlier epochs
    alone: an epoch that is done again after a kill writes the same bytes::

        stages/epoch-0003.png        each stage, and its gradient
        differences/epoch-0003.png   to the default pipeline
        predictions/epoch-0003.png   beside the targets; and the same as epoch-0003.csv
        tensors/epoch-0003.safetensors
        frames/epoch-0003.png        of the animation: the first sample
        animation.gif, animation.mp4
    """

    def __init__(
        self, folder: Path, dataset: RawDataset, indices: Sequence[int], config: TrackConfig
    ) -> None:
        """Prepare to write.

        Args:
            folder: Of the split.
            dataset: Gives names and classes.
            indices: The samples of the traces to come.
            config: What to keep.
        """
        names = dataset.sample_names()
        self._folder = folder
        self._config = config
        self._samples = sheets.Samples(
            dataset.task, dataset.classes, [names[index] for index in indices]
        )

    def wants(self, epoch: int, n_epochs: int) -> bool:
        """Tell whether an epoch, 0 before any step, shall be traced."""
        config = self._config
        return config.keeps_images and (config.track_every_epoch or epoch == n_epochs)

    def write(self, trace: Trace, epoch: int) -> list[Path]:
        """Write what is to be kept of an epoch.

        Args:
            trace: Of the samples that the writer was made for.
            epoch: From 1; 0 is before any step.

        Returns:
            The files.

        Raises:
            InputError: An earlier frame of the animation is damaged.
            ValueError: The trace is of another number of samples.
        """
        if len(trace.raw) != len(self._samples.names):
            raise ValueError(
                f"the trace has {len(trace.raw)} samples, the writer {len(self._samples.names)}"
            )
        config, files = self._config, []
        title = f"Epoch {epoch}, mean loss {number(float(trace.losses.mean()))}"
        if config.track_processing or config.track_processing_gradients:
            files.append(self._write_stages(trace, epoch, title))
        if config.track_differences:
            sheet = sheets.draw_differences(trace, self._samples, title=title)
            files.append(write_bytes(self._path("differences", epoch), encode_png(sheet)))
        if config.track_predictions:
            sheet = sheets.draw_predictions(trace, self._samples, title=title)
            files.append(write_bytes(self._path("predictions", epoch), encode_png(sheet)))
            files.append(self._write_predictions(trace, epoch))
        if config.track_save_tensors:
            path = self._path("tensors", epoch, ".safetensors")
            files.append(write_bytes(path, self._tensors(trace, epoch)))
        if wants_animation(config):
            files.append(self._write_frame(trace, epoch))
        return files

    def finish(self) -> list[Path]:
        """Make the animations of the frames that lie in the folder.

        Returns:
            The files; none where fewer than two epochs were traced.

        Raises:
            InputError: A frame is damaged, or one is of another size.
        """
        return write_animations(self._frames(), self._folder, self._config)

    def _path(self, kind: str, epoch: int, suffix: str = ".png") -> Path:
        return self._folder / kind / f"epoch-{epoch:04d}{suffix}"

    def _write_stages(self, trace: Trace, epoch: int, title: str) -> Path:
        gradients = self._config.track_processing_gradients
        sheet = sheets.draw_stages(
            trace,
            self._samples,
            sheets.stage_ranges(trace),
            title=title,
            notes=[*_NOTES, *([_GRADIENT_NOTE] if gradients else [])],
            gradients=gradients,
        )
        return write_bytes(self._path("stages", epoch), encode_png(sheet))

    def _write_predictions(self, trace: Trace, epoch: int) -> Path:
        rows = [{"epoch": epoch, **row} for row in sheets.verdicts(trace, self._samples)]
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return write_text(self._path("predictions", epoch, ".csv"), text.getvalue())

    def _tensors(self, trace: Trace, epoch: int) -> bytes:
        tensors: dict[str, Tensor] = {
            "raw": trace.raw,
            "view": trace.view.clone(),  # no two names may share memory
            "default_view": trace.default_view,
            "logits": trace.logits,
            "predictions": trace.predictions,
            "targets": trace.targets,
            "losses": trace.losses,
            "gradient.raw": trace.raw_gradient,
        }
        for name, stage in trace.stages.items():
            tensors[f"stage.{name}"] = stage
            tensors[f"gradient.{name}"] = trace.gradients[name]
        about = {
            "format": _FORMAT,
            "epoch": epoch,
            "samples": list(self._samples.names),
            "classes": list(self._samples.classes),
            "stages": list(trace.stages),
        }
        # One entry: safetensors writes several in any order.
        return save(tensors, metadata={_KEY: json.dumps(about)})

    def _write_frame(self, trace: Trace, epoch: int) -> Path:
        path = self._path(_FRAMES, epoch)
        gradients = self._config.track_processing_gradients
        earlier = [frame for frame in self._frames() if _epoch_of(frame) < epoch]
        ranges = read_frame(earlier[0])[1] if earlier else {}
        if set(ranges) != {sheets.RAW, *trace.stages}:
            ranges = sheets.stage_ranges(trace)
        image = sheets.draw_stages(
            trace,
            self._samples,
            ranges,
            title=f"Epoch {epoch}, loss {number(float(trace.losses[0]))}",
            notes=[_GRADIENT_NOTE] if gradients else (),
            gradients=gradients,
            target_px=_ANIMATION_PX,
            only=[0],
        )
        return write_frame(path, image, ranges)

    def _frames(self) -> list[Path]:
        frames = (self._folder / _FRAMES).glob("epoch-*.png")
        return sorted((path for path in frames if _epoch_of(path) >= 0), key=_epoch_of)


def _epoch_of(frame: Path) -> int:
    number = frame.stem.removeprefix("epoch-")
    return int(number) if number.isdecimal() else -1
