from __future__ import annotations

import io

import numpy as np
import png
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from raw2logit.errors import InputError
from raw2logit.images import Bits, encode_png

BITS = pytest.mark.parametrize("bits", [8, 16])


def random_view(height: int, width: int, seed: int = 0) -> Tensor:
    view = torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))
    view.view(-1)[0], view.view(-1)[-1] = 0, 1
    return view


def decoded(content: bytes, bits: Bits) -> NDArray[np.uint16]:
    """Return the numbers of a PNG as (H, W, 3), read by programs that others wrote."""
    width, height, rows, about = png.Reader(bytes=content).read()
    assert (about["bitdepth"], about["planes"], about["alpha"]) == (bits, 3, False)
    numbers = np.array([list(row) for row in rows], np.uint16).reshape(height, width, 3)
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == "RGB"
        # Pillow keeps the upper eight bits.
        shown = numbers if bits == 8 else numbers >> 8
        np.testing.assert_array_equal(np.asarray(image), shown)
    return numbers


def expected(view: Tensor, bits: Bits) -> NDArray[np.uint16]:
    values = view.numpy() * view.numpy().dtype.type(2**bits - 1)
    return np.round(values).astype(np.uint16).transpose(1, 2, 0)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    bits=st.sampled_from([8, 16]),
    levels=st.sampled_from([1, 2, 5, 1000]),
    seed=st.integers(0, 2**32),
)
def test_numbers_of_any_shape(height: int, width: int, bits: Bits, levels: int, seed: int) -> None:
    view = (random_view(height, width, seed) * levels).round() / levels
    np.testing.assert_array_equal(decoded(encode_png(view, bits), bits), expected(view, bits))


@BITS
@pytest.mark.parametrize(("height", "width"), [(1, 700), (700, 1), (255, 257)])
def test_numbers_of_long_rows_and_columns(height: int, width: int, bits: Bits) -> None:
    for view in (random_view(height, width), torch.full((3, height, width), 0.5)):
        np.testing.assert_array_equal(decoded(encode_png(view, bits), bits), expected(view, bits))


@BITS
def test_every_number_is_met(bits: Bits) -> None:
    top = 2**bits - 1
    ramp = torch.arange(2**bits, dtype=torch.float64).reshape(1, -1, 2 ** (bits // 2)) / top
    view = torch.cat((ramp, ramp.flip(1), ramp.flip(2)))
    for shift in (-0.49, 0, 0.49):
        moved = (view + shift / top).clamp(0, 1)
        numbers = decoded(encode_png(moved.float(), bits), bits)
        np.testing.assert_array_equal(numbers, (view * top).round().numpy().transpose(1, 2, 0))


@BITS
def test_the_same_view_is_the_same_bytes(bits: Bits) -> None:
    view = random_view(20, 30)
    content = encode_png(view, bits)
    strided = torch.zeros(3, 40, 30)[:, ::2]
    strided.copy_(view)
    others = (view.clone(), strided, view.clone().requires_grad_())
    assert all(encode_png(other, bits) == content for other in others)


def test_half_precision_and_integers() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        view = random_view(4, 6).to(dtype)
        for bits in (8, 16):
            numbers = decoded(encode_png(view, bits), bits)
            np.testing.assert_array_equal(numbers, expected(view.float(), bits))
    mask = torch.tensor([0, 1], dtype=torch.uint8).expand(3, 2, 2)
    assert set(decoded(encode_png(mask), 8).ravel().tolist()) == {0, 255}
    with pytest.raises(InputError, match=r"from 0 to 2: a picture needs \[0, 1\]"):
        encode_png(2 * mask)


@pytest.mark.parametrize(
    "shape", [(4, 4), (1, 4, 4), (4, 4, 3), (1, 3, 4, 4), (3, 0, 4), (3, 4, 0)]
)
def test_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        encode_png(torch.zeros(shape))
    assert str(caught.value) == f"view must have shape (3, H, W), got {shape}"


@BITS
@pytest.mark.parametrize("value", [-0.01, 1.01, 256.0, float("nan"), float("inf"), -float("inf")])
def test_values_out_of_range(value: float, bits: Bits) -> None:
    view = random_view(4, 6)
    view[1, 2, 3] = value
    with pytest.raises(InputError, match=r"view holds values from .* a picture needs \[0, 1\]"):
        encode_png(view, bits)


@BITS
def test_rounding_errors_beyond_the_range_are_no_error(bits: Bits) -> None:
    view = torch.tensor([-1e-7, 1 + 1e-6]).expand(3, 1, 2)
    assert decoded(encode_png(view, bits), bits).tolist() == [[[0] * 3, [2**bits - 1] * 3]]
