"""Lossless JPEG (ITU T.81, process 14) as DNG files hold it, simple and slow."""

import struct

import numpy as np
from numpy.typing import NDArray

# Each of the 17 lengths of a difference has a code of five bits, its own number.
_CODE_BITS = 5


def encode_lossless_jpeg(values: NDArray[np.uint16]) -> bytes:
    """Encode ``(H, W)`` 16-bit values, even and odd columns as two components.

    Each value is predicted by its left neighbour in the same component, the first of a row by
    the one above.
    """
    planes = values.reshape(values.shape[0], -1, 2).astype(np.int64)
    predicted = np.empty_like(planes)
    predicted[:, 1:] = planes[:, :-1]
    predicted[1:, 0] = planes[:-1, 0]
    predicted[0, 0] = 1 << 15
    differences = (planes - predicted + 32768) % 65536 - 32768
    bits = "".join(_code(int(difference)) for difference in differences.ravel())
    bits += "1" * (-len(bits) % 8)
    stream = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")
    height, width, _ = planes.shape
    return b"".join(
        (
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHB", 14, 16, height, width, 2),
            bytes((1, 0x11, 0, 2, 0x11, 0)),
            b"\xff\xc4" + struct.pack(">HB", 2 + 1 + 16 + 17, 0),
            bytes(17 if length == _CODE_BITS else 0 for length in range(1, 17)),
            bytes(range(17)),
            b"\xff\xda" + struct.pack(">HB", 10, 2) + bytes((1, 0, 2, 0, 1, 0, 0)),
            stream,
            b"\xff\xd9",
        )
    )


def _code(difference: int) -> str:
    length = abs(difference).bit_length()
    code = f"{length:0{_CODE_BITS}b}"
    if length in (0, 16):  # -32768 is the only difference of 16 bits, and has none of its own
        return code
    low = difference if difference > 0 else difference + (1 << length) - 1
    return code + f"{low:0{length}b}"
