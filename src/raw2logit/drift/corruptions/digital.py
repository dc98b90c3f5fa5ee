"""Contrast, brightness, saturation and pixelation.

Each function takes views ``(B, 3, H, W)`` in [0, 1], the draws, and the constants of one strength
in the order of `constants.PUBLISHED_CONSTANTS`. All are differentiable almost everywhere.
Where only value or only saturation changes, the way to HSV and back is one formula.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.drift.corruptions.draws import Draws


def contrast(view: Tensor, _: Draws, factor: float) -> Tensor:
    """Scale the distance of each channel to its mean over the image."""
    means = view.mean(dim=(2, 3), keepdim=True)
    return ((view - means) * factor + means).clamp(0, 1)


def brightness(view: Tensor, _: Draws, added: float) -> Tensor:
    """Add to the value of HSV, clipped at 1; hue and saturation stay. Black becomes grey."""
    value = view.amax(dim=1, keepdim=True)
    brighter = (value + added).clamp(0, 1)
    black = value <= 0
    scaled = view * (brighter / value.masked_fill(black, 1.0))
    return torch.where(black, brighter.expand_as(view), scaled).clamp(0, 1)


def saturate(view: Tensor, _: Draws, factor: float, added: float) -> Tensor:
    """Scale the saturation of HSV, add to it, and clip at 1; hue and value stay.

    A grey pixel has hue 0, which is red, so that adding to its saturation makes it reddish, as in
    the published program at severities 4 and 5.
    """
    value, lowest = view.amax(dim=1, keepdim=True), view.amin(dim=1, keepdim=True)
    range_ = value - lowest
    grey = range_ <= 0
    saturation = range_ / value.masked_fill(value <= 0, 1.0)
    wanted = (saturation * factor + added).clamp(0, 1)
    share = (value - view) / range_.masked_fill(grey, 1.0)
    red = view.new_tensor([0.0, 1.0, 1.0])[:, None, None]
    return (value * (1 - wanted * torch.where(grey, red, share))).clamp(0, 1)


def pixelate(view: Tensor, _: Draws, scale: float) -> Tensor:
    """Shrink to a share of the side, rounded down, and enlarge again, both as Pillow's BOX does.

    Pillow averages whole pixels, those whose middle lies in the box, and enlarges by repeating.
    It rounds to bytes each time, which is left out.
    """
    means, places = [], []
    for side in view.shape[-2:]:
        small = max(1, int(side * scale))
        means.append(_box_means(side, small).to(view))
        # Of the smaller pixels, the one that lies in the box.
        places.append(_box_means(small, side).argmax(dim=1).to(view.device))
    shrunk = means[0] @ (view @ means[1].T)
    return shrunk[..., places[0], :][..., places[1]]


def _box_means(side: int, size: int) -> Tensor:
    """Return the matrix, ``(size, side)``, that averages the pixels in the boxes of a new size."""
    step = side / size
    reach = max(step, 1.0) / 2
    middle = (torch.arange(size, dtype=torch.float64)[:, None] + 0.5) * step
    place = torch.arange(side)
    first, end = (middle - reach + 0.5).trunc(), (middle + reach + 0.5).trunc()
    offset = (place - middle + 0.5) / max(step, 1.0)
    inside = (offset > -0.5) & (offset <= 0.5) & (place >= first) & (place < end)
    return inside.double() / inside.sum(dim=1, keepdim=True)
