"""The classical recipe: a raw to a view with the tools that an imaging notebook reaches for.

Image by image, in numpy, scipy, scikit-image and colour-demosaicing. colour-demosaicing computes in
double precision; its image is taken back to single precision, so that every later step is as quick
as these libraries allow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2yuv, yuv2rgb
from skimage.filters import unsharp_mask

from raw2logit import Camera

with warnings.catch_warnings():
    # 2026-11: colour-demosaicing 0.2.7 imports from scipy.ndimage.filters. Remove when it does not.
    warnings.filterwarnings("ignore", ".*scipy.ndimage.filters.*", DeprecationWarning)
    from colour_demosaicing import (
        demosaicing_CFA_Bayer_bilinear,
        demosaicing_CFA_Bayer_Malvar2004,
        demosaicing_CFA_Bayer_Menon2007,
    )

Array = NDArray[np.float32]

_SHARPEN_KERNEL = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)

_DEMOSAIC: dict[str, Callable[..., NDArray[Any]]] = {
    "bi": demosaicing_CFA_Bayer_bilinear,
    "ma": demosaicing_CFA_Bayer_Malvar2004,
    "me": demosaicing_CFA_Bayer_Menon2007,
}
_SHARPEN: dict[str, Callable[[Array], Array]] = {
    "s": lambda luma: ndimage.convolve(luma, _SHARPEN_KERNEL, mode="mirror"),
    "u": lambda luma: unsharp_mask(luma, radius=1.0, amount=1.0, preserve_range=True),
}
_DENOISE: dict[str, Callable[[Array], Array]] = {
    "me": lambda luma: ndimage.median_filter(luma, size=3, mode="mirror"),
    "ga": lambda luma: ndimage.gaussian_filter(luma, sigma=0.5, mode="mirror"),
}


def process(raw: Array, camera: Camera, view: str) -> Array:
    """Make a view of one raw.

    Args:
        raw: ``(H, W)``, linear, fraction of full scale, black level still in.
        camera: Must have no white level, as the published cameras.
        view: One of `raw2logit.VIEWS`.

    Returns:
        ``(H, W, 3)`` float32, encoded RGB in [0, 1].
    """
    demosaic, sharpen, denoise = view.split(",")
    black = np.array(camera.black_level, np.float32).reshape(2, 2)
    signal = raw - np.tile(black, (raw.shape[0] // 2, raw.shape[1] // 2))
    rgb = _DEMOSAIC[demosaic](signal, camera.cfa).astype(np.float32)
    rgb = rgb * np.array(camera.white_balance, np.float32)
    rgb = rgb @ np.array(camera.colour_matrix, np.float32).T
    yuv = rgb2yuv(rgb)
    yuv[..., 0] = _DENOISE[denoise](_SHARPEN[sharpen](yuv[..., 0]))
    encoded: Array = np.clip(yuv2rgb(yuv), 0, 1) ** (1 / 2.2)
    return encoded


def process_each(raws: NDArray[np.float32], camera: Camera, view: str) -> list[Array]:
    """Make a view of each of ``(B, H, W)`` raws."""
    return [process(raw, camera, view) for raw in raws]
