"""Bilateral filter."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.errors import InputError
from raw2logit.isp.functional.borders import mirror_pad


def denoise_bilateral(
    plane: Tensor, sigma_px: Tensor, sigma_value: Tensor, radius_px: int
) -> Tensor:
    """Average the neighbours that are near in place and in value.

    C. Tomasi and R. Manduchi, "Bilateral filtering for gray and color images", ICCV 1998: each
    pixel becomes the mean of its window, a neighbour at distance d and of difference v counting
    exp(-d^2 / (2 sigma_px^2) - v^2 / (2 sigma_value^2)). The weights are exact, not from a table.

    Args:
        plane: ``(B, 1, H, W)`` with H and W at least 2, linear light of any range; borders mirror
            without repeating the edge. Half precision is computed in float32.
        sigma_px: Positive scalar, standard deviation in pixels.
        sigma_value: Positive scalar, standard deviation in units of the plane; small is the
            identity, large a gaussian filter.
        radius_px: The window is square, of 2 radius_px + 1 pixels a side; see `gaussian_radius`.
            Time grows with its square, and so does the memory for the gradient: a plane and
            a half for each pixel of the window. Without gradient the memory does not grow.

    Returns:
        ``(B, 1, H, W)``, of the plane's type and within the plane's range.

    Raises:
        InputError: The radius is negative.
    """
    if radius_px < 0:
        raise InputError(f"radius_px={radius_px}: a window needs a radius of at least 0")
    height, width = plane.shape[-2:]
    values = plane.to(torch.promote_types(plane.dtype, torch.float32))
    padded = mirror_pad(values, radius_px)
    per_square_px = -0.5 * sigma_px.to(values).reciprocal() ** 2
    per_square_value = -0.5 * sigma_value.to(values).reciprocal() ** 2
    # Differences to the middle are averaged, not values: a flat window is kept to the last bit.
    pull = torch.zeros_like(values)
    total = torch.ones_like(values)
    for down, right in _half_window(radius_px):
        # Two pixels weigh the same for one another: one weight serves the neighbour ahead of a
        # pixel and, read at that neighbour, the one behind it.
        left_of, right_of = max(-right, 0), max(right, 0)
        rows = slice(radius_px - down, radius_px + height)
        columns = slice(radius_px - right_of, radius_px + width + left_of)
        rows_ahead = slice(radius_px, radius_px + height + down)
        columns_ahead = slice(radius_px - left_of, radius_px + width + right_of)
        step = padded[..., rows_ahead, columns_ahead] - padded[..., rows, columns]
        distance = per_square_px * (down**2 + right**2)
        weight = torch.exp(torch.addcmul(distance, step * step, per_square_value))
        weighted = weight * step
        ahead = (..., slice(down, None), slice(right_of, right_of + width))
        behind = (..., slice(height), slice(left_of, left_of + width))
        pull = pull + weighted[ahead] - weighted[behind]
        total = total + weight[ahead] + weight[behind]
    return (values + pull / total).to(plane.dtype)


def _half_window(radius_px: int) -> list[tuple[int, int]]:
    """Return the shifts ``(down, right)`` that come after the middle in reading order."""
    return [
        (down, right)
        for down in range(radius_px + 1)
        for right in range(-radius_px, radius_px + 1)
        if (down, right) > (0, 0)
    ]
