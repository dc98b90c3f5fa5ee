"""Time the corruptions against numpy, scipy, scikit-image and Pillow, image by image.

Run with the package and its extra `bench` installed, in a checkout:

    python benchmarks/corruptions.py

The other side is the formulation that the tests hold ours against
(`tests/drift/corruption_reference.py`). It gets single precision, its layers are made with whole
arrays, and its larger kernels go through an FFT; only the shuffling of glass is a loop over pixels,
as in the published program, so that there is a total without it. Both sides draw random numbers of
their own. The other side uses one core; two threads of ours that wait for each other suffer from a
busy machine many times more than one does: there, give `--threads 1`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

# The formulation to compare with is one file for tests and benchmarks.
sys.path.append(str(Path(__file__).parents[1]))
try:
    from tests.drift.corruption_reference import REFERENCE, NumpyFields

    import machine
    from table import SPEED, Mark, Row, compare, markdown
    from timing import (
        THREADS,
        DisagreementError,
        Effort,
        Spread,
        hold_threads,
        interleave,
        require_same,
    )
except ModuleNotFoundError as missing:
    raise SystemExit(f"no module {missing.name!r}: pip install --editable '.[bench]'") from None

from raw2logit.drift.corruptions import CORRUPTIONS, PUBLISHED, ConstantSet, corrupt
from raw2logit.drift.corruptions.constants import published
from raw2logit.files import write_text

SEVERITY = 3
TOTAL = Mark(10, SPEED)
_BUDGET_S = 2.0
_TOLERANCE = 2e-4
# Of mean and deviation over all images: frost is cut out of one of five panes.
_RANDOM_TOLERANCE = 0.1
# What the other side rounds to bytes, and libjpeg computes with whole numbers.
_LOOSE = {"jpeg": (4 / 255, 0.03), "pixelate": (1.01 / 255, 0.0)}
_RANDOM = {
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "elastic", "glass_blur"),
    *("motion_blur", "fog", "frost", "snow", "spatter"),
}


@dataclass(frozen=True)
class Batch:
    """What is corrupted.

    Attributes:
        view: ``(B, 3, H, W)`` in [0, 1].
        constants: Whose severity 3.
    """

    view: torch.Tensor
    constants: ConstantSet

    @property
    def size(self) -> str:
        """Number of images and their size."""
        count, _, height, width = self.view.shape
        return f"{count} x {height} x {width}"


def main() -> None:
    """Time everything, print the table, and save it where asked."""
    options = _options()
    hold_threads()
    torch.set_num_threads(options.threads)
    lines, others = machine.describe(), machine.Others()
    effort = Effort(0.03 if options.quick else 1.0, options.repeats)
    sizes: list[tuple[int, int, ConstantSet]] = [(64, 64, "cifar10-c"), (16, 256, "imagenet-c")]
    if options.quick:
        sizes = [(4, 64, "cifar10-c"), (1, 256, "imagenet-c")]
    rows: list[Row] = []
    times: list[dict[str, Spread]] = []
    for count, side, constants in sizes:
        batch = Batch(_views(count, side), constants)
        for row in _compare(batch, effort, times):
            print(*filter(None, row.cells()), sep="  ", file=sys.stderr, flush=True)
            rows.append(row)
    rows.append(_total("all 19, both sizes", times, TOTAL))
    lines.append(f"Threads of torch: {options.threads}")
    lines.append(f"Other programs took {others.share()} of the processors during the run")
    head = "\n".join(f"- {line}" for line in lines)
    document = (
        f"# Corruptions against an image-by-image formulation\n\n{head}\n\n{markdown(rows)}\n"
    )
    print(document)
    if options.output:
        print(f"Written to {write_text(options.output, document)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, help="rounds of each comparison (default: by time)")
    parser.add_argument(
        "--quick", action="store_true", help="few images, few rounds: does it run at all?"
    )
    parser.add_argument("--threads", type=int, default=THREADS, help="of torch")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    return options


def _views(count: int, side: int) -> torch.Tensor:
    """Return images of smooth colours and fine noise, whole bytes."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, side // 8, side // 8), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    noise = 0.03 * torch.randn((count, 3, side, side), generator=generator)
    return ((smooth * 0.7 + 0.15 + noise).clamp(0, 1) * 255).round() / 255


def _compare(batch: Batch, effort: Effort, times: list[dict[str, Spread]]) -> Iterator[Row]:
    own: dict[str, dict[str, Spread]] = {}
    for name in CORRUPTIONS:
        try:
            own[name] = _time(batch, name, effort)
        except DisagreementError as error:
            raise SystemExit(f"{name}: not timed, for the contestants differ. {error}") from None
        what = f"{name}, {batch.size}, {batch.constants}"
        yield compare(what, own[name]["ours"], "image by image", own[name]["theirs"])
    times.extend(own.values())
    yield _total(f"all 19, {batch.size}", list(own.values()))
    others = [spreads for name, spreads in own.items() if name != "glass_blur"]
    yield _total(f"all but glass_blur, {batch.size}", others)
    yield _total(f"the ten published, {batch.size}", [own[name] for name in PUBLISHED])


def _total(what: str, times: list[dict[str, Spread]], mark: Mark | None = None) -> Row:
    ours, theirs = (
        Spread(
            sum(spreads[side].median_s for spreads in times),
            sum(spreads[side].lower_s for spreads in times),
            sum(spreads[side].upper_s for spreads in times),
        )
        for side in ("ours", "theirs")
    )
    return compare(what, ours, "image by image", theirs, mark)


def _time(batch: Batch, name: str, effort: Effort) -> dict[str, Spread]:
    generator = torch.Generator().manual_seed(0)
    pictures = list(batch.view.permute(0, 2, 3, 1).contiguous().numpy())
    numbers = published(name, SEVERITY, batch.constants)
    if name == "glass_blur":
        numbers = (numbers[0], int(numbers[1]), int(numbers[2]))

    def ours() -> torch.Tensor:
        with torch.inference_mode():
            return corrupt(
                batch.view, name, SEVERITY, constants=batch.constants, generator=generator
            )

    def theirs() -> list[np.ndarray]:
        return [
            REFERENCE[name](picture, NumpyFields(seed), *numbers)
            for seed, picture in enumerate(pictures)
        ]

    first = ours()
    second = torch.from_numpy(np.stack(theirs())).permute(0, 3, 1, 2).to(first)
    if name in _RANDOM:
        for statistic in (torch.mean, torch.std):
            require_same(name, statistic(first), statistic(second), tolerance=_RANDOM_TOLERANCE)
    else:
        tolerance, share = _LOOSE.get(name, (_TOLERANCE, 0.0))
        require_same(name, first, second, tolerance=tolerance, share_beyond=share)
    return interleave({"ours": ours, "theirs": theirs}, effort, budget_s=_BUDGET_S, warm_up=False)


if __name__ == "__main__":
    main()
