"""Blur: gaussian, zoom, defocus, motion and frosted glass.

Each function takes views ``(B, 3, H, W)`` in [0, 1], the draws, and the constants of one strength
in the order of `constants.PUBLISHED_CONSTANTS`.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raw2logit.drift.corruptions import filters
from raw2logit.drift.corruptions.draws import Draws

_BYTE_SLACK = 1e-3  # so that a whole byte is not rounded down to the one below


def gaussian_blur(view: Tensor, _: Draws, sigma_px: float) -> Tensor:
    """Filter with a gaussian, truncated at 4 sigma, the edge pixel repeated. Differentiable."""
    return filters.gaussian(view, sigma_px).clamp(0, 1)


def zoom_blur(view: Tensor, _: Draws, bound: float, step: float) -> Tensor:
    """Average the view and its zooms by 1, 1 + step, ... below the bound. Differentiable.

    As published, the zoom by 1 counts beside the view itself, rounding may let the bound itself
    in (1.11 and 1.06), and a cut has whole pixels, so that nearby zooms may be the same.
    """
    count, height, width = len(view), *view.shape[-2:]
    sizes = Counter(
        (filters.zoom_size(height, factor), filters.zoom_size(width, factor))
        for factor in np.arange(1, bound, step).tolist()
    )
    # All planes as the channels of one image, and those last in memory: interpolation then works
    # on many values at once.
    planes = view.permute(2, 3, 0, 1).reshape(1, height, width, -1).permute(0, 3, 1, 2)
    total = planes.clone()
    for (rows, columns), times in sizes.items():
        zoomed = filters.zoom(planes, (rows[0], columns[0]), (rows[1], columns[1]))
        total.add_(zoomed, alpha=times)
    mean = (total / (sizes.total() + 1)).clamp(0, 1)
    return mean.permute(2, 3, 0, 1).reshape(height, width, count, -1).permute(2, 3, 0, 1)


def defocus_blur(view: Tensor, _: Draws, radius_px: float, edge_px: float) -> Tensor:
    """Filter with a disc whose edge is smoothed, mirrored at the border. Differentiable.

    A disc of radius below 1 is one pixel, so that only its smoothed edge blurs: three of the five
    of CIFAR-10-C.
    """
    kernel = torch.from_numpy(disc(radius_px, edge_px)).to(view)
    height, width = view.shape[-2:]
    reach = kernel.shape[0] // 2
    rows, columns = (_mirrored(side, reach, view.device) for side in (height, width))
    padded = view[..., rows, :][..., columns]
    # Products of spectra: the larger discs have hundreds of taps.
    size = [_quick_length(side) for side in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(kernel, s=size)
    blurred: Tensor = torch.fft.irfft2(spectrum, s=size)
    ends = 2 * reach + height, 2 * reach + width
    return blurred[..., 2 * reach : ends[0], 2 * reach : ends[1]].clamp(0, 1)


def _quick_length(length: int) -> int:
    """Return the next length without a prime factor above 5, which a spectrum is quick for."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _mirrored(side: int, reach: int, device: torch.device) -> Tensor:
    """Number the pixels of a side and of a mirrored border, however wide; the edge once."""
    period = max(1, 2 * side - 2)
    place = torch.arange(-reach, side + reach, device=device) % period
    return torch.minimum(place, period - place) if side > 1 else torch.zeros_like(place)


@lru_cache(maxsize=16)
def disc(radius_px: float, edge_px: float) -> npt.NDArray[np.float64]:
    """Return the kernel of a lens out of focus.

    Pixels within the radius, smoothed by a gaussian of 3 taps, of 5 where the radius is above 8.
    It is symmetric; where the disc fills its array, as at radius 8 and 10, the array's border is
    mirrored, as OpenCV does, and the sum is not quite 1.
    """
    reach = int(max(8, radius_px))
    place = np.arange(-reach, reach + 1)
    inside = (place[:, None] ** 2 + place**2 <= radius_px**2).astype(np.float64)
    taps = np.arange(-1, 2) if radius_px <= 8 else np.arange(-2, 3)
    weights = np.exp(-0.5 * (taps / edge_px) ** 2)
    weights /= weights.sum()
    padded = np.pad(inside / inside.sum(), len(taps) // 2, mode="reflect")
    size = 2 * reach + 1
    shifts = enumerate(weights)
    down = sum(weight * padded[shift : shift + size] for shift, weight in shifts)
    kernel = sum(weight * down[:, shift : shift + size] for shift, weight in enumerate(weights))
    used = np.flatnonzero(kernel[reach] > 0)
    return np.ascontiguousarray(kernel[used[0] : used[-1] + 1, used[0] : used[-1] + 1])


def motion_blur(view: Tensor, draws: Draws, radius_px: float, sigma_px: float) -> Tensor:
    """Blur to one side, at an angle of -45 to 45 degrees, see `filters.motion`. Differentiable.

    The published program rounds the result to bytes; that is left out.
    """
    angles_deg = draws.uniform(-45, 45)
    return filters.motion(view, radius_px, sigma_px, angles_deg).clamp(0, 1)


def glass_blur(
    view: Tensor, draws: Draws, sigma_px: float, reach_px: float, passes: float
) -> Tensor:
    """Blur, let each pixel take the value of one nearby, and blur again. No gradient.

    The published program means to swap two pixels, but numpy hands it views of them, so that the
    one is copied over the other; from the bottom right to the top left, and an offset is from
    -reach to reach - 1. That is done here, all pixels at once: a pixel that takes from one that
    was filled before looks up where that one took from. Bytes, rounded down, are shuffled.
    """
    reach = int(reach_px)
    height, width = view.shape[-2:]
    images = torch.floor(filters.gaussian(view.detach(), sigma_px) * 255 + _BYTE_SLACK).flatten(2)
    for _ in range(int(passes)):
        sources = shuffle_sources(draws.integers(-reach, reach, 2, height, width), reach)
        images = images.gather(2, sources[:, None].expand_as(images))
    shuffled = images.reshape(view.shape) / 255
    return filters.gaussian(shuffled, sigma_px).clamp(0, 1)


def shuffle_sources(offsets: Tensor, reach_px: int) -> Tensor:
    """Return where each pixel's value comes from after one pass of copies.

    Args:
        offsets: ``(B, 2, H, W)``, int64: across and down, -reach to reach - 1.
        reach_px: Pixels nearer to the border than this take no part.

    Returns:
        ``(B, H * W)``, numbers of pixels.
    """
    _, _, height, width = offsets.shape
    inner = offsets.new_zeros((height, width), dtype=torch.bool)
    inner[reach_px + 1 : height - reach_px + 1, reach_px + 1 : width - reach_px + 1] = True
    inner = inner.flatten()
    own = torch.arange(height * width, device=offsets.device)
    taken = own + (offsets[:, 0] + width * offsets[:, 1]).flatten(1)
    taken = torch.where(inner, taken, own)
    # A pixel further on was filled before, and holds what it took itself.
    link = torch.where(taken > own, taken, own)
    while not torch.equal(further := link.gather(1, link), link):
        link = further
    return taken.gather(1, link)
