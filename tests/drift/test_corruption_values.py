"""Corruptions equal an independent formulation, image by image, in value or in distribution."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats
from skimage.metrics import structural_similarity
from torch import Tensor

from raw2logit.drift.corruptions import (
    CONSTANT_SETS,
    CORRUPTIONS,
    PUBLISHED_CONSTANTS,
    SEVERITIES,
    ConstantSet,
    corrupt,
    image_distance,
)
from raw2logit.drift.corruptions.constants import published
from raw2logit.drift.corruptions.draws import Draws, draw_seeds
from raw2logit.drift.corruptions.jpeg import quantisation_table
from raw2logit.drift.corruptions.spatter import distance_to
from raw2logit.drift.corruptions.weather import plasma
from tests.drift.corruption_reference import REFERENCE, NumpyFields, plasma_by_cells
from tests.tolerance import assert_near

# Compared in distribution, or with another tolerance.
ON_THEIR_OWN = ("shot_noise", "impulse_noise", "jpeg")
BYTE = 1 / 255


class OurFields(NumpyFields):
    """The numbers of one sample of ours."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._draws = Draws([seed], torch.empty(0, dtype=torch.float64))

    def normal(self, *shape: int) -> NDArray[np.float64]:
        return self._draws.normal(*shape)[0].numpy()

    def uniform(self, low: float, high: float, *shape: int) -> NDArray[np.float64]:
        return self._draws.uniform(low, high, *shape)[0].numpy()

    def integers(self, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        return self._draws.integers(low, high, *shape)[0].numpy()


def images(count: int, height: int, width: int) -> Tensor:
    """Images of bytes, with edges, grey, black and white in them; double precision."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand((count, 3, 6, 6), generator=generator, dtype=torch.float64)
    view = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    fine = torch.randn((count, 3, height, width), generator=generator, dtype=torch.float64)
    view = view + 0.03 * fine
    view[..., 3:6, :] = 0.5
    view[..., 8:10, 4:8] = 0
    view[..., 12:14, 4:8] = 1
    return (view.clamp(0, 1) * 255).round() / 255


def one_by_one(
    view: Tensor, name: str, severity: int, constants: ConstantSet, seed: int
) -> NDArray[np.float64]:
    seeds = draw_seeds(len(view), torch.Generator().manual_seed(seed))
    numbers = [
        int(value) if value == int(value) and name == "glass_blur" else value
        for value in published(name, severity, constants)
    ]
    results = [
        REFERENCE[name](image, OurFields(own), *numbers)
        for image, own in zip(view.permute(0, 2, 3, 1).numpy(), seeds, strict=True)
    ]
    return np.stack(results).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("size", [(32, 32), (45, 70)])
@pytest.mark.parametrize("constants", CONSTANT_SETS)
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in ON_THEIR_OWN])
def test_equal_with_the_same_random_numbers(
    name: str, constants: ConstantSet, size: tuple[int, int]
) -> None:
    view = images(2, *size)
    for severity in SEVERITIES:
        generator = torch.Generator().manual_seed(severity)
        ours = corrupt(view, name, severity, constants=constants, generator=generator)
        theirs = one_by_one(view, name, severity, constants, severity)
        difference = np.abs(ours.numpy() - theirs)
        if name == "pixelate":
            assert difference.max() <= 1.001 * BYTE  # Pillow rounds to bytes, twice
        else:
            assert_near(ours, theirs)


@pytest.mark.parametrize("size", [(128, 128), (101, 150)])
@pytest.mark.parametrize("constants", CONSTANT_SETS)
def test_jpeg_equals_pillow(constants: ConstantSet, size: tuple[int, int]) -> None:
    view = images(2, *size)
    height, width = (side // 16 * 16 for side in size)
    for severity in SEVERITIES:
        ours = corrupt(view, "jpeg", severity, constants=constants)
        assert_near(ours * 255, (ours * 255).round())
        theirs = torch.from_numpy(one_by_one(view, "jpeg", severity, constants, 0))
        difference = (ours - theirs).abs()
        assert difference.mean() < 0.25 * BYTE
        # libjpeg computes with integers: here and there a coefficient falls to the other side, and
        # all of its block is off.
        blocks = difference[..., :height, :width].unfold(2, 16, 16).unfold(3, 16, 16)
        off = blocks.amax(dim=(1, 4, 5)) > 3.5 * BYTE
        assert off.float().mean() < 0.2


@pytest.mark.parametrize("name", ["elastic", "defocus_blur", "gaussian_blur", "zoom_blur", "snow"])
def test_equal_at_the_size_of_a_tile_in_single_precision(name: str) -> None:
    view = images(1, 256, 256)
    ours = corrupt(
        view.float(), name, 5, constants="imagenet-c", generator=torch.Generator().manual_seed(1)
    )
    theirs = one_by_one(view, name, 5, "imagenet-c", 1)
    difference = np.abs(ours.double().numpy() - theirs)
    # A flake of snow may fall to another byte.
    assert (difference > 2e-4).mean() < 1e-3
    assert difference.max() < 1.5 * BYTE


@pytest.mark.parametrize("decay", [1.4, 3.0])
def test_plasma_cell_by_cell(decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    field = torch.rand((2, 16, 16), generator=generator, dtype=torch.float64) * 2 - 1
    theirs = np.stack([plasma_by_cells(one.numpy(), decay) for one in field])
    assert_near(plasma(field, decay), theirs)


@pytest.mark.parametrize("quality", [80, 65, 58, 50, 40, 25, 18, 15, 10, 7])
def test_quantisation_tables_are_those_that_pillow_writes(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    luma, chroma = Image.open(file).quantization.values()  # type: ignore[attr-defined]
    assert quantisation_table("luma", quality).flatten().tolist() == list(luma)
    assert quantisation_table("chroma", quality).flatten().tolist() == list(chroma)


@pytest.mark.parametrize("size", [(70, 45), (9, 64)])
def test_distance_is_exact_up_to_20_px(size: tuple[int, int]) -> None:
    mask = torch.zeros((3, *size), dtype=torch.bool)
    mask[0, 3, 40] = mask[1, -1, 5] = mask[1, 2, 2] = True
    ours = distance_to(mask)
    for one, theirs in zip(mask[:2].numpy(), ours[:2], strict=True):
        assert_near(theirs, ndimage.distance_transform_edt(~one).clip(max=20))
    assert (ours[2] == 20).all()


def compare_levels(
    name: str, severity: int, constants: ConstantSet, level: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corrupt flat fields both ways, with random numbers of their own."""
    view = torch.full((4, 3, 64, 64), level, dtype=torch.float64)
    generator = torch.Generator().manual_seed(severity)
    ours = corrupt(view, name, severity, constants=constants, generator=generator)
    numbers = published(name, severity, constants)
    image = np.full((64, 64, 3), level)
    theirs = [REFERENCE[name](image, NumpyFields(seed), *numbers) for seed in range(4)]
    return ours.numpy().ravel(), np.stack(theirs).ravel()


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("constants", CONSTANT_SETS)
@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"])
def test_equal_in_distribution(name: str, constants: ConstantSet, level: float) -> None:
    for severity in (1, 5):
        ours, theirs = compare_levels(name, severity, constants, level)
        assert stats.ttest_ind(ours, theirs, equal_var=False).pvalue > 1e-3
        # Variances, by the same test on squares: 49 152 values each.
        centre = theirs.mean()
        squares = (ours - centre) ** 2, (theirs - centre) ** 2
        assert stats.ttest_ind(*squares, equal_var=False).pvalue > 1e-3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_counts_photons(severity: int) -> None:
    (photons,) = published("shot_noise", severity, "cifar10-c")
    ours, theirs = compare_levels("shot_noise", severity, "cifar10-c", 0.4)
    np.testing.assert_allclose(ours * photons, np.round(ours * photons), atol=1e-9)
    assert ours.mean() == pytest.approx(0.4, abs=4 * (0.4 / photons / len(ours)) ** 0.5)
    assert ours.var() == pytest.approx(0.4 / photons, rel=0.03)
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-3


def test_impulses_are_black_or_white_and_each_channel_has_its_own() -> None:
    view = torch.full((1, 3, 128, 128), 0.4)
    ours = corrupt(view, "impulse_noise", 5, generator=torch.Generator().manual_seed(0))
    hit = ours != 0.4
    assert set(ours[hit].tolist()) == {0.0, 1.0}
    count = int(hit.sum())
    assert stats.binomtest(count, hit.numel(), 0.07).pvalue > 1e-3
    assert stats.binomtest(int((ours[hit] == 1).sum()), count, 0.5).pvalue > 1e-3
    together = (hit[0, 0] & hit[0, 1]).sum()
    assert stats.binomtest(int(together), 128 * 128, 0.07**2).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "statistic"),
    [
        ("fog", lambda view: view.std(dim=(1, 2, 3))),
        ("snow", lambda view: view.mean(dim=(1, 2, 3))),
        ("spatter", lambda view: (view - 0.3).abs().mean(dim=(1, 2, 3))),
        ("glass_blur", lambda view: view.std(dim=(1, 2, 3))),
        ("elastic", lambda view: view[:, 0, :, 0].mean(dim=1)),
        ("motion_blur", lambda view: view[:, 0, 10].std(dim=1)),
    ],
)
def test_layers_equal_in_distribution(name: str, statistic: Callable[[Tensor], Tensor]) -> None:
    """Numpy's own random numbers: the laws are the same, not only the arithmetic."""
    count = 48
    one = images(1, 32, 32) if name not in ("snow", "spatter") else torch.full((1, 3, 32, 32), 0.3)
    one = one.double()
    generator = torch.Generator().manual_seed(2)
    ours = corrupt(one.expand(count, -1, -1, -1), name, 3, generator=generator)
    numbers = [
        int(value) if value == int(value) and name == "glass_blur" else value
        for value in published(name, 3, "cifar10-c")
    ]
    image = one[0].permute(1, 2, 0).numpy()
    theirs = [REFERENCE[name](image, NumpyFields(seed), *numbers) for seed in range(count)]
    stacked = torch.from_numpy(np.stack(theirs)).permute(0, 3, 1, 2)
    assert stats.ks_2samp(statistic(ours).numpy(), statistic(stacked).numpy()).pvalue > 1e-3


