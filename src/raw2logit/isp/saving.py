"""Pipelines in files: one safetensors file holds the parameters and how to build the steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from raw2logit.camera import Camera
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import atomic_path
from raw2logit.isp.pipeline import Pipeline
from raw2logit.isp.steps import Step, code_of, registered_steps

_KEY = "raw2logit.pipeline"
_FORMAT = 1
_WRONG = (TypeError, ValueError, RuntimeError)
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
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
    try:
        description = json.loads(metadata[_KEY])
        if description["format"] != _FORMAT:
            raise InputError(
                f"{path}: pipeline format {description['format']}, this version reads {_FORMAT}"
            )
        pipeline = _build(description)
        pipeline.load_state_dict(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, *_WRONG) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: holds no pipeline that save_pipeline wrote ({type(error).__name__}: {reason})"
        ) from error
    return pipeline.freeze().eval()


def _build(description: dict[str, Any]) -> Pipeline:
    camera = Camera.from_dict(description["camera"])
    dtype = _DTYPES[description["dtype"]]
    known = registered_steps()
    steps: dict[str, Step] = {}
    for entry in description["steps"]:
        family, code = entry["family"], entry["code"]
        if code not in known.get(family, {}):
            raise InputError(
                f"step {entry['name']!r} is a {family} {code!r}, which is not registered: import "
                "the module that registers it first"
            )
        steps[entry["name"]] = known[family][code].for_camera(camera, dtype, **entry["options"])
    view = description["view"]
    return Pipeline(steps, camera, view=None if view is None else str(view))
