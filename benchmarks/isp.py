"""Time the ISP against classical recipes: one table, everything side by side in one run.

See README.md beside this file. Run with the package and its extra `bench` installed:

    python benchmarks/isp.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

try:
    import comparisons
    import machine
    from comparisons import Setting
    from scene import Scene, make_scene
    from table import Row, markdown
    from timing import DisagreementError, Effort, hold_threads
except ModuleNotFoundError as missing:
    raise SystemExit(f"no module {missing.name!r}: pip install --editable '.[bench]'") from None

from raw2logit import Camera
from raw2logit.files import write_text

RESULTS = Path(__file__).with_name("RESULTS.md")
FRAME_PX = (3648, 5472)
TILES = 32
# With --quick: small enough to see in a minute that everything runs, too small to mean anything.
QUICK_FRAME_PX = (912, 1368)
QUICK_TILES = 4
QUICK_SHARE = 0.03

PARTS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "tiles": comparisons.compare_views,
    "training": comparisons.compare_training,
    "demosaic": comparisons.compare_demosaic,
    "frame": comparisons.compare_frame,
    "cuda": comparisons.compare_cuda,
    "compile": comparisons.compare_compiled,  # last: its worker processes stay
}


def main() -> None:
    """Run the parts that are asked for, print the table, and save it."""
    options = _options()
    hold_threads()
    lines, others = machine.describe(), machine.Others()
    effort = Effort(QUICK_SHARE if options.quick else 1.0, options.repeats)
    scene = make_scene(*(QUICK_TILES, QUICK_FRAME_PX) if options.quick else (TILES, FRAME_PX))
    setting = Setting(Camera.preset("drone"), scene, effort)
    lines.append(_describe_scene(scene))
    rows = list(_run(setting, _parts(options)))
    lines.append(f"Other programs took {others.share()} of the processors during the run")
    table, verdict = markdown(rows), _verdict(rows)
    print(table, verdict, sep="\n\n")
    if options.output:
        print(f"\nWritten to {write_text(options.output, _document(lines, table, verdict))}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument("--repeats", type=int, help="rounds of each comparison (default: by time)")
    parser.add_argument(
        "--quick", action="store_true", help="small data, few rounds: does it run at all?"
    )
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time torch.compile, which takes most of a minute a view",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="Markdown file for the table (default for a full run: RESULTS.md beside this file)",
    )
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    full = options.compile and not (options.quick or options.only)
    if options.output is None and full:
        options.output = RESULTS
    return options


def _parts(options: argparse.Namespace) -> list[str]:
    parts = [part for part in PARTS if part in (options.only or PARTS)]
    if not options.compile:
        parts = [part for part in parts if part != "compile"]
    if not torch.cuda.is_available():
        parts = [part for part in parts if part != "cuda"]
    return parts


def _run(setting: Setting, parts: Sequence[str]) -> Iterator[Row]:
    begin = time.perf_counter()
    for part in parts:
        try:
            for row in PARTS[part](setting):
                elapsed = f"[{time.perf_counter() - begin:4.0f} s]"
                print(elapsed, *filter(None, row.cells()), sep="  ", file=sys.stderr, flush=True)
                yield row
        except DisagreementError as error:
            raise SystemExit(f"{part}: not timed, for the contestants differ. {error}") from None


def _describe_scene(scene: Scene) -> str:
    raw = scene.tiles
    return (
        f"Raw data: a generated aerial scene, Raw-Drone camera, {len(raw)} tiles of "
        f"{raw.shape[1]} x {raw.shape[2]} px and a frame of {scene.frame.shape[1]} x "
        f"{scene.frame.shape[2]} px; mean {raw.mean():.3f}, standard deviation {raw.std():.3f}, "
        f"saturated {(raw >= raw.new_tensor(0.999)).float().mean():.2%}"
    )


def _verdict(rows: Sequence[Row]) -> str:
    missed = [row for row in rows if row.missed]
    lines = [f"- {row.what} ({row.against or 'memory'}): {row.ratio}, {row.mark}" for row in missed]
    return "\n".join(["Marks missed:" if missed else "Marks missed: none.", *lines])


def _document(lines: Sequence[str], table: str, verdict: str) -> str:
    head = "\n".join(f"- {line}" for line in lines)
    return (
        "# The ISP against classical recipes\n\n"
        "Written by `python benchmarks/isp.py`; [README.md](README.md) says how to read it. Times "
        "are medians, with the quartiles in brackets.\n\n"
        f"{head}\n\n{table}\n\n{verdict}\n"
    )


if __name__ == "__main__":
    main()
