"""The layer that an attack adds to every image."""

from pathlib import Path

import pytest
import torch

from raw2logit import Camera, load_pipeline, save_pipeline, static_pipeline
from raw2logit.errors import InputError
from raw2logit.isp.steps import AdditiveLayer


def image(*size: int) -> torch.Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_it_adds_the_same_to_every_image_and_nothing_at_the_start() -> None:
    layer = AdditiveLayer(4, 6, dtype=torch.float64)
    shown = image(2, 3, 4, 6)
    assert torch.equal(layer(shown), shown)
    values = image(3, 4, 6)
    with torch.no_grad():
        layer.layer.copy_(values)
    torch.testing.assert_close(layer(shown)[1] - shown[1], values)
    layer(shown).sum().backward()
    assert layer.layer.grad is not None
    assert torch.equal(layer.layer.grad, torch.full((3, 4, 6), 2.0, dtype=torch.float64))


def test_one_value_a_channel_fits_any_size() -> None:
    layer = AdditiveLayer()
    with torch.no_grad():
        layer.layer.copy_(torch.tensor([0.1, 0.2, 0.3])[:, None, None])
    for size in ((4, 6), (1, 1), (5, 3)):
        added = layer(torch.zeros(2, 3, *size))
        assert added.shape == (2, 3, *size)
        torch.testing.assert_close(added[1].mean(dim=(1, 2)), torch.tensor([0.1, 0.2, 0.3]))


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"images of \(4, 6\) pixels, got \(6, 4\)"):
        AdditiveLayer(4, 6)(torch.zeros(1, 3, 6, 4))


@pytest.mark.parametrize("size", [(0, 4), (4, -2)])
def test_a_layer_has_pixels(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="at least 1 pixel a side"):
        AdditiveLayer(*size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_saved_with_its_size(tmp_path: Path, dtype: torch.dtype) -> None:
    default = static_pipeline(Camera.preset("microscopy"), dtype=dtype)
    layer = AdditiveLayer(4, 6, dtype=dtype)
    torch.nn.init.uniform_(layer.layer, -0.1, 0.1)
    pipeline = default.inserted("additive_layer", layer, before="gamma")
    raw = image(2, 4, 6).to(dtype)
    assert pipeline(raw).dtype == dtype
    # Before gamma, which clips.
    assert 0 <= pipeline(raw).min() <= pipeline(raw).max() <= 1
    again = load_pipeline(save_pipeline(pipeline, tmp_path / "pipeline.safetensors"))
    torch.testing.assert_close(again(raw), pipeline(raw).detach())
    assert not torch.allclose(again(raw), default(raw))


def test_folded_and_step_by_step_it_is_the_same() -> None:
    layer = AdditiveLayer(8, 8, dtype=torch.float64)
    torch.nn.init.uniform_(layer.layer, -0.1, 0.1)
    default = static_pipeline(Camera.preset("drone"), dtype=torch.float64)
    pipeline = default.inserted("additive_layer", layer, before="gamma")
    raw = image(40, 8, 8)
    with pipeline.capture() as stages:
        pipeline(raw)
    with torch.no_grad():
        torch.testing.assert_close(pipeline(raw), stages["gamma"])