def test_grey_turns_red_where_saturation_is_added() -> None:
    view = torch.full((1, 3, 8, 8), 0.5)
    red, green, blue = corrupt(view, "saturate", 5, constants="imagenet-c")[0, :, 0, 0].tolist()
    assert red == 0.5
    assert green == blue == pytest.approx(0.4)


def test_zoom_blur_has_the_published_number_of_zooms() -> None:
    # 1.11 / 0.01: rounding lets the bound in, so 12 zooms and not 11, and 7 and not 6.
    counts = [len(np.arange(1, *row)) for row in PUBLISHED_CONSTANTS["zoom_blur"].cifar]
    assert counts == [7, 12, 16, 21, 26]
    counts = [len(np.arange(1, *row)) for row in PUBLISHED_CONSTANTS["zoom_blur"].imagenet]
    assert counts == [12, 16, 11, 13, 11]


def test_frost_takes_pieces_of_the_panes_and_goes_on_beyond_them() -> None:
    view = torch.zeros(3, 3, 400, 64)
    frosted = corrupt(view, "frost", 1, generator=torch.Generator().manual_seed(0))
    # At the scale of CIFAR-10-C a pane has 205 px; what follows is its mirror image.
    assert torch.equal(frosted[:, :, 205:400], frosted[:, :, 10:205].flip(2))
    assert not torch.equal(frosted[:, :, 100:205], frosted[:, :, :105].flip(2))
    assert (frosted.std(dim=(1, 2, 3)) > 0.02).all()


def test_distances() -> None:
    first, second = images(2, 40, 50).split(1)
    expected = ((first - second) ** 2).mean().sqrt()
    assert image_distance(first, second).item() == pytest.approx(expected.item())
    theirs = structural_similarity(
        first[0].numpy(),
        second[0].numpy(),
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    # scikit-image averages the pixels 5 from the border on, as ours does.
    assert image_distance(first, second, "ssim").item() == pytest.approx(1 - theirs, abs=1e-6)
