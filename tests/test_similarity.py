"""Structural similarity against scikit-image."""

from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity

from raw2logit.errors import InputError
from raw2logit.similarity import ssim


def test_equals_scikit_image_within_the_borders() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 3, 24, 31, generator=generator, dtype=torch.float64)
    noise = torch.rand(image.shape, generator=generator, dtype=torch.float64)
    reference = 0.7 * image + 0.3 * noise
    value = ssim(image, reference)
    for one, other, got in zip(image, reference, value, strict=True):
        _, whole = structural_similarity(
            one.numpy(),
            other.numpy(),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        assert got.item() == pytest.approx(whole[:, 5:-5, 5:-5].mean(), abs=1e-12)


def test_is_one_for_equal_images_and_less_for_others() -> None:
    image = torch.rand(2, 1, 11, 11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ssim(image, image), torch.ones(2))
    assert (ssim(image, 1 - image) < 0.1).all()


def test_gradient() -> None:
    generator = torch.Generator().manual_seed(2)
    images = [
        torch.rand(1, 2, 12, 13, generator=generator, dtype=torch.float64).requires_grad_()
        for _ in range(2)
    ]
    assert torch.autograd.gradcheck(ssim, images)


@pytest.mark.parametrize(
    ("first", "second"), [((1, 3, 16, 16), (1, 3, 16, 17)), ((3, 16, 16), (3, 16, 16))]
)
def test_other_shapes(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="must both be"):
        ssim(torch.zeros(first), torch.zeros(second))


def test_too_small() -> None:
    with pytest.raises(InputError, match="at least 11"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))
