"""What a step is, and how steps are found by family and code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from raw2logit.camera import Camera
from raw2logit.errors import InputError
from raw2logit.isp import functional
from raw2logit.isp.functional.convolution import kernel_convolution
from raw2logit.isp.linear import LinearMap

FAMILIES = (
    "black_level",
    "demosaic",
    "white_balance",
    "colour_matrix",
    "sharpen",
    "denoise",
    "gamma",
)
"""Kinds of step, in the default order of a pipeline."""


class Step(nn.Module):
    """One ISP operation.

    A step of one's own sets `family`, takes the keyword `dtype`, and defines ``forward``;
    `register_step` makes it known by a code. Parameters are in natural units; what must stay
    positive is best stored as its logarithm (see `Gamma`).

    Attributes:
        family: Which of `FAMILIES` the step is; a pipeline names it so by default.
        domain: What the step works on; a pipeline refuses an order that does not fit.
        gives_image: The step turns a mosaic into an image, as demosaicing does.
        takes: What the constructor wants of the camera, as its first argument.
        options: Arguments, beside the parameters' values, that build the same step again: plain
            numbers, strings and lists, fit for JSON.
    """

    family: ClassVar[str]
    domain: ClassVar[Literal["mosaic", "image", "either"]] = "image"
    gives_image: ClassVar[bool] = False
    takes: ClassVar[Literal["nothing", "cfa", "camera"]] = "nothing"

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        """Do nothing with `dtype`, the type of parameters, which a plain step has none of."""
        super().__init__()
        self.options: dict[str, Any] = {}

    @classmethod
    def for_camera(
        cls, camera: Camera, dtype: torch.dtype | None = None, **options: object
    ) -> Self:
        """Build the step at its defaults for a camera.

        Args:
            camera: Whose constants to take, where the step has any of them.
            dtype: Of the parameters; None: PyTorch's default.
            options: Those of the step's constructor.
        """
        first: tuple[Any, ...] = {"nothing": (), "cfa": (camera.cfa,), "camera": (camera,)}[
            cls.takes
        ]
        settings: dict[str, Any] = {"dtype": dtype, **options}
        return cls(*first, **settings)

    @property
    def reach_px(self) -> int | None:
        """How far away a pixel can be that changes an output pixel; None: anywhere.

        A step that says so lets large frames be processed in tiles, so it must treat a pixel the
        same wherever it lies in the frame.
        """
        return None


class LinearStep(Step):
    """A step that is linear and can be folded with its neighbours into one (see `LinearMap`)."""

    @abstractmethod
    def fold(self, before: LinearMap) -> LinearMap:
        """Return the map that does `before` and then this step."""


class LumaStep(Step):
    """A step that replaces the luma Y of YUV and leaves the colour differences alone."""

    def filter(self, luma: Tensor) -> Tensor:
        """Map a luma plane ``(B, 1, H, W)`` to the same shape."""
        return self.prepare()(luma)

    def prepare(self) -> Callable[[Tensor], Tensor]:
        """Return `filter` with all computed that depends on parameters alone.

        A step defines one of the two.
        """
        return self.filter

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to the same shape."""
        return functional.filter_luma(image, self.filter)


class KernelStep(LumaStep):
    """A filter of the luma that is one small kernel."""

    @abstractmethod
    def luma_kernel(self) -> Tensor:
        """Return the ``(k, k)`` kernel, k odd."""

    def prepare(self) -> Callable[[Tensor], Tensor]:
        """Return the filter of a luma plane."""
        return kernel_convolution(self.luma_kernel())


def parameter(values: object, dtype: torch.dtype | None) -> nn.Parameter:
    """Return values as a parameter of their own."""
    return nn.Parameter(torch.as_tensor(values, dtype=dtype or torch.get_default_dtype()).clone())


def log_parameter(value: float, name: str, dtype: torch.dtype | None) -> nn.Parameter:
    """Return the logarithm of a positive value as a parameter.

    Raises:
        InputError: `value` is not positive; the message calls it `name`.
    """
    if not value > 0:
        raise InputError(f"{name} must be positive, got {value}")
    return nn.Parameter(torch.tensor(value, dtype=dtype or torch.get_default_dtype()).log())


# --- Registry -------------------------------------------------------------------------------

_StepClass = TypeVar("_StepClass", bound=type[Step])
_REGISTRY: dict[str, dict[str, type[Step]]] = {family: {} for family in FAMILIES}


def register_step(code: str) -> Callable[[_StepClass], _StepClass]:
    """Make a step class known by a code within its family, to view codes and the command line.

    A distribution that brings steps names its module in the entry point group
    ``raw2logit.steps``; it is imported when steps are looked up.

    Example:
        >>> import raw2logit as r2l
        >>> @r2l.register_step("neg")
        ... class Negative(r2l.Step):
        ...     family = "denoise"
        ...     def forward(self, image):
        ...         return 1 - image
        >>> r2l.static_pipeline(r2l.Camera.preset("drone"), "bi,s,neg").steps["denoise"]
        Negative()

    Args:
        code: Letters, digits and ``+-_``, as it stands in a view code.

    Raises:
        InputError: The code is malformed or belongs to another class of the family.
    """
    if not code or not all(letter.isalnum() or letter in "+-_" for letter in code):
        raise InputError(f"step code {code!r} must be letters, digits and + - _ only")

    def register(step: _StepClass) -> _StepClass:
        if not isinstance(getattr(step, "family", None), str):
            raise InputError(f"step {step.__name__} has no family: one of {', '.join(FAMILIES)}")
        known = _REGISTRY.setdefault(step.family, {})
        before = known.get(code, step)
        if (before.__module__, before.__qualname__) != (step.__module__, step.__qualname__):
            raise InputError(
                f"{step.family} code {code!r} is taken by {before.__module__}."
                f"{before.__qualname__}: choose another"
            )
        known[code] = step
        return step

    return register


def registered_steps() -> Mapping[str, Mapping[str, type[Step]]]:
    """Return all known step classes, family to code to class."""
    _load_plugins()
    return MappingProxyType(_REGISTRY)


def code_of(step: Step) -> str:
    """Return the code that a step's class is registered by.

    Raises:
        InputError: It is not registered.
    """
    for code, known in registered_steps().get(step.family, {}).items():
        if type(step) is known:
            return code
    raise InputError(
        f"step {type(step).__name__} is not registered: decorate its class with "
        '@register_step("code")'
    )


@cache
def _load_plugins() -> None:
    for point in entry_points(group="raw2logit.steps"):
        try:
            point.load()
        except Exception as error:  # another distribution's code may raise anything
            raise InputError(
                f"entry point {point.name} = {point.value} in raw2logit.steps: "
                f"{type(error).__name__}: {error}"
            ) from error
