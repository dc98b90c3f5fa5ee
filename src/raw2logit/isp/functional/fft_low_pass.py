"""Butterworth low-pass filter in the frequency domain."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.errors import InputError


def fft_low_pass(plane: Tensor, cutoff: Tensor, order: int = 2) -> Tensor:
    """Multiply the spectrum by a Butterworth gain, 1 / (1 + (f / cutoff)^(2 order)).

    The gain is one half at the cutoff: the squared Butterworth filter of image processing
    textbooks and of ``skimage.filters.butterworth(squared_butterworth=True)``. The original
    filter, S. Butterworth, "On the theory of filter amplifiers", Wireless Engineer 7, 1930, has
    the square root of it. The phase is zero; f is the length of the frequency vector, so that no
    direction is preferred.

    The plane is made periodic by mirroring, edge pixel not repeated. It then has no seam, and the
    filter is the same as weighting the coefficients of its cosine transform of type I. That takes
    the transform of four times the pixels; it is fastest where H - 1 and W - 1 have small prime
    factors.

    Args:
        plane: ``(B, 1, H, W)`` with H and W at least 2, linear light of any range. Half precision
            is computed in float32.
        cutoff: Positive scalar, cycles per pixel; 0.5 is Nyquist along an axis.
        order: At least 1; far above the cutoff the gain falls as f^(-2 order).

    Returns:
        ``(B, 1, H, W)``, of the plane's type. The mean over the mirrored plane is kept, and a
        constant stays constant. An edge rings beyond the plane's range, more at a higher order.

    Raises:
        InputError: The order is below 1.
    """
    if order < 1:
        raise InputError(f"order={order}: a Butterworth filter needs an order of at least 1")
    if plane.shape[0] == 0:  # MKL refuses to transform an empty batch
        return plane.clone()
    height, width = plane.shape[-2:]
    values = plane.to(torch.promote_types(plane.dtype, torch.float32))
    periodic = F.pad(values, (0, width - 2, 0, height - 2), mode="reflect")
    gain = _gain(2 * (height - 1), 2 * (width - 1), cutoff.to(values), order)
    spectrum = torch.fft.rfft2(periodic) * gain
    filtered: Tensor = torch.fft.irfft2(spectrum, s=(2 * (height - 1), 2 * (width - 1)))
    return filtered[..., :height, :width].to(plane.dtype)


def _gain(rows: int, columns: int, cutoff: Tensor, order: int) -> Tensor:
    down = torch.arange(rows, dtype=cutoff.dtype, device=cutoff.device)
    right = torch.arange(columns // 2 + 1, dtype=cutoff.dtype, device=cutoff.device)
    frequency = torch.hypot(torch.minimum(down, rows - down)[:, None] / rows, right / columns)
    # In logarithms no power overflows, whatever the cutoff, and f = 0 needs no care: its
    # logarithm is minus infinity, the gain one and the slope of the gain zero.
    return torch.sigmoid(2 * order * (cutoff.log() - frequency.log()))
