"""raw2logit: will a vision model survive another camera's processing?

The names below load on first use, so that ``import raw2logit`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raw2logit.camera import Camera, register_camera
    from raw2logit.datasets import RawDrone, RawFolder, RawMicroscopy
    from raw2logit.dng import write_dng
    from raw2logit.errors import InputError, MissingDataError
    from raw2logit.isp import (
        VIEWS,
        Pipeline,
        Step,
        parametrized_pipeline,
        register_step,
        save_pipeline,
        static_pipeline,
    )
    from raw2logit.lab.loading import load_pipeline, load_task
    from raw2logit.raw import RawImage, read_raw

__version__ = "0.1.0"

_HOME = {
    "Camera": "camera",
    "register_camera": "camera",
    "RawDrone": "datasets",
    "RawFolder": "datasets",
    "RawMicroscopy": "datasets",
    "InputError": "errors",
    "MissingDataError": "errors",
    "VIEWS": "isp",
    "Pipeline": "isp",
    "Step": "isp",
    "load_pipeline": "lab.loading",
    "load_task": "lab.loading",
    "parametrized_pipeline": "isp",
    "register_step": "isp",
    "save_pipeline": "isp",
    "static_pipeline": "isp",
    "RawImage": "raw",
    "read_raw": "raw",
    "write_dng": "dng",
}

__all__ = [
    "VIEWS",
    "Camera",
    "InputError",
    "MissingDataError",
    "Pipeline",
    "RawDrone",
    "RawFolder",
    "RawImage",
    "RawMicroscopy",
    "Step",
    "load_pipeline",
    "load_task",
    "parametrized_pipeline",
    "read_raw",
    "register_camera",
    "register_step",
    "save_pipeline",
    "static_pipeline",
    "write_dng",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module 'raw2logit' has no attribute {name!r}")
    value = getattr(import_module(f"raw2logit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
