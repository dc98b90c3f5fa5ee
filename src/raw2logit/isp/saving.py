"""Pipelines in files: one safetensors file holds the parameters and how to build the steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raw2logit.camera import Camera
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import atomic_path
from raw2logit.isp.pipeline import Pipeline
from raw2logit.isp.steps import AdditiveLayer, Step, code_of, registered_steps

_KEY = "raw2logit.pipeline"
_FORMAT = 1
_LARGEST = 1000.0
"""Option of a step that a file may hold: pixels, iterations, levels, strengths."""
_WRONG = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError),
)
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def save_pipeline(pipeline: Pipeline, path: Path | str) -> Path:
    """Write a pipeline, learned or not, to a safetensors file.

    Args:
        pipeline: Its steps' classes must be registered (see `register_step`).
        path: Of the file; written complete or not at all.

    Returns:
        The path.

    Raises:
        InputError: A step is not registered.
    """
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in pipeline.state_dict().items()}
    dtypes = {tensor.dtype for tensor in pipeline.parameters()}
    description = {
        "format": _FORMAT,
        "camera": pipeline.camera.to_dict(),
        "view": pipeline.view,
        "dtype": str(next(iter(dtypes), torch.get_default_dtype())).removeprefix("torch."),
        "steps": [
            {"name": name, "family": step.family, "code": code_of(step), "options": step.options}
            for name, step in pipeline.named_steps()
        ],
    }
    with atomic_path(Path(path)) as temporary:
        save_file(state, temporary, metadata={_KEY: json.dumps(description)})
    return Path(path)


def load_pipeline(path: Path | str) -> Pipeline:
    """Read what `save_pipeline` wrote.

    Args:
        path: Of the file.

    Returns:
        The pipeline, frozen and in evaluation mode; call ``unfreeze().train()`` to go on learning.

    Raises:
        MissingDataError: There is no such file.
        InputError: The file is no pipeline, or holds a step that is not registered here.
    """
    path = Path(path)
    metadata, state = read_safetensors(path)
    with doubting(path, "pipeline that save_pipeline wrote"):
        description = described(metadata, _KEY, "pipeline", _FORMAT)
        pipeline = _build(description, state)
        pipeline.load_state_dict(state)
    return pipeline.freeze().eval()


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the texts and the tensors of a safetensors file.

    Raises:
        MissingDataError: There is no such file.
        InputError: It is none.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MissingDataError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return dict(file.metadata() or {}), state
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error


def described(metadata: Mapping[str, str], key: str, what: str, version: int) -> dict[str, Any]:
    """Return the description that stands in the texts of a file; the caller checks what it says.

    Raises:
        InputError: It is of another format.
        LookupError: Or TypeError or ValueError: there is none.
    """
    description: dict[str, Any] = json.loads(metadata[key])
    if description["format"] != version:
        written = repr(description["format"])[:40]
        raise InputError(f"{what} format {written}, this version reads {version}")
    return description


@contextmanager
def doubting(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong in the block, with a file of unknown origin, into one line."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _WRONG as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: holds no {what} ({type(error).__name__}: {reason})") from error


def _build(description: Mapping[str, Any], state: Mapping[str, Tensor]) -> Pipeline:
    camera = Camera.from_dict(description["camera"])
    dtype = _DTYPES[description["dtype"]]
    known = registered_steps()
    steps: dict[str, Step] = {}
    for entry in description["steps"]:
        name, family, code, options = (entry[key] for key in ("name", "family", "code", "options"))
        if name in steps:
            raise ValueError(f"two steps are called {name!r}")
        if code not in known.get(family, {}):
            raise InputError(
                f"step {name!r} is a {family} {code!r}, which is not registered: import "
                "the module that registers it first"
            )
        kind = known[family][code]
        _check_sizes(name, kind, options, state)
        steps[name] = kind.for_camera(camera, dtype, **options)
    view = description["view"]
    if not isinstance(view, str | None):
        raise TypeError("view is no name")
    return Pipeline(steps, camera, view=view)


def _check_sizes(
    name: str, kind: type[Step], options: Mapping[str, Any], state: Mapping[str, Tensor]
) -> None:
    """Refuse sizes of this package's steps that would take memory or time without end.

    They are looked at before a step is built with them. Steps of others check their own.
    """
    if issubclass(kind, AdditiveLayer):
        found = state[f"steps.{name}.layer"].shape
        if tuple(found) != (3, options["height_px"], options["width_px"]):
            raise ValueError(f"step {name!r}: layer is {tuple(found)}, expected {options}")
        return
    if not kind.__module__.startswith(f"{__package__}.steps."):
        return
    for option, value in options.items():
        if isinstance(value, int | float) and option != "seed" and not abs(value) <= _LARGEST:
            raise ValueError(f"step {name!r}: {option} is {value}, the largest is {_LARGEST:g}")
