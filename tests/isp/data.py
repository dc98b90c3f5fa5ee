"""Mosaics to test with: random, photographs that ship in installed wheels, and edge cases.

Values are multiples of 1/256 or 1/4096, so that float32 holds them exactly and Menon's decision,
which compares sums of quarters, falls the same way in every precision. ``random_float`` alone has
all digits of float32.
"""

from functools import cache
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from raw2logit import Camera
from raw2logit.cfa import CFA

Array = NDArray[np.float64]

# Read from inside the wheels by path: the loading functions of scikit-image may download.
PHOTOGRAPHS = {
    "astronaut": "skimage.data/astronaut.png",
    "chelsea": "skimage.data/chelsea.png",
    "coffee": "skimage.data/coffee.png",
    "rocket": "skimage.data/rocket.jpg",
    "hubble": "skimage.data/hubble_deep_field.jpg",
    "china": "sklearn.datasets/images/china.jpg",
    "flower": "sklearn.datasets/images/flower.jpg",
}

EDGE_CASES = ("constant", "bright_pixel", "saturated", "black", "2x2", "4x6", "2x12")

# Neither of the published cameras: another CFA, four different black levels, a white level.
OTHER_CAMERA = Camera(
    name="other",
    cfa="GBRG",
    black_level=(0.03, 0.031, 0.033, 0.03),
    white_balance=(1.9, 1.0, 1.5),
    colour_matrix=((1.6, -0.4, -0.2), (-0.3, 1.5, -0.2), (0.05, -0.55, 1.5)),
    white_level=0.9,
)
CAMERAS = {
    "microscopy": Camera.preset("microscopy"),
    "drone": Camera.preset("drone"),
    "other": OTHER_CAMERA,
}


@cache
def photograph(name: str, size: int = 64) -> Array:
    """Return the middle of a photograph, ``(size, size, 3)``, multiples of 1/256 below 1."""
    package, _, path = PHOTOGRAPHS[name].partition("/")
    with files(package).joinpath(path).open("rb") as file:
        pixels = np.asarray(Image.open(file).convert("RGB"), dtype=np.float64) / 256
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size]


def sample(image: Array, cfa: str) -> Array:
    """Return the mosaic of an ``(H, W, 3)`` image."""
    return np.where(masks(cfa, image.shape[:2]), image, 0.0).sum(axis=-1)


def masks(cfa: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return ``(H, W, 3)``: whether a colour lies on a pixel."""
    letters = np.array(list(cfa)).reshape(2, 2)
    colours = np.tile(letters, (shape[0] // 2, shape[1] // 2))
    return colours[..., None] == np.array(["R", "G", "B"])


def random_mosaic(height: int, width: int, seed: int = 0) -> Array:
    """Return 12-bit random values in [0, 1)."""
    return np.random.default_rng(seed).integers(0, 4096, (height, width)) / 4096


def mosaic(case: str, cfa: str) -> Array:
    """Return a test mosaic: ``random``, ``random_float``, a photograph or one of `EDGE_CASES`."""
    if case in PHOTOGRAPHS:
        return sample(photograph(case), cfa)
    if case == "random":
        return random_mosaic(36, 42)
    if case == "random_float":
        return np.random.default_rng(4).random((36, 42), dtype=np.float32).astype(np.float64)
    if "x" in case.removesuffix("_pixel"):
        height, width = map(int, case.split("x"))
        return random_mosaic(height, width, seed=height + width)
    values = np.full((16, 18), {"constant": 0.3125, "saturated": 1.0}.get(case, 0.0))
    if case == "bright_pixel":
        values[6, 9] = 1.0
    return values


def mid_grey_raw(camera: Camera, height: int, width: int, seed: int = 0, batch: int = 1) -> Tensor:
    """Return raw data whose linear view stays well inside (0, 1): float64 ``(B, H, W)``.

    The raw of a flat colour, by the inverse of white balance and matrix, with a little noise.
    """
    wanted = np.array([0.45, 0.5, 0.4])
    signal = np.linalg.solve(np.array(camera.colour_matrix) @ np.diag(camera.white_balance), wanted)
    flat = sample(np.broadcast_to(signal, (height, width, 3)), camera.cfa)
    noise = np.random.default_rng(seed).uniform(-1, 1, (batch, height, width))
    black = np.tile(np.reshape(camera.black_level, (2, 2)), (height // 2, width // 2))
    white = 1.0 if camera.white_level is None else camera.white_level - black
    return torch.from_numpy((flat + 1.5e-3 * noise) * white + black)


def as_batch(mosaics: Array, dtype: torch.dtype) -> Tensor:
    """Return ``(H, W)`` or ``(B, H, W)`` as a ``(B, H, W)`` tensor."""
    tensor = torch.from_numpy(np.ascontiguousarray(mosaics)).to(dtype)
    return tensor if tensor.dim() == 3 else tensor[None]


def as_image(pixels: Array, dtype: torch.dtype) -> Tensor:
    """Return ``(H, W, 3)`` as ``(1, 3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(dtype)[None]


def rolled(cfa: CFA, down: int, right: int) -> CFA:
    """Return the CFA of a mosaic of `cfa` rolled by some pixels."""
    letters = np.roll(np.array(list(cfa)).reshape(2, 2), (down, right), axis=(0, 1))
    name: CFA = "".join(letters.ravel())  # type: ignore[assignment]
    return name
