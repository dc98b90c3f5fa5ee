"""Wavelet denoising: shrink the details of an orthogonal wavelet transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.errors import InputError
from raw2logit.isp.functional.borders import mirror_pad

WAVELETS = {
    "haar": (math.sqrt(0.5), math.sqrt(0.5)),
    "db2": tuple(
        (whole + sign * math.sqrt(3.0)) / math.sqrt(32.0)
        for whole, sign in ((1.0, 1.0), (3.0, 1.0), (3.0, -1.0), (1.0, -1.0))
    ),
    "sym4": (
        0.032223100604051468, -0.012603967262031304, -0.099219543576633533, 0.29785779560530605,
        0.80373875180513208, 0.49761866763277499, -0.029635527646002492, -0.075765714789502213,
    ),
}  # fmt: skip
"""Scaling filters by name: I. Daubechies, "Ten lectures on wavelets", SIAM 1992.

Haar's, the one with two vanishing moments (db2), and the least asymmetric one with four (sym4,
table 6.3, refined by Newton's method on its defining equations: the printed digits end at 1e-12).
"""


def denoise_wavelet(
    plane: Tensor, threshold: Tensor, levels: int = 2, wavelet: str = "sym4"
) -> Tensor:
    """Shrink the detail coefficients of a wavelet transform towards 0 by a threshold.

    The transform is the separable, decimated one of S. G. Mallat, "A theory for multiresolution
    signal decomposition", PAMI 1989; the shrinkage is soft thresholding of D. L. Donoho,
    "De-noising by soft-thresholding", IEEE Trans. Inf. Theory 1995, with one threshold for all
    levels and directions. Equals `pywt.waverec2` of the thresholded `pywt.wavedec2` in the mode
    ``reflect``, cropped to the plane. As every second coefficient is dropped, it does not commute
    with a shift of the plane.

    Any number of levels works for any size, since a plane shorter than the filter is mirrored
    again. PyWavelets warns beyond ``log2(min(H, W) / (taps - 1))`` levels, where every coefficient
    feels the border; a single pixel has no details and further levels leave it as it is.

    Args:
        plane: ``(B, 1, H, W)`` with H and W at least 2, in any unit. Half precision is computed in
            float32.
        threshold: Scalar at or above 0 in the unit of the plane: the filters have norm 1, so white
            noise keeps its standard deviation in every coefficient. Half of that to all of it
            does best on photographs; 0 is the identity up to rounding.
        levels: How often the mean is split again, 1 or more.
        wavelet: A name in `WAVELETS`.

    Returns:
        ``(B, 1, H, W)`` in the type of the plane; may overshoot its range by a little. The
        gradient with respect to the threshold jumps where a coefficient equals it.

    Raises:
        InputError: `levels` is below 1 or `wavelet` is unknown.
    """
    if levels < 1:
        raise InputError(f"levels must be 1 or more, got {levels}: try 2")
    if wavelet not in WAVELETS:
        raise InputError(f"unknown wavelet {wavelet!r}: choose from {' '.join(WAVELETS)}")
    approximation = plane.float() if plane.dtype in (torch.float16, torch.bfloat16) else plane
    filters = _filters(WAVELETS[wavelet], approximation)
    threshold = threshold.to(approximation.dtype)
    shapes, details = [], []
    for _ in range(levels):
        shapes.append(approximation.shape[-2:])
        bands = _analyse(approximation, filters)
        approximation, detail = bands[:, :1], bands[:, 1:]
        details.append(detail - torch.clamp(detail, -threshold, threshold))
    for detail, (height, width) in zip(reversed(details), reversed(shapes), strict=True):
        bands = torch.cat((approximation, detail), dim=1)
        approximation = _synthesise(bands, filters)[..., :height, :width]
    return approximation.to(plane.dtype)


def _filters(scaling: tuple[float, ...], like: Tensor) -> Tensor:
    """Return ``(2, 1, taps)``: the scaling filter and its quadrature mirror, the wavelet."""
    wavelet = [(-1) ** tap * value for tap, value in enumerate(reversed(scaling))]
    return torch.tensor([scaling, wavelet], dtype=like.dtype, device=like.device)[:, None]


def _analyse(plane: Tensor, filters: Tensor) -> Tensor:
    """Map ``(B, 1, H, W)`` to mean and three details, ``(B, 4, ., .)`` of half the size or more."""
    height, width = plane.shape[-2:]
    # Haar's filter alone leads down to a single pixel, whose mirror image is a constant.
    plane = plane.expand(-1, -1, max(height, 2), max(width, 2))
    padded = mirror_pad(plane, filters.shape[-1] - 1)[..., 1:, 1:]
    rows = F.conv2d(padded, filters[..., None], stride=(2, 1))
    return F.conv2d(rows, filters[..., None, :].repeat(2, 1, 1, 1), stride=(1, 2), groups=2)


def _synthesise(bands: Tensor, filters: Tensor) -> Tensor:
    """Invert `_analyse`, up to a pixel too many on the lower and the right border."""
    columns = filters[..., None, :].repeat(2, 1, 1, 1)
    rows = F.conv_transpose2d(bands, columns, stride=(1, 2), groups=2)
    plane = F.conv_transpose2d(rows, filters[..., None], stride=(2, 1))
    edge = filters.shape[-1] - 2
    return plane[..., edge:, edge:]
