"""The contract's checks catch steps that break it, and the registry takes steps of one's own."""

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from raw2logit import Camera, InputError, register_step, static_pipeline
from raw2logit.isp import (
    LinearStep,
    LumaStep,
    Step,
    check_step,
    parse_views,
    registered_steps,
    steps,
)
from raw2logit.isp.functional.convolution import kernel_convolution
from raw2logit.isp.linear import LinearMap
from raw2logit.isp.steps import base, code_of

DRONE = Camera.preset("drone")


pytestmark = pytest.mark.usefixtures("own_registry")


class Halve(Step):
    family = "denoise"
    reach_px = 0

    def forward(self, image: Tensor) -> Tensor:
        return image / 2


class ChangesInput(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image.mul_(0.5) if not image.requires_grad else image * 0.5


class MixesBatch(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image - image.mean() if len(image) else image


class WrongGradient(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image * image.detach()


class WrongDtype(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image.float()


class Crops(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image[..., 1:, 1:]


class NotFinite(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image / torch.zeros_like(image)


class LiesAboutReach(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image + image.roll(1, -1)


class KeepsDtype(Halve):
    def __init__(self, dtype: torch.dtype | None = None) -> None:
        super().__init__(dtype)
        self.gain = nn.Parameter(torch.ones((), dtype=torch.float32))

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gain.to(image)


class Forgets(Halve):
    def __init__(self, gain: float = 0.5, dtype: torch.dtype | None = None) -> None:
        super().__init__(dtype)
        self.gain = gain if dtype is None else gain * (1 + torch.rand(1).item())

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gain


class FoldsWrongly(LinearStep):
    family = "colour_matrix"
    reach_px = 0

    def forward(self, image: Tensor) -> Tensor:
        return image / 2

    def fold(self, before: LinearMap) -> LinearMap:
        return before


class FiltersOtherwise(LumaStep):
    family = "denoise"
    reach_px = 0

    def filter(self, luma: Tensor) -> Tensor:
        return luma / 2

    def forward(self, image: Tensor) -> Tensor:
        return image / 2


class PreparesOtherwise(steps.SharpenFilter):
    def filter(self, luma: Tensor) -> Tensor:
        return super().filter(luma).clamp(0, 1)


class HasAnotherKernel(steps.SharpenFilter):
    def luma_kernel(self) -> Tensor:
        return self.kernel / 2

    def prepare(self) -> Callable[[Tensor], Tensor]:
        return kernel_convolution(self.kernel)


class ForgetsItsOption(Halve):
    def __init__(self, gain: float = 0.5, dtype: torch.dtype | None = None) -> None:
        super().__init__(dtype)
        self.gain = gain

    def forward(self, image: Tensor) -> Tensor:
        return image * self.gain


class Vignettes(Halve):
    def forward(self, image: Tensor) -> Tensor:
        ramp = torch.linspace(0, 1, image.shape[-1], dtype=image.dtype, device=image.device)
        return image * ramp


class BreaksTheGraph(Halve):
    def forward(self, image: Tensor) -> Tensor:
        return image / 2 if image.sum() > 0 else image


def test_a_sound_step_passes() -> None:
    check_step(Halve)
    check_step(steps.ColourMatrix)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (ChangesInput, "shape and dtype: changes its input"),
        (MixesBatch, "batch equals loop"),
        (WrongGradient, "gradients"),
        (WrongDtype, r"gives torch.float32 for torch.float64"),
        (Crops, r"shape \(3, 3, 1, 1\), expected"),
        (NotFinite, "not finite"),
        (LiesAboutReach, r"reach: a pixel changes one \d+ px away, reach_px is 0"),
        (KeepsDtype, "dtype of parameters"),
        (Forgets, "rebuilt from options and state"),
        (FoldsWrongly, "folds: fold and forward differ"),
        (FiltersOtherwise, "folds: luma filter differ"),
        (PreparesOtherwise, "folds: prepare and filter differ"),
        (HasAnotherKernel, "folds: luma_kernel and filter differ"),
        (ForgetsItsOption, r"options \[\] are not its arguments \['gain'\]"),
        (Vignettes, "reach: a frame and a part differ"),
        (BreaksTheGraph, "traces"),
    ],
)
def test_a_broken_step_is_caught(step: type[Step], message: str) -> None:
    with pytest.raises(AssertionError, match=f"{step.__name__}, RGGB, .*{message}|{message}"):
        check_step(step)


def test_an_own_step_gets_into_view_codes() -> None:
    register_step("half")(Halve)
    assert registered_steps()["denoise"]["half"] is Halve
    assert code_of(Halve()) == "half"
    assert parse_views(["bi,s,half"]) == ("bi,s,half",)
    raw = torch.rand(1, 4, 6)
    isp = static_pipeline(DRONE, "bi,s,half")
    with isp.capture() as stages:
        isp(raw)
    assert torch.equal(stages["denoise"], stages["sharpen"] / 2)


def test_an_own_gamma_is_named_with_its_family() -> None:
    @register_step("square-root")
    class SquareRoot(Step):
        family = "gamma"
        reach_px = 0

        def forward(self, image: Tensor) -> Tensor:
            return image.clamp(0, 1).sqrt()

    isp = static_pipeline(DRONE, "ma,u,me,gamma=square-root")
    assert type(isp.steps["gamma"]) is SquareRoot
    with pytest.raises(InputError, match="unknown view"):
        static_pipeline(DRONE, "ma,u,me,gamma=cube-root")
    with pytest.raises(InputError, match="unknown view"):
        static_pipeline(DRONE, "ma,u,me,sharpen=s")
    with pytest.raises(InputError, match="unknown view"):
        static_pipeline(DRONE, "ma,u,me,tone=square-root")


def test_registering_again() -> None:
    register_step("half")(Halve)
    assert register_step("half")(Halve) is Halve
    with pytest.raises(InputError, match=r"denoise code 'half' is taken by .*Halve: choose"):
        register_step("half")(FiltersOtherwise)
    with pytest.raises(InputError, match="must be letters"):
        register_step("a,b")
    with pytest.raises(InputError, match="step Step has no family"):
        register_step("x")(Step)
    with pytest.raises(InputError, match=r"Crops is not registered: decorate"):
        code_of(Crops())


class _EntryPoint:
    name, value = "plugged", "a_package.steps"
    loaded: ClassVar[list[str]] = []
    broken = False

    def load(self) -> type[Step]:
        if self.broken:
            raise ImportError("no module 'a_package'")
        self.loaded.append("once")
        return register_step("plugged")(Halve)


@pytest.fixture
def _plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def entry_points(*, group: str) -> list[_EntryPoint]:
        return [_EntryPoint()] if group == "raw2logit.steps" else []

    monkeypatch.setattr(base, "entry_points", entry_points)
    base._load_plugins.cache_clear()
    yield
    base._load_plugins.cache_clear()


@pytest.mark.usefixtures("_plugins")
def test_steps_of_installed_distributions_are_found() -> None:
    assert parse_views(["bi,s,plugged"]) == ("bi,s,plugged",)
    static_pipeline(DRONE, "bi,s,plugged")
    assert _EntryPoint.loaded == ["once"]


@pytest.mark.usefixtures("_plugins")
def test_a_distribution_that_is_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_EntryPoint, "broken", True)
    message = r"entry point plugged = a_package.steps in raw2logit.steps: ImportError: no module"
    with pytest.raises(InputError, match=message):
        parse_views(["bi,s,ga"])
