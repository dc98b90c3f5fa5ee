"""Peak memory of one frame: a program of its own, run once for each measurement.

A fresh process imports torch, builds the pipeline, reads the raw frame and processes a small tile.
What it holds then (VmRSS) is the base. Writing 5 to /proc/self/clear_refs sets the kernel's
high-water mark (VmHWM) back to the base, the frame is processed, and the mark less the base is what
the frame took, its output included. (ru_maxrss would not do: it cannot be reset, and a child starts
with its parent's.)
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raw2logit import Camera, static_pipeline

_GIB = 2**30
_TILE_PX = 256


def frame_peak_gib(frame: Tensor, view: str) -> float | None:
    """Measure in a fresh process how much memory a ``(1, H, W)`` frame takes.

    Returns:
        GiB; None where the operating system does not tell.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.npy"
        np.save(path, frame.numpy())
        command = [sys.executable, __file__, str(path), view, str(torch.get_num_threads())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak_bytes = json.loads(done.stdout)
    return None if peak_bytes is None else peak_bytes / _GIB


def _measure(path: str, view: str) -> int | None:
    raw = torch.from_numpy(np.load(path))
    isp = static_pipeline(Camera.preset("drone"), view)
    with torch.inference_mode():
        isp(raw[:, :_TILE_PX, :_TILE_PX].contiguous())
        try:
            base_bytes = _status_bytes("VmRSS")
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return None
        result = isp(raw)
        peak_bytes = _status_bytes("VmHWM") - base_bytes
    return peak_bytes if result.isfinite().all() else None


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    print(json.dumps(_measure(sys.argv[1], sys.argv[2])))
