"""The comparisons: each checks that its contestants agree, times them, and yields table rows."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from kornia.color import CFA as KORNIA_CFA
from kornia.color import raw_to_rgb
from torch import Tensor

import classical
from memory import frame_peak_gib
from plain import GRADIENT_FLOOR, PlainPipeline
from raw2logit import VIEWS, Camera, Pipeline, parametrized_pipeline, static_pipeline
from raw2logit.camera import FULL_SCALE_DN
from raw2logit.isp import functional
from scene import Scene
from table import MARKS, MEMORY, TIME, Row, compare, view_mark
from timing import Effort, interleave, require_same

FRAME_VIEWS = ("bi,s,ga", "ma,u,me", "me,u,me")
COMPILED_VIEWS = ("bi,s,ga", "bi,s,me", "me,s,ga")

_GAMMA = 2.2
# Libraries differ at borders, and single precision rounds. Views are compared in linear light:
# near black v^(1 / 2.2) would blow a rounding error up.
_MARGIN_PX = 16
_VIEW_TOLERANCE = 1e-5
# Menon decides between two directions, and on a tie the rounding decides.
_MENON_SHARE_BEYOND = 0.01


@dataclass(frozen=True)
class Setting:
    """What every comparison works on."""

    camera: Camera
    scene: Scene
    effort: Effort

    def name(self, raw: Tensor) -> str:
        """Say how much a batch of mosaics is."""
        count, height, width = raw.shape
        return f"{count} x {height} x {width}" if count > 1 else f"{height} x {width}"


def compare_views(setting: Setting) -> Iterator[Row]:
    """The twelve views against the classical recipe, and one against its own last step."""
    for view in VIEWS:
        yield _against_classical(setting, setting.scene.tiles, view, budget_s=8.0, marked=True)
    yield _against_floor(setting, "bi,s,ga")


def compare_training(setting: Setting) -> Iterator[Row]:
    """Forward and backward of `bi,s,ga` against the plain formulation."""
    raw = setting.scene.tiles
    ours = parametrized_pipeline(setting.camera, "bi,s,ga")
    plain = PlainPipeline(setting.camera, *raw.shape[-2:])
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand((raw.shape[0], 3, *raw.shape[-2:]), generator=generator)

    def step(isp: torch.nn.Module) -> Tensor:
        isp.zero_grad()
        view: Tensor = isp(raw)
        (view * weights).sum().backward()
        return view.detach()

    _require_same_view("training", step(ours), step(plain), tolerance=2 * GRADIENT_FLOOR)
    theirs = plain.gradients()
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            raise RuntimeError(f"no gradient reached {name}")
        scale = theirs[name].abs().max()
        require_same(
            f"gradient of {name}", parameter.grad / scale, theirs[name] / scale, tolerance=2e-3
        )
    times = interleave(
        {"ours": lambda: step(ours), "plain": lambda: step(plain)}, setting.effort, budget_s=25.0
    )
    what = f"bi,s,ga forward + backward, {setting.name(raw)}"
    yield compare(what, times["ours"], "plain torch", times["plain"], MARKS["training"])


def compare_demosaic(setting: Setting) -> Iterator[Row]:
    """Bilinear demosaicing alone against kornia and OpenCV."""
    raw = setting.scene.tiles
    kernels = functional.bilinear_kernels()
    integers = (raw * FULL_SCALE_DN).round().numpy().astype(np.uint16)
    # kornia reads the name of an array from pixel (1, 1): its BG is RGGB.
    contestants: dict[str, Callable[[], object]] = {
        "ours": lambda: functional.demosaic_bilinear(raw, kernels, "RGGB"),
        "kornia": lambda: raw_to_rgb(raw[:, None], KORNIA_CFA.BG),
        "OpenCV": lambda: [cv2.cvtColor(image, cv2.COLOR_BayerRGGB2RGB) for image in integers],
    }
    with torch.inference_mode():
        ours = functional.demosaic_bilinear(raw, kernels, "RGGB")
        theirs = raw_to_rgb(raw[:, None], KORNIA_CFA.BG)
        require_same("kornia", ours, theirs, tolerance=1e-5, margin_px=_MARGIN_PX)
        images = [cv2.cvtColor(image, cv2.COLOR_BayerRGGB2RGB) for image in integers]
        theirs = torch.from_numpy(np.stack(images).astype(np.float32) / FULL_SCALE_DN)
        theirs = theirs.permute(0, 3, 1, 2)
        require_same("OpenCV", ours, theirs, tolerance=1.1 / FULL_SCALE_DN, margin_px=_MARGIN_PX)
        times = interleave(contestants, setting.effort, budget_s=10.0)
    what = f"bilinear demosaic, {setting.name(raw)}"
    yield compare(what, times["ours"], "kornia", times["kornia"], MARKS["demosaic"])
    yield compare(what, times["ours"], "OpenCV (uint16, H x W x 3)", times["OpenCV"])


def compare_frame(setting: Setting) -> Iterator[Row]:
    """One large frame: against the classical recipe, per pixel against tiles, and its memory."""
    frame = setting.scene.frame
    for view in VIEWS:
        yield _against_classical(setting, frame, view, budget_s=0.0, marked=False)
    for view in FRAME_VIEWS:
        yield _per_pixel(setting, view)
        peak_gib = frame_peak_gib(frame, view)
        yield Row(
            what=f"{view}, {setting.name(frame)}, peak memory",
            ours="not measured" if peak_gib is None else f"{peak_gib:.2f} GiB",
            value=peak_gib,
            unit=MEMORY,
            mark=MARKS["frame memory"],
        )


def compare_compiled(setting: Setting) -> Iterator[Row]:
    """torch.compile against eager, with an empty cache so that the compile time is a first one."""
    raw = setting.scene.tiles
    variable = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(variable)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ[variable] = folder
        try:
            for view in COMPILED_VIEWS:
                yield _compiled(setting, raw, view)
        finally:
            os.environ.pop(variable)
            if before is not None:
                os.environ[variable] = before
            torch.compiler.reset()


def compare_cuda(setting: Setting) -> Iterator[Row]:
    """On a GPU: a view against copying its input and its output once."""
    for raw in (setting.scene.tiles.cuda(), setting.scene.frame.cuda()):
        for view in FRAME_VIEWS:
            isp = static_pipeline(setting.camera, view).cuda()
            forward = _forward(isp, raw)
            times = interleave(
                {"ours": forward, "copy": _copy(raw, forward())},
                setting.effort,
                budget_s=3.0,
                wait=torch.cuda.synchronize,
            )
            what = f"{view}, {setting.name(raw)}, CUDA"
            yield compare(what, times["ours"], "copy in + out", times["copy"], unit=TIME)


def _against_classical(
    setting: Setting, raw: Tensor, view: str, *, budget_s: float, marked: bool
) -> Row:
    isp = static_pipeline(setting.camera, view)
    arrays = raw.numpy()

    def recipe() -> list[classical.Array]:
        return classical.process_each(arrays, setting.camera, view)

    theirs = torch.from_numpy(np.stack(recipe())).permute(0, 3, 1, 2)
    _require_same_view(view, _forward(isp, raw)(), theirs, share_beyond=_share_beyond(view))
    del theirs
    times = interleave(
        {"ours": _forward(isp, raw), "classical": recipe},
        setting.effort,
        budget_s=budget_s,
        warm_up=False,  # the check has run both
        least_rounds=3 if marked else 1,  # a frame takes the classical recipe up to 20 s
    )
    mark = view_mark(view) if marked else None
    what = f"{view}, {setting.name(raw)}"
    return compare(what, times["ours"], "classical", times["classical"], mark)


def _against_floor(setting: Setting, view: str) -> Row:
    raw = setting.scene.tiles
    isp = static_pipeline(setting.camera, view)
    result = _forward(isp, raw)()
    times = interleave(
        {"ours": _forward(isp, raw), "floor": lambda: result ** (1 / _GAMMA)},
        setting.effort,
        budget_s=8.0,
    )
    what = f"{view}, {setting.name(raw)}"
    return compare(what, times["ours"], "view ** (1/2.2)", times["floor"], MARKS["floor"], TIME)


def _per_pixel(setting: Setting, view: str) -> Row:
    frame, tiles = setting.scene.frame, setting.scene.tiles
    isp = static_pipeline(setting.camera, view)
    times = interleave(
        {"frame": _forward(isp, frame), "tiles": _forward(isp, tiles)},
        setting.effort,
        budget_s=8.0,
    )
    frame_ns = 1e9 * times["frame"].median_s / frame.numel()
    tiles_ns = 1e9 * times["tiles"].median_s / tiles.numel()
    return Row(
        what=f"{view}, {setting.name(frame)}, per pixel",
        ours=f"{frame_ns:.1f} ns/px",
        against="ours on tiles",
        theirs=f"{tiles_ns:.1f} ns/px",
        value=frame_ns / tiles_ns,
        unit=TIME,
        mark=MARKS["frame per pixel"],
    )


def _compiled(setting: Setting, raw: Tensor, view: str) -> Row:
    what = f"{view}, {setting.name(raw)}, torch.compile"
    isp = static_pipeline(setting.camera, view)
    torch.compiler.reset()
    compiled = torch.compile(isp)
    start = time.perf_counter()
    try:
        result = _forward(compiled, raw)()
    except Exception as error:  # no C++ compiler, or whatever else the compiler stumbles over
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Row(what, f"failed: {reason[:50]}", mark=MARKS["compile"])
    compile_s = time.perf_counter() - start
    _require_same_view(what, result, _forward(isp, raw)(), share_beyond=_share_beyond(view))
    times = interleave(
        {"compiled": _forward(compiled, raw), "eager": _forward(isp, raw)},
        setting.effort,
        budget_s=5.0,
    )
    what = f"{what} ({compile_s:.0f} s to compile)"
    return compare(what, times["compiled"], "ours, eager", times["eager"], MARKS["compile"])


def _forward(isp: Callable[[Tensor], Tensor] | Pipeline, raw: Tensor) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def run() -> Tensor:
        return isp(raw)

    return run


def _copy(*tensors: Tensor) -> Callable[[], object]:
    return lambda: [tensor.clone() for tensor in tensors]


def _share_beyond(view: str) -> float:
    return _MENON_SHARE_BEYOND if view.startswith("me") else 0.0


def _require_same_view(
    what: str,
    ours: Tensor,
    theirs: Tensor,
    *,
    tolerance: float = _VIEW_TOLERANCE,
    share_beyond: float = 0.0,
) -> None:
    require_same(
        what,
        ours**_GAMMA,
        theirs**_GAMMA,
        tolerance=tolerance,
        margin_px=_MARGIN_PX,
        share_beyond=share_beyond,
    )
