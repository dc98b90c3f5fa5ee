"""Views as PNG, with 8 or 16 bits a channel."""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from raw2logit.errors import InputError

Bits = Literal[8, 16]

_TRUECOLOUR = 2
_SUB = 1
"""Row filter: the difference to the pixel on the left."""


def encode_png(view: Tensor, bits: Bits = 8) -> bytes:
    """Return a view as the bytes of an RGB PNG (ISO/IEC 15948).

    Differences to the left neighbour, run lengths and Huffman codes: for the noise of a sensor
    smaller than the fastest level of other writers, and in half of their time.

    Args:
        view: ``(3, H, W)``, gamma-encoded, in [0, 1].
        bits: Of a channel; numbers are rounded to the nearest.

    Raises:
        InputError: The shape is another, or a value rounds to none of [0, 1].
    """
    if view.dim() != 3 or view.shape[0] != 3 or not view.numel():
        raise InputError(f"view must have shape (3, H, W), got {tuple(view.shape)}")
    # Half precision cannot tell 16-bit numbers apart, and integers would wrap.
    values = view.detach().cpu().to(torch.promote_types(view.dtype, torch.float32))
    numbers = (values.permute(1, 2, 0) * (2**bits - 1)).round().numpy()
    if not (numbers.min() >= 0 and numbers.max() < 2**bits):  # also if one is NaN
        raise InputError(
            f"view holds values from {view.min():g} to {view.max():g}: a picture needs [0, 1]"
        )
    height, width, _ = numbers.shape
    pixel_bytes = 3 * bits // 8
    # PNG stores big-endian numbers and filters their bytes.
    rows = numbers.astype(f">u{bits // 8}", order="C").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _SUB
    filtered[:, 1 : 1 + pixel_bytes] = rows[:, :pixel_bytes]
    filtered[:, 1 + pixel_bytes :] = rows[:, pixel_bytes:] - rows[:, :-pixel_bytes]
    deflate = zlib.compressobj(level=1, memLevel=9, strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, bits, _TRUECOLOUR, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", deflate.compress(filtered.data) + deflate.flush()),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
