"""Ready pipelines by name: the twelve views and their kin, neural, and none."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raw2logit.camera import Camera
from raw2logit.errors import InputError
from raw2logit.isp.pipeline import Pipeline
from raw2logit.isp.steps import FAMILIES, registered_steps

VIEWS: tuple[str, ...] = tuple(
    f"{demosaic},{sharpen},{denoise}"
    for demosaic in ("bi", "ma", "me")
    for sharpen in ("s", "u")
    for denoise in ("me", "ga")
)
"""The twelve views: demosaic, sharpen, denoise."""

_CODED = ("demosaic", "sharpen", "denoise")
"""Families that a view code names, in its order."""
_DEFAULT_CODES = {
    "black_level": "bl",
    "white_balance": "wb",
    "colour_matrix": "cc",
    "gamma": "gc",
}
_SINGLE_STEPS = {"none": ("demosaic", "bi"), "neural": ("neural", "unet++")}
"""Pipelines of one step: nothing but a bilinear demosaicing, and a network."""


def static_pipeline(
    camera: Camera,
    view: str = "bi,s,ga",
    *,
    order: Sequence[str] | None = None,
    dtype: torch.dtype | None = None,
) -> Pipeline:
    """Build a view with its parameters frozen.

    Args:
        camera: Whose raw data it processes.
        view: Demosaic, sharpen and denoise, separated by commas: one of `VIEWS`, or any codes of
            `registered_steps`. A step of another family follows with its name, as in
            ``bi,s,ga,gamma=mine``. ``none`` only turns the mosaic into RGB, at full resolution.
        order: The families of the steps in the order of execution; None: that of `FAMILIES`.
        dtype: Of the parameters; None: PyTorch's default.

    Returns:
        The same pipeline as `parametrized_pipeline` returns, frozen.

    Raises:
        InputError: `view` or `order` is unknown, or `view` is ``neural``.
    """
    if view == "neural":
        raise InputError(
            "a static neural pipeline would stay random: learn it with parametrized_pipeline, or "
            "raw2logit train --view neural --pipeline parametrized"
        )
    return parametrized_pipeline(camera, view, order=order, dtype=dtype).freeze()


def parametrized_pipeline(
    camera: Camera,
    view: str = "bi,s,ga",
    *,
    order: Sequence[str] | None = None,
    dtype: torch.dtype | None = None,
) -> Pipeline:
    """Build a view whose parameters learn; at the start it equals the static one.

    Args and errors are those of `static_pipeline`, and there is the view ``neural``: a U-Net++ from
    mosaic to view, at full resolution, with random weights until it has learned.
    """
    known = registered_steps()
    steps = {
        family: known[family][code].for_camera(camera, dtype)
        for family, code in view_codes(view).items()
    }
    pipeline = Pipeline(steps, camera, view=view)
    return pipeline if order is None else pipeline.reordered(order)


def view_codes(view: str) -> dict[str, str]:
    """Return the code of each family's step, in the default order of families.

    Raises:
        InputError: `view` is no view; the message lists what there is.
    """
    if view in _SINGLE_STEPS:
        family, code = _SINGLE_STEPS[view]
        return {family: code}
    known = registered_steps()
    words = view.split(",")
    codes = dict(_DEFAULT_CODES)
    pairs = list(zip(_CODED, words, strict=False))
    for word in words[len(_CODED) :]:
        family, _, code = word.partition("=")
        pairs.append((family, code))
    for family, code in pairs:
        if family not in FAMILIES or code not in known[family]:
            raise _unknown(view)
        codes[family] = code
    if not set(codes) == set(FAMILIES) or len({family for family, _ in pairs}) < len(pairs):
        raise _unknown(view)
    return {family: codes[family] for family in FAMILIES}


def parse_view(view: str) -> str:
    """Return `view` if it is the name of a view.

    Raises:
        InputError: It is not; the message lists the choice.
    """
    view_codes(view)
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


def _unknown(view: str) -> InputError:
    known = registered_steps()
    parts = ", ".join(f"{family} ({' '.join(known[family])})" for family in _CODED)
    return InputError(
        f"unknown view {view!r}: choose from {' '.join(VIEWS)}, or none, or neural, "
        f"or join by commas one code each of {parts}"
    )
