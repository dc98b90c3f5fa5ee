"""The one pipeline class: ordered steps from raw to view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

from torch import Tensor, nn

from raw2logit.camera import Camera
from raw2logit.errors import InputError
from raw2logit.isp.steps import Step


class Pipeline(nn.Module):
    """An image signal processor: steps in order, from a mosaic to a view.

    Example:
        >>> import torch, raw2logit as r2l
        >>> isp = r2l.static_pipeline(r2l.Camera.preset("drone"), "bi,s,ga")
        >>> isp(torch.full((1, 4, 4), 0.5)).shape
        torch.Size([1, 3, 4, 4])

    ``torch.compile`` takes every view without graph breaks. PyTorch compiles one method at most
    eight times a process: call ``torch.compiler.reset()`` before the ninth pipeline.

    Attributes:
        camera: The camera that the steps were made for.
        view: The view's name, or None for a pipeline of one's own steps.
        steps: The steps by name, in order.
    """

    def __init__(
        self, steps: Mapping[str, Step], camera: Camera, *, view: str | None = None
    ) -> None:
        """Chain steps.

        Args:
            steps: Name to step, in the order of execution.
            camera: The camera whose raw data goes in.
            view: Name for messages and reports.

        Raises:
            InputError: A step comes where it cannot work, or nothing makes an image of the mosaic.
        """
        super().__init__()
        _check_order(steps)
        self.camera = camera
        self.view = view
        self.steps = nn.ModuleDict(dict(steps))
        self._stages: dict[str, Tensor] | None = None

    def forward(self, raw: Tensor) -> Tensor:
        """Process raw data.

        Args:
            raw: ``(B, H, W)`` mosaic, linear, fraction of full scale in [0, 1], black level still
                in, H and W even.

        Returns:
            ``(B, 3, H, W)`` view, encoded RGB in [0, 1].

        Raises:
            InputError: `raw` has another shape or holds integers.
        """
        check_mosaic(raw)
        for parameter in self.parameters():
            if raw.dtype != parameter.dtype:
                raise InputError(
                    f"raw is {raw.dtype}, but the pipeline {parameter.dtype}: convert one of them, "
                    "raw.float() or pipeline.double()"
                )
        image = raw
        for name, step in self.steps.items():
            image = step(image)
            if self._stages is not None:
                if image.requires_grad:
                    image.retain_grad()
                self._stages[name] = image
        return image

    @contextmanager
    def capture(self) -> Iterator[dict[str, Tensor]]:
        """Keep what each step puts out.

        Yields:
            A dictionary that the next calls fill, step name to output, in order. Where a gradient
            is asked for, each output keeps its own in ``.grad`` after ``backward()``.
        """
        stages: dict[str, Tensor] = {}
        before, self._stages = self._stages, stages
        try:
            yield stages
        finally:
            self._stages = before

    def reordered(self, names: Sequence[str]) -> Pipeline:
        """Return a pipeline that shares these steps in another order.

        Raises:
            InputError: `names` are not exactly the names of the steps.
        """
        if sorted(names) != sorted(self.steps):
            raise InputError(
                f"order {list(names)} must name each of {list(self.steps)} exactly once"
            )
        steps = {name: self.steps[name] for name in names}
        return Pipeline(steps, self.camera, view=self.view)  # type: ignore[arg-type]

    def freeze(self) -> Self:
        """Stop learning of every parameter; the pipeline is then static."""
        self.requires_grad_(False)
        return self

    def unfreeze(self) -> Self:
        """Let every parameter learn."""
        self.requires_grad_(True)
        return self

    def parameters_by_family(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of each family of steps (see `raw2logit.isp.steps.FAMILIES`)."""
        families: dict[str, list[nn.Parameter]] = {}
        for step in self.steps.values():
            if parameters := list(step.parameters()):
                families.setdefault(str(step.family), []).extend(parameters)
        return families


def _check_order(steps: Mapping[str, Step]) -> None:
    """Raise `InputError` unless each step gets what it works on and an image comes out."""
    at_hand = "mosaic"
    for name, step in steps.items():
        if step.domain not in (at_hand, "either"):
            wants, side = ("an image", "after") if at_hand == "mosaic" else ("a mosaic", "before")
            raise InputError(
                f"step {name!r} works on {wants}, which it does not get in the order "
                f"{', '.join(steps)}: put it {side} the demosaic step"
            )
        if step.family == "demosaic":
            at_hand = "image"
    if at_hand == "mosaic":
        raise InputError(f"no step among {list(steps)} demosaics: a pipeline needs one")


def check_mosaic(raw: Tensor) -> None:
    """Raise `InputError` unless `raw` can be a batch of Bayer mosaics."""
    if raw.dim() != 3:
        raise InputError(f"raw must be (B, H, W), got {tuple(raw.shape)}")
    if not raw.is_floating_point():
        raise InputError(
            f"raw must be floating point, a fraction of full scale in [0, 1], got {raw.dtype}: "
            "divide by 2^bits - 1, or use read_raw"
        )
    height, width = raw.shape[-2:]
    if height % 2 or width % 2 or not height or not width:
        raise InputError(
            f"raw must have even height and width, got {height} x {width}: "
            "crop the last row or column, which keeps the CFA"
        )
