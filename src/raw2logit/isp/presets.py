"""Ready pipelines: the twelve views, frozen (static) or learnable (parametrized)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from raw2logit.camera import Camera
from raw2logit.cfa import CFA
from raw2logit.errors import InputError
from raw2logit.isp import steps
from raw2logit.isp.pipeline import Pipeline

_Dtype = torch.dtype | None

# What the three parts of a view code may be. The order of the entries is the order of VIEWS.
_DEMOSAIC: dict[str, Callable[[CFA, _Dtype], steps.Step]] = {
    "bi": steps.BilinearDemosaic,
    "ma": steps.MalvarDemosaic,
    "me": steps.MenonDemosaic,
}
_SHARPEN: dict[str, Callable[[_Dtype], steps.Step]] = {
    "s": lambda dtype: steps.SharpenFilter(dtype=dtype),
    "u": lambda dtype: steps.UnsharpMask(dtype=dtype),
}
_DENOISE: dict[str, Callable[[_Dtype], steps.Step]] = {
    "me": lambda dtype: steps.MedianDenoise(),
    "ga": lambda dtype: steps.GaussianDenoise(dtype=dtype),
}

VIEWS: tuple[str, ...] = tuple(
    f"{demosaic},{sharpen},{denoise}"
    for demosaic in _DEMOSAIC
    for sharpen in _SHARPEN
    for denoise in _DENOISE
)
"""The twelve views: demosaic, sharpen, denoise."""


def static_pipeline(
    camera: Camera,
    view: str = "bi,s,ga",
    *,
    order: Sequence[str] = steps.FAMILIES,
    dtype: torch.dtype | None = None,
) -> Pipeline:
    """Build a view with its parameters frozen.

    Args:
        camera: Whose raw data it processes.
        view: One of `VIEWS`: demosaic (``bi`` bilinear, ``ma`` Malvar 2004, ``me`` Menon 2007),
            sharpen (``s`` filter, ``u`` unsharp mask), denoise (``me`` median, ``ga`` gaussian).
        order: The seven families of steps in the order of execution.
        dtype: Of the parameters; None: PyTorch's default.

    Returns:
        The same pipeline as `parametrized_pipeline` returns, frozen.

    Raises:
        InputError: `view` or `order` is unknown.
    """
    return parametrized_pipeline(camera, view, order=order, dtype=dtype).freeze()


def parametrized_pipeline(
    camera: Camera,
    view: str = "bi,s,ga",
    *,
    order: Sequence[str] = steps.FAMILIES,
    dtype: torch.dtype | None = None,
) -> Pipeline:
    """Build a view whose parameters learn; at the start it equals the static one exactly.

    Args and errors are those of `static_pipeline`.
    """
    demosaic, sharpen, denoise = parse_view(view).split(",")
    built = (
        steps.BlackLevel(camera, dtype),
        _DEMOSAIC[demosaic](camera.cfa, dtype),
        steps.WhiteBalance(camera, dtype),
        steps.ColourMatrix(camera, dtype),
        _SHARPEN[sharpen](dtype),
        _DENOISE[denoise](dtype),
        steps.Gamma(dtype=dtype),
    )
    pipeline = Pipeline({step.family: step for step in built}, camera, view=view)
    return pipeline if tuple(order) == steps.FAMILIES else pipeline.reordered(order)


def parse_view(view: str) -> str:
    """Return `view` if it is the name of a view.

    Raises:
        InputError: It is not; the message lists the twelve.
    """
    if view not in VIEWS:
        raise InputError(f"unknown view {view!r}: choose from {' '.join(VIEWS)}")
    return view


def parse_views(views: Sequence[str]) -> tuple[str, ...]:
    """Return the named views, each once; ``all`` stands for the twelve.

    Raises:
        InputError: A name is unknown or there is none.
    """
    if isinstance(views, str):
        views = (views,)
    names = [name for view in views for name in (VIEWS if view == "all" else (parse_view(view),))]
    if not names:
        raise InputError(f"no view given: choose from {' '.join(VIEWS)}, or all")
    return tuple(dict.fromkeys(names))
