"""Spatter: drops of water, or of mud, on the lens.

Drops of water are shaded by image processing on bytes: Canny's edges, the distance to them, a
histogram that is equalised, an embossing filter. OpenCV's steps are followed here, batched, with
one difference: distances are exact, where OpenCV's 5 x 5 mask errs by up to 2 %.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.drift.corruptions import filters
from raw2logit.drift.corruptions.draws import Draws

WATER_RGB = (175 / 255, 238 / 255, 238 / 255)
MUD_RGB = (63 / 255, 42 / 255, 20 / 255)

_WEAK_EDGE, _STRONG_EDGE = 50, 150
_FAR_PX = 20
_COLUMN_STEPS_PX = (1, 2, 4, 8, 5)  # some of which add up to each whole number to 20
_TAN_22_5 = 13573 / 2**15  # OpenCV's
_LEAST_MUD = 0.8
_EMBOSS = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))
_BYTE_SLACK = 1e-3  # so that a whole byte is not rounded down to the one below


def spatter(
    view: Tensor,
    draws: Draws,
    mean: float,
    deviation: float,
    sigma_px: float,
    threshold: float,
    amount: float,
    mud: float,
) -> Tensor:
    """Cover the view with drops where smoothed noise is above a threshold.

    Water is added to the view, mud takes its place; for mud, `amount` is the sigma (px) that
    smooths its edge. Where no drop falls, the view stays as it is (the published program divides
    by zero). Differentiable in the view.
    """
    height, width = view.shape[-2:]
    noise = mean + deviation * draws.normal(height, width)
    liquid = filters.gaussian(noise, sigma_px)
    if mud:
        cover = filters.gaussian((liquid > threshold).to(view), amount)
        cover = cover.masked_fill(cover < _LEAST_MUD, 0)[:, None]
        colour = view.new_tensor(MUD_RGB)[:, None, None]
        return (view * (1 - cover) + colour * cover).clamp(0, 1)
    liquid = liquid.masked_fill(liquid < threshold, 0)
    shade = shade_drops(torch.floor(liquid * 255) % 256)
    shade = shade / shade.amax(dim=(1, 2), keepdim=True).clamp_min(1)
    colour = view.new_tensor(WATER_RGB)[:, None, None]
    return (view + amount * shade[:, None] * colour).clamp(0, 1)


def shade_drops(liquid: Tensor) -> Tensor:
    """Return how bright drops are: ``(B, H, W)`` whole numbers 0 to 255 to values up to 255^2."""
    distance = distance_to(canny_edges(liquid))
    levels = torch.floor(_box(distance) + _BYTE_SLACK)
    relief = _correlate(_equalise(levels), _EMBOSS).clamp(0, 255)
    return liquid * torch.round(_box(relief))


def canny_edges(picture: Tensor) -> Tensor:
    """Find edges as OpenCV's Canny with thresholds 50 and 150 does.

    Args:
        picture: ``(B, H, W)``, whole numbers 0 to 255.

    Returns:
        ``(B, H, W)``, bool.
    """
    padded = F.pad(picture[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = _correlate_padded(padded, ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)))
    down = _correlate_padded(padded, ((-1, -2, -1), (0, 0, 0), (1, 2, 1)))
    size = across.abs() + down.abs()
    around = F.pad(size, (1, 1, 1, 1))
    height, width = picture.shape[-2:]

    def near(rows: int, columns: int) -> Tensor:
        top, left = 1 + rows, 1 + columns
        return around[:, top : top + height, left : left + width]

    slope = across.abs() * _TAN_22_5
    level = down.abs() < slope
    steep = ~level & (down.abs() > slope + 2 * across.abs())
    # A ridge of the gradient: larger than the one before, not smaller than the one after.
    ridge_level = (size > near(0, -1)) & (size >= near(0, 1))
    ridge_steep = (size > near(-1, 0)) & (size >= near(1, 0))
    falling = (size > near(-1, -1)) & (size > near(1, 1))
    rising = (size > near(-1, 1)) & (size > near(1, -1))
    ridge_slant = torch.where(across * down < 0, rising, falling)
    ridge = torch.where(level, ridge_level, torch.where(steep, ridge_steep, ridge_slant))
    weak = ridge & (size > _WEAK_EDGE)
    edges = weak & (size > _STRONG_EDGE)
    while not torch.equal(grown := weak & _spread(edges), edges):
        edges = grown
    return edges


def _spread(mask: Tensor) -> Tensor:
    """Add the eight neighbours of each pixel of a mask."""
    wide = mask.clone()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    spread = wide.clone()
    spread[..., 1:] |= wide[..., :-1]
    spread[..., :-1] |= wide[..., 1:]
    return spread


def distance_to(mask: Tensor) -> Tensor:
    """Return each pixel's distance to the nearest one of a mask, at most 20 px.

    Args:
        mask: ``(B, H, W)``, bool.

    Returns:
        ``(B, H, W)`` in pixels, single precision.
    """
    height, width = mask.shape[-2:]
    beyond = _FAR_PX + 1.0
    column = torch.where(mask, 0.0, beyond)
    for step in _COLUMN_STEPS_PX:
        padded = F.pad(column, (0, 0, step, step), value=beyond)
        above, below = padded[:, :height], padded[:, 2 * step :]
        column = torch.minimum(column, torch.minimum(above, below).add_(step))
    squares = F.pad(column.square_(), (_FAR_PX, _FAR_PX), value=beyond**2)
    nearest = column.clamp_max(_FAR_PX**2)
    aside = torch.empty_like(nearest)
    for step in range(1, _FAR_PX + 1):
        left = squares[..., _FAR_PX - step : _FAR_PX - step + width]
        right = squares[..., _FAR_PX + step : _FAR_PX + step + width]
        torch.minimum(left, right, out=aside).add_(step**2)
        torch.minimum(nearest, aside, out=nearest)
    return nearest.sqrt_()


def _equalise(levels: Tensor) -> Tensor:
    """Equalise the histogram of whole numbers 0 to 20, as OpenCV does for bytes."""
    samples, values = len(levels), torch.arange(_FAR_PX + 1, device=levels.device)
    whole = levels.long().flatten(1)
    places = whole + len(values) * torch.arange(samples, device=levels.device)[:, None]
    counts = places.flatten().bincount(minlength=samples * len(values)).reshape(samples, -1)
    some = counts > 0
    total = counts.sum(dim=1, keepdim=True)
    first = some.to(torch.int64).argmax(dim=1, keepdim=True)
    lowest = counts.gather(1, first)
    below = (counts.cumsum(dim=1) - lowest).double()
    spread = torch.round(below * 255 / (total - lowest).clamp_min(1))
    # A picture of one level stays as it is.
    table = torch.where(lowest == total, values.double(), spread)
    return table.to(levels.dtype).gather(1, whole).reshape(levels.shape)


def _box(planes: Tensor) -> Tensor:
    return _correlate(planes, ((1, 1, 1),) * 3) / 9


def _correlate(planes: Tensor, kernel: tuple[tuple[int, ...], ...]) -> Tensor:
    """Filter ``(B, H, W)`` with a 3 x 3 kernel, mirrored without the edge pixel."""
    return _correlate_padded(F.pad(planes[:, None], (1, 1, 1, 1), mode="reflect")[:, 0], kernel)


def _correlate_padded(padded: Tensor, kernel: tuple[tuple[int, ...], ...]) -> Tensor:
    height, width = padded.shape[-2] - 2, padded.shape[-1] - 2
    total = padded.new_zeros((padded.shape[0], height, width))
    for row, weights in enumerate(kernel):
        for column, weight in enumerate(weights):
            if weight:
                part = padded[:, row : row + height, column : column + width]
                total = torch.add(total, part, alpha=weight)
    return total
