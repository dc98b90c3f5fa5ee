"""Weather: fog, frost and snow.

Each function takes views ``(B, 3, H, W)`` in [0, 1], the draws, and the constants of one strength
in the order of `constants.PUBLISHED_CONSTANTS`. All are differentiable in the view.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.drift.corruptions import filters
from raw2logit.drift.corruptions.draws import Draws
from raw2logit.drift.corruptions.frost_plates import PLATES, frost_plate

_GREY = (0.299, 0.587, 0.114)
_WOBBLE = 100.0


def fog(view: Tensor, draws: Draws, amount: float, decay: float) -> Tensor:
    """Add a plasma cloud, and scale so that the brightest value stays where it was.

    The cloud is as large as the next power of two (published: 256 for 224 px, 32 for 32), so that
    it grows with the image.
    """
    height, width = view.shape[-2:]
    size = 1 << (max(height, width) - 1).bit_length()
    cloud = plasma(draws.uniform(-1, 1, size, size), decay)[:, None, :height, :width]
    peak = view.amax(dim=(1, 2, 3), keepdim=True)
    return ((view + amount * cloud) * (peak / (peak + amount))).clamp(0, 1)


def plasma(field: Tensor, decay: float) -> Tensor:
    """Make clouds by the diamond-square algorithm, which wrap around.

    Args:
        field: ``(B, S, S)`` uniform in [-1, 1], S a power of two; each is used at its own place.
        decay: Amplitudes shrink by it at each finer step.

    Returns:
        ``(B, S, S)``, from 0 to 1 in each sample.
    """
    size = field.shape[-1]
    cloud = torch.zeros_like(field)
    step, wobble = size, _WOBBLE
    while step >= 2:
        half = step // 2
        noise = wobble * wobble * field
        corners = cloud[:, ::step, ::step]
        total = corners + corners.roll(-1, 1)
        middles = (total + total.roll(-1, 2)) / 4 + noise[:, half::step, half::step]
        cloud[:, half::step, half::step] = middles
        beside = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        cloud[:, ::step, half::step] = beside / 4 + noise[:, ::step, half::step]
        beside = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        cloud[:, half::step, ::step] = beside / 4 + noise[:, half::step, ::step]
        step, wobble = half, wobble / decay
    cloud = cloud - cloud.amin(dim=(1, 2), keepdim=True)
    return cloud / cloud.amax(dim=(1, 2), keepdim=True)


def frost(view: Tensor, draws: Draws, keep: float, amount: float, scale: float) -> Tensor:
    """Add a piece of a frosted window pane to the dimmed view.

    The published programs cut it out of photographs. Here the panes are drawn, see `frost_plates`;
    a view that is larger than the pane sees it mirrored on.
    """
    height, width = view.shape[-2:]
    choices = draws.integers(0, PLATES, 1).flatten().tolist()
    corners = draws.uniform(0, 1, 2).tolist()
    pieces = []
    for choice, corner in zip(choices, corners, strict=True):
        plate = frost_plate(choice, scale)
        side = plate.shape[-1]
        rows, columns = (
            _fold(length, int(place * (max(0, side - length) + 1)), side)
            for length, place in zip((height, width), corner, strict=True)
        )
        pieces.append(plate[:, rows][:, :, columns])
    panes = torch.stack(pieces).to(view)
    return (keep * view + amount * (panes / 255)).clamp(0, 1)


def _fold(length: int, start: int, side: int) -> Tensor:
    place = torch.arange(start, start + length) % (2 * side)
    return torch.minimum(place, 2 * side - 1 - place)


def snow(
    view: Tensor,
    draws: Draws,
    mean: float,
    deviation: float,
    factor: float,
    threshold: float,
    radius_px: float,
    sigma_px: float,
    keep: float,
) -> Tensor:
    """Whiten the view, and add flakes that fall two ways.

    The flakes are zoomed noise above a threshold, blurred along a direction of -135 to -45
    degrees, and added once as they are and once turned by half a turn. They are bytes, rounded
    down before they are blurred and to the nearest after, as in the published program.
    """
    height, width = view.shape[-2:]
    noise = mean + deviation * draws.normal(height, width)
    rows, columns = (filters.zoom_size(side, factor) for side in (height, width))
    flakes = filters.zoom(noise[:, None], (rows[0], columns[0]), (rows[1], columns[1]))
    flakes = flakes.masked_fill(flakes < threshold, 0).clamp(0, 1)
    flakes = torch.floor(flakes * 255)
    flakes = filters.motion(flakes, radius_px, sigma_px, draws.uniform(-135, -45)).round() / 255
    grey = (view * view.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)
    white = keep * view + (1 - keep) * torch.maximum(view, grey * 1.5 + 0.5)
    return (white + flakes + flakes.flip(2, 3)).clamp(0, 1)
