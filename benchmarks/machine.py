"""What a table of times must say of the machine that it was made on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from timing import THREADS

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "colour-demosaicing",
    "kornia",
    "opencv-python-headless",
)


def describe() -> list[str]:
    """Return lines for the head of the table."""
    versions = [f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in _PACKAGES)]
    lines = [
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        f"Processor: {_processor()}",
        f"Threads: {THREADS} (torch, OpenCV, numpy's linear algebra), on {os.cpu_count()} logical "
        "processors",
        f"Versions: {', '.join(versions)}",
    ]
    if torch.cuda.is_available():
        lines.append(f"CUDA device: {torch.cuda.get_device_name()}")
    return lines


def _processor() -> str:
    """Name the processor; a virtual machine may hide the model, so its numbers stand beside."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    block = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    name = facts.get("model name", platform.machine())
    numbers = [
        f"{field} {facts[key]}"
        for field, key in (("family", "cpu family"), ("model", "model"), ("stepping", "stepping"))
        if key in facts
    ]
    known = facts.get("flags", "").split()
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if flag in known]
    return ", ".join([name, *numbers, f"flags {' '.join(flags) or 'none of AVX2, AVX-512'}"]) + (
        _caches()
    )


def _caches() -> str:
    sizes = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index[0-9]")):
        level, kind, size = (
            (folder / name).read_text(encoding="ascii").strip()
            for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            sizes.append(f"L{level} {size}")
    return f", caches {' '.join(sizes)}" if sizes else ""


class Others:
    """What other programs take of the processors: where they do, all times here are too long.

    A hypervisor that gives the machine's time away counts as another program.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self._start = _clocks_s()

    def share(self) -> str:
        """Return the share since the beginning, in words where it is unknown."""
        end = _clocks_s()
        if self._start is None or end is None:
            return "an unknown share"
        pairs = zip(end, self._start, strict=True)
        total_s, idle_s, own_s = (after - before for after, before in pairs)
        return f"{max(0.0, total_s - idle_s - own_s) / max(total_s, 1e-9):.0%}"


def _clocks_s() -> tuple[float, float, float] | None:
    """Return the processors' time, their idle time, and this process's with its children's."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; what follows is contained in user.
    ticks = [int(field) for field in stat.read_text(encoding="ascii").split()[1:9]]
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    own = os.times()
    own_s = own.user + own.system + own.children_user + own.children_system
    return sum(ticks) * tick_s, (ticks[3] + ticks[4]) * tick_s, own_s
