"""What holds for every corruption; their values are in `test_corruption_values.py`."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from raw2logit import InputError
from raw2logit.drift.corruptions import (
    CONSTANT_SETS,
    CORRUPTIONS,
    PUBLISHED,
    PUBLISHED_CONSTANTS,
    SEVERITIES,
    ConstantSet,
    corrupt,
    corrupt_at,
    image_distance,
)
from tests.tolerance import DEVICES

NO_GRADIENT = {"shot_noise", "glass_blur", "jpeg"}
DETERMINISTIC = {
    "gaussian_blur",
    "zoom_blur",
    "contrast",
    "brightness",
    "saturate",
    "defocus_blur",
    "jpeg",
    "pixelate",
}
# Constants that do not rise, in effect, from severity to severity.
UNEVEN = {
    ("saturate", "cifar10-c"),
    ("saturate", "imagenet-c"),
    ("elastic", "cifar10-c"),
    ("elastic", "imagenet-c"),
    ("spatter", "cifar10-c"),
    ("spatter", "imagenet-c"),
    ("glass_blur", "cifar10-c"),
    ("glass_blur", "imagenet-c"),
    ("snow", "cifar10-c"),
    ("snow", "imagenet-c"),
    ("frost", "cifar10-c"),
    ("frost", "imagenet-c"),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_view(count: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Smooth colours with fine detail, not too near to black and white."""
    generator = seeded(seed)
    coarse = torch.rand((count, 3, 5, 5), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    fine = torch.rand((count, 3, height, width), generator=generator)
    return 0.1 + 0.6 * smooth + 0.2 * fine


def test_names() -> None:
    assert PUBLISHED == (
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "speckle_noise",
        "gaussian_blur",
        "zoom_blur",
        "contrast",
        "brightness",
        "saturate",
        "elastic",
    )
    assert len(CORRUPTIONS) == 19
    assert set(CORRUPTIONS) == set(PUBLISHED_CONSTANTS)
    assert CORRUPTIONS[:10] == PUBLISHED


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (23, 48), (64, 64), (256, 40)])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_any_size_gives_views_in_range(name: str, size: tuple[int, int]) -> None:
    view = some_view(1, *size)
    for constants in CONSTANT_SETS:
        for severity in (1, 3, 5):
            corrupted = corrupt(view, name, severity, constants=constants, generator=seeded())
            assert corrupted.shape == view.shape
            assert corrupted.dtype == view.dtype
            assert corrupted.min() >= 0
            assert corrupted.max() <= 1
            assert corrupted.isfinite().all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_generator_state_gives_the_same_views(name: str) -> None:
    view = some_view()
    first, again, other = (
        corrupt(view, name, 5, constants="imagenet-c", generator=seeded(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name in DETERMINISTIC)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_sample_depends_on_its_own_draw_alone(name: str) -> None:
    view = some_view(4)
    whole = corrupt(view, name, 3, constants="imagenet-c", generator=seeded())
    changed = view.clone()
    changed[1] = 1 - view[1]
    beside = corrupt(changed, name, 3, constants="imagenet-c", generator=seeded())
    kept = [0, 2, 3]
    torch.testing.assert_close(beside[kept], whole[kept], atol=1e-6, rtol=0)
    assert not torch.equal(beside[1], whole[1])
    # In two batches, one after the other.
    generator = seeded()
    parts = [
        corrupt(part, name, 3, constants="imagenet-c", generator=generator)
        for part in view.split([1, 3])
    ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["gaussian_noise", "contrast", "jpeg", "glass_blur"])
def test_a_batch_larger_than_a_cache(name: str) -> None:
    view = some_view(5, 256, 256)
    generator = seeded()
    each = [corrupt(one, name, 2, generator=generator) for one in view.split(1)]
    whole = corrupt(view, name, 2, generator=seeded())
    torch.testing.assert_close(whole, torch.cat(each), atol=1e-6, rtol=0)
    if name not in NO_GRADIENT:
        with_gradient = corrupt(view.requires_grad_(), name, 2, generator=seeded())
        torch.testing.assert_close(with_gradient, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - DETERMINISTIC))
def test_samples_differ_in_their_draws(name: str) -> None:
    view = some_view(1, 64, 64).expand(2, -1, -1, -1)
    corrupted = corrupt(view, name, 5, constants="imagenet-c", generator=seeded())
    assert (corrupted[0] - corrupted[1]).abs().max() > 0.02


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strength_0_is_the_view(name: str) -> None:
    view = some_view()
    assert torch.equal(corrupt_at(view, name, 0, generator=seeded()), view)


@pytest.mark.parametrize("constants", CONSTANT_SETS)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strength_is_continuous_and_meets_the_severities(name: str, constants: ConstantSet) -> None:
    view = some_view(1)
    most = image_distance(
        corrupt(view, name, 5, constants=constants, generator=seeded()), view
    ).item()
    for severity in (0, *SEVERITIES):
        exact = corrupt_at(view, name, severity, constants=constants, generator=seeded())
        if severity:
            whole = corrupt(view, name, severity, constants=constants, generator=seeded())
            assert torch.equal(exact, whole)
        for aside in (-1e-4, 1e-4):
            if not 0 <= severity + aside <= 5 or name == "shot_noise":
                continue  # the counts of shot noise are drawn anew
            near = corrupt_at(view, name, severity + aside, constants=constants, generator=seeded())
            step = image_distance(near, exact).item()
            # Impulses come one by one; an elastic field of great strength moves far.
            assert step < 0.02 * max(most, 0.05)


@pytest.mark.parametrize("constants", CONSTANT_SETS)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity(name: str, constants: ConstantSet) -> None:
    view = some_view(2, 64, 64)
    distances = [
        image_distance(corrupt(view, name, s, constants=constants, generator=seeded()), view).mean()
        for s in SEVERITIES
    ]
    assert all(distance > 0.001 for distance in distances)
    if (name, constants) not in UNEVEN:
        assert distances == sorted(distances)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - NO_GRADIENT))
