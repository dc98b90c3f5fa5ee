"""Augmentation: each sample on its own, masks in step, colours in range, repeatable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.isp import static_pipeline
from raw2logit.tasks.augmentation import augment, random_affine, random_colour, random_dihedral
from raw2logit.tasks.classification import ClassificationTask
from raw2logit.tasks.config import Augmentation, TrainingConfig
from raw2logit.tasks.segmentation import SegmentationTask
from tests.tasks.data import CAMERA, MeanModel, PixelModel

RANDOM: tuple[Augmentation, ...] = ("weak", "strong")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discs(n: int, height: int, width: int) -> Tensor:
    """Return masks with two discs each, in places of their own."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.rand(n, 2, 2, generator=seeded(9)) * torch.tensor([height, width])
    distance = (y - places[..., 0, None, None]) ** 2 + (x - places[..., 1, None, None]) ** 2
    return (distance < (min(height, width) / 5) ** 2).any(1).float()


def test_none_is_the_identity() -> None:
    view, mask = torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8)
    generator = seeded()
    before = generator.get_state()
    assert augment(view, mask, "none", generator) == (view, mask)
    assert torch.equal(generator.get_state(), before)


class TestDihedral:
    view = torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).reshape(2, 3, 6, 6)

    def test_mask_stays_in_step(self) -> None:
        mask = self.view[:, 0]
        for seed in range(20):
            view, turned = random_dihedral(self.view, mask, seeded(seed))
            assert turned is not None
            assert torch.equal(view[:, 0], turned)

    def test_each_sample_on_its_own_and_all_eight_occur(self) -> None:
        batch = self.view[:1].repeat(64, 1, 1, 1)
        view, _ = random_dihedral(batch, None, seeded())
        different = {tuple(one.flatten().tolist()) for one in view}
        assert len(different) == 8
        assert all(sorted(one) == sorted(self.view[0].flatten().tolist()) for one in different)

    def test_wide_images_keep_their_shape(self) -> None:
        wide = torch.rand(16, 3, 4, 8)
        view, _ = random_dihedral(wide, None, seeded())
        assert view.shape == wide.shape

    def test_weak_is_this(self) -> None:
        expected, _ = random_dihedral(self.view, None, seeded(3))
        got, _ = augment(self.view, None, "weak", seeded(3))
        assert torch.equal(got, expected)


@pytest.mark.parametrize("strength", RANDOM)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80)])
class TestMaskInStep:
    def test_within_a_pixel_of_the_border(
        self, strength: Augmentation, height: int, width: int
    ) -> None:
        mask = discs(32, height, width)
        painted = mask[:, None].expand(-1, 3, -1, -1).contiguous()
        view, moved = augment(painted, mask, strength, seeded(1))
        assert moved is not None
        assert moved.shape == mask.shape
        assert set(moved.unique().tolist()) == {0.0, 1.0}
        # Jitter changes how bright, so each sample is cut half way between its two levels.
        grey = view.mean(1)
        low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
        shown = (grey > (low + high) / 2).float()
        grown = F.max_pool2d(moved[:, None], 3, 1, 1)[:, 0]
        shrunk = -F.max_pool2d(-moved[:, None], 3, 1, 1)[:, 0]
        assert ((shown >= shrunk) & (shown <= grown)).all()
        assert (shown != moved).float().mean() < 0.01


@pytest.mark.parametrize("strength", RANDOM)
class TestRandom:
    def test_each_sample_gets_its_own(self, strength: Augmentation) -> None:
        batch = torch.rand(1, 3, 16, 16, generator=seeded()).repeat(32, 1, 1, 1)
        view, _ = augment(batch, None, strength, seeded())
        different = {tuple(one.flatten().tolist()) for one in view}
        assert len(different) == (8 if strength == "weak" else 32)

    def test_same_seed_same_result(self, strength: Augmentation) -> None:
        view, mask = torch.rand(8, 3, 16, 16), discs(8, 16, 16)
        torch.manual_seed(0)
        first = augment(view, mask, strength, seeded(3))
        torch.manual_seed(1)
        second = augment(view, mask, strength, seeded(3))
        third = augment(view, mask, strength, seeded(4))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))  # type: ignore[arg-type]
        assert not torch.equal(first[0], third[0])

    def test_range_stays(self, strength: Augmentation) -> None:
        view = torch.rand(64, 3, 16, 16, generator=seeded()).round()
        changed, _ = augment(view, None, strength, seeded())
        assert changed.min() >= 0
        assert changed.max() <= 1

    def test_gradients_flow(self, strength: Augmentation) -> None:
        view = (0.3 + 0.3 * torch.rand(4, 3, 16, 16, generator=seeded())).requires_grad_()
        augment(view, None, strength, seeded())[0].sum().backward()
        assert view.grad is not None
        assert view.grad.abs().sum() > 0

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_on_a_gpu(self, strength: Augmentation) -> None:
        view, mask = torch.rand(8, 3, 16, 16), discs(8, 16, 16)
        expected, expected_mask = augment(view, mask, strength, seeded())
        got, got_mask = augment(view.cuda(), mask.cuda(), strength, seeded())
        assert expected_mask is not None
        assert got_mask is not None
        torch.testing.assert_close(got.cpu(), expected, atol=1e-4, rtol=0)
        assert (got_mask.cpu() != expected_mask).float().mean() < 0.01


