"""The ISP a second time, image by image in numpy, scipy, scikit-image and colour-demosaicing.

Nothing here comes from `raw2logit.isp`. Borders mirror without repeating the edge pixel.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2yuv, yuv2rgb

from raw2logit import Camera
from tests.isp.data import masks

with warnings.catch_warnings():
    # 2026-11: colour-demosaicing 0.2.7 imports from scipy.ndimage.filters. Remove when it does not.
    warnings.filterwarnings("ignore", ".*scipy.ndimage.filters.*", DeprecationWarning)
    from colour_demosaicing import (
        demosaicing_CFA_Bayer_bilinear,
        demosaicing_CFA_Bayer_Malvar2004,
        demosaicing_CFA_Bayer_Menon2007,
    )

Array = NDArray[np.float64]

ORDER = (
    "black_level",
    "demosaic",
    "white_balance",
    "colour_matrix",
    "sharpen",
    "denoise",
    "gamma",
)
_PAD_PX = 10

# The package's own borders, right only in the interior for bilinear and Malvar.
COLOUR_DEMOSAICING: dict[str, Callable[[Array, str], Array]] = {
    "bi": demosaicing_CFA_Bayer_bilinear,
    "ma": demosaicing_CFA_Bayer_Malvar2004,
    "me": demosaicing_CFA_Bayer_Menon2007,
}


def bilinear(mosaic: Array, cfa: str) -> Array:
    """Average the nearest samples of each colour: weights over the weights of what is there."""
    weights = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    at = masks(cfa, mosaic.shape)
    planes = []
    for channel in range(3):
        taps = weights * (np.abs(np.indices((3, 3)) - 1).sum(axis=0) < (2 if channel == 1 else 3))
        total = ndimage.correlate(mosaic * at[..., channel], taps, mode="mirror")
        count = ndimage.correlate(at[..., channel].astype(float), taps, mode="mirror")
        planes.append(np.where(at[..., channel], mosaic, total / count))
    return np.stack(planes, axis=-1)


def malvar(mosaic: Array, cfa: str) -> Array:
    """Correct the bilinear estimate by the Laplacian of the sampled colour, gains of the paper."""
    at = masks(cfa, mosaic.shape)
    red_row = at[..., 0].any(axis=1, keepdims=True)

    def laplacian(rows: Sequence[Sequence[float]]) -> Array:
        return ndimage.correlate(mosaic, np.array(rows), mode="mirror")

    cross = laplacian(
        [[0, 0, -1, 0, 0], [0] * 5, [-1, 0, 4, 0, -1], [0] * 5, [0, 0, -1, 0, 0]]
    )  # four times the sampled colour minus its four neighbours, two pixels away
    in_row = laplacian(
        [
            [0, 0, 0.5, 0, 0],
            [0, -1, 0, -1, 0],
            [-1, 0, 5, 0, -1],
            [0, -1, 0, -1, 0],
            [0, 0, 0.5, 0, 0],
        ]
    )
    in_column = laplacian(
        [
            [0, 0, -1, 0, 0],
            [0, -1, 0, -1, 0],
            [0.5, 0, 5, 0, 0.5],
            [0, -1, 0, -1, 0],
            [0, 0, -1, 0, 0],
        ]
    )
    image = bilinear(mosaic, cfa)
    for channel, own_row in ((0, red_row), (2, ~red_row)):
        other = at[..., 2 - channel]
        at_green = np.where(own_row, in_row, in_column) / 8
        image[..., channel] += np.where(at[..., 1], at_green, 0) + np.where(
            other, 3 / 4 * cross / 4, 0
        )
    image[..., 1] += np.where(at[..., 1], 0, 1 / 2 * cross / 4)
    return image


def menon(mosaic: Array, cfa: str) -> Array:
    """Run colour-demosaicing on a mosaic that was mirrored far beyond the method's reach."""
    padded = np.pad(mosaic, _PAD_PX, mode="reflect")
    image = demosaicing_CFA_Bayer_Menon2007(padded, cfa, refining_step=True)
    cropped: Array = image[_PAD_PX:-_PAD_PX, _PAD_PX:-_PAD_PX]
    return cropped


DEMOSAIC = {"bi": bilinear, "ma": malvar, "me": menon}


def gaussian(plane: Array, sigma_px: float) -> Array:
    """Filter with a gaussian truncated at 4 sigma."""
    blurred: Array = ndimage.gaussian_filter(plane, sigma_px, mode="mirror", truncate=4.0)
    return blurred


def process(
    raw: Array, camera: Camera, view: str, order: Sequence[str] = ORDER
) -> tuple[Array, Array]:
    """Return the linear image before gamma and the view, both ``(H, W, 3)``, of one raw."""
    demosaic, sharpen, denoise = view.split(",")
    sharpeners: dict[str, Callable[[Array], Array]] = {
        "s": lambda y: ndimage.correlate(
            y, np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]), mode="mirror"
        ),
        "u": lambda y: y + (y - gaussian(y, 1.0)),
    }
    denoisers: dict[str, Callable[[Array], Array]] = {
        "me": lambda y: ndimage.median_filter(y, size=3, mode="mirror"),
        "ga": lambda y: gaussian(y, 0.5),
    }

    def subtract(image: Array) -> Array:
        black = np.tile(np.reshape(camera.black_level, (2, 2)), np.array(image.shape) // 2)
        white = 1.0 if camera.white_level is None else camera.white_level - black
        balanced: Array = (image - black) / white
        return balanced

    def balance(image: Array) -> Array:
        gains = np.array(camera.white_balance)
        if image.ndim == 2:
            gains = (masks(camera.cfa, image.shape) * gains).sum(axis=-1)
        return image * gains

    steps: dict[str, Callable[[Array], Array]] = {
        "black_level": subtract,
        "demosaic": lambda image: DEMOSAIC[demosaic](image, camera.cfa),
        "white_balance": balance,
        "colour_matrix": lambda image: image @ np.array(camera.colour_matrix).T,
        "sharpen": lambda image: on_luma(image, sharpeners[sharpen]),
        "denoise": lambda image: on_luma(image, denoisers[denoise]),
    }
    linear = raw
    for name in order[:-1]:
        linear = steps[name](linear)
    return linear, np.clip(linear, 0, 1) ** (1 / 2.2)


def on_luma(image: Array, luma_filter: Callable[[Array], Array]) -> Array:
    """Filter Y of YUV there and back, by scikit-image's matrices."""
    yuv = rgb2yuv(image)
    yuv[..., 0] = luma_filter(yuv[..., 0])
    rgb: Array = yuv2rgb(yuv)
    return rgb