def test_gradients(name: str) -> None:
    view = some_view(2, 24, 24).requires_grad_()
    corrupted = corrupt(view, name, 2, generator=seeded())
    (corrupted * torch.rand(corrupted.shape, generator=seeded(5))).sum().backward()
    gradient = view.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.5


@pytest.mark.parametrize("name", ["brightness", "saturate"])
def test_gradients_at_black_grey_and_white(name: str) -> None:
    view = torch.tensor([0.0, 0.5, 1.0]).repeat_interleave(8).expand(1, 3, 8, 24).clone()
    view.requires_grad_()
    corrupt(view, name, 5).sum().backward()
    assert view.grad is not None
    assert view.grad.isfinite().all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_empty_batch(name: str) -> None:
    assert corrupt(torch.rand(0, 3, 16, 16), name, 1, generator=seeded()).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_view_is_left_alone(name: str) -> None:
    view = some_view(1)
    before = view.clone()
    corrupt(view, name, 4, generator=seeded())
    assert torch.equal(view, before)


def test_the_global_generator() -> None:
    view = some_view()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        corrupt(view, "contrast", 1)
        assert torch.equal(torch.get_rng_state(), before)
        first = corrupt(view, "snow", 1)
        torch.manual_seed(3)
        assert torch.equal(corrupt(view, "snow", 1), first)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_device_does_not_matter(name: str, device: str) -> None:
    view = some_view(2)
    there = corrupt(view.to(device), name, 3, constants="imagenet-c", generator=seeded())
    here = corrupt(view, name, 3, constants="imagenet-c", generator=seeded())
    assert there.device.type == device
    # Thresholds and bytes tip where devices round differently.
    beyond = (there.cpu() - here).abs() > 1e-3
    assert beyond.float().mean() < 0.002


def test_a_generator_on_another_device_is_refused() -> None:
    if "cuda" not in DEVICES:
        pytest.skip("needs a GPU")
    with pytest.raises(InputError, match="on the CPU"):
        corrupt(some_view(), "snow", 1, generator=torch.Generator("cuda"))


VIEW = torch.rand(1, 3, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((VIEW, "rain", 1), r"unknown corruption 'rain': choose gaussian_noise, shot_noise"),
        ((VIEW, "snow", 6), "severity must be 1, 2, 3, 4 or 5, got 6"),
        ((VIEW, "snow", 0), "severity must be"),
        ((VIEW, "snow", True), "severity must be"),
        ((VIEW[0], "snow", 1), r"\(B, 3, H, W\), got torch.float32 \(3, 16, 16\)"),
        ((VIEW[:, :1], "snow", 1), r"\(1, 1, 16, 16\)"),
        (((VIEW * 255).byte(), "snow", 1), "torch.uint8"),
        ((VIEW[..., :7], "snow", 1), "at least 8 a side"),
    ],
)
def test_bad_arguments(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        corrupt(*arguments)


def test_unknown_constants() -> None:
    with pytest.raises(InputError, match="unknown constants 'matched': choose cifar10-c or image"):
        corrupt(VIEW, "snow", 1, constants="matched")  # type: ignore[arg-type]


@pytest.mark.parametrize("strength", [-0.1, 5.1, math.nan])
def test_a_strength_out_of_range(strength: float) -> None:
    with pytest.raises(InputError, match="strength must be from 0 to 5"):
        corrupt_at(VIEW, "snow", strength)