def fixed(*amounts: float) -> Callable[..., Tensor]:
    """Return a stand-in for `torch.rand` that draws these, each in [-1, 1], for all samples."""
    return lambda count, n, **_: (
        (1 + torch.tensor([amounts], dtype=torch.float64)).expand(count, n) / 2
    )


class TestAffine:
    """What the numbers mean, on wide images: there a mixed-up aspect ratio shows."""

    def moved(self, monkeypatch: pytest.MonkeyPatch, *amounts: float) -> tuple[float, float]:
        """Return where a spot goes, in pixels from the centre: x, y; it begins at 10, 4."""
        y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(81.0) - 40, indexing="ij")
        spot = torch.exp(-((x - 10) ** 2 + (y - 4) ** 2) / 8)
        monkeypatch.setattr(torch, "rand", fixed(*amounts))
        view, _ = random_affine(spot.expand(1, 3, -1, -1), None, seeded())
        weight = view[0, 0] / view[0, 0].sum()
        return (weight * x).sum().item(), (weight * y).sum().item()

    @pytest.mark.parametrize(
        ("amounts", "place"),
        [
            ((0, 0, 0, 0, 0), (10, 4)),
            # By 30 degrees, as a rotation turns: lengths stay.
            ((1, 0, 0, 0, 0), (10 * 0.8660 + 4 * 0.5, 4 * 0.8660 - 10 * 0.5)),
            ((0, 1, 0, 0, 0), (12.5, 5)),
            ((0, 0, 1, 0, 0), (10 - 4 * 0.1763, 4)),
            ((0, 0, 0, 1, 0), (10 - 8.1, 4)),
            ((0, 0, 0, 0, 1), (10, 4 - 4.1)),
        ],
    )
    def test_in_pixels(
        self,
        amounts: tuple[float, ...],
        place: tuple[float, float],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert self.moved(monkeypatch, *amounts) == pytest.approx(place, abs=0.02)

    def test_what_comes_in_is_mirrored(self) -> None:
        view, _ = random_affine(torch.full((16, 3, 16, 16), 0.5), None, seeded())
        torch.testing.assert_close(view, torch.full_like(view, 0.5))


def test_colour_changes_brightness_contrast_and_saturation(monkeypatch: pytest.MonkeyPatch) -> None:
    view = torch.rand(1, 3, 8, 8, generator=seeded()) * 0.5 + 0.2
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    grey = (view * luma).sum(1, keepdim=True)
    for amounts, expected in (
        ((0, 0, 0), view),
        ((1, 0, 0), 1.2 * view),
        ((0, -1, 0), grey.mean() + 0.8 * (view - grey.mean())),
        ((0, 0, -1), grey + 0.8 * (view - grey)),
    ):
        monkeypatch.setattr(torch, "rand", fixed(*amounts))
        torch.testing.assert_close(random_colour(view, seeded()), expected)


def shown(task: ClassificationTask | SegmentationTask, raw: Tensor, target: Tensor) -> Tensor:
    """Train on one batch; return the target that the loss saw."""
    seen: list[Tensor] = []
    loss = type(task).loss

    def spy(logits: Tensor, target: Tensor) -> Tensor:
        seen.append(target)
        return loss(task, logits, target)

    task.loss = spy  # type: ignore[method-assign]
    task.training_step((raw, target), 0)
    return seen[0]


@pytest.mark.parametrize("strength", ["none", "weak", "strong"])
def test_labels_stay_and_masks_move(strength: Augmentation) -> None:
    config = TrainingConfig(augmentation=strength)
    raw = torch.rand(8, 16, 16, generator=seeded())
    labels = torch.arange(8) % 2
    classifier = ClassificationTask(static_pipeline(CAMERA), MeanModel(2), config)
    assert shown(classifier, raw, labels) is labels
    masks = discs(8, 16, 16)
    segmenter = SegmentationTask(static_pipeline(CAMERA), PixelModel(), config)
    assert torch.equal(shown(segmenter, raw, masks), masks) == (strength == "none")
