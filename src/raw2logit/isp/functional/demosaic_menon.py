"""Demosaicing with directional filtering and an a posteriori decision (DDFAPD), with refinement.

D. Menon, S. Andriani, G. Calvagno, "Demosaicing with directional filtering and a posteriori
decision", IEEE Transactions on Image Processing 16(1), 2007.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.cfa import CFA, colour_sites
from raw2logit.isp.functional.borders import mirror_pad

_MARGIN_PX = 10
"""Reach of the whole algorithm: green 2, gradient 2, decision 2, chroma 1, refinement 3."""

_ROWS, _COLUMNS = -2, -1


def demosaic_menon(mosaic: Tensor, cfa: CFA, *, refine: bool = True) -> Tensor:
    """Interpolate green along the direction that leaves the smoother colour difference.

    Args:
        mosaic: ``(B, H, W)``, linear, even H and W.
        cfa: Colour filter array of the mosaic.
        refine: Run the paper's refining step, which filters the colour differences once more.

    Returns:
        ``(B, 3, H, W)``, linear; samples keep their value at their own site. Differentiable
        wherever the decision does not tie.
    """
    padded = mirror_pad(mosaic[:, None], _MARGIN_PX)[:, 0]
    sites = _Sites(padded, cfa)
    green, horizontal = _interpolate_green(padded, sites)
    red, blue = _interpolate_red_blue(padded, green, horizontal, sites)
    if refine:
        red, green, blue = _refine(red, green, blue, horizontal, sites)
    image = torch.stack([red, green, blue], dim=1)
    return image[..., _MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]


class _Sites:
    """Boolean ``(H, W)`` masks of a mosaic: which colour lies where."""

    def __init__(self, mosaic: Tensor, cfa: CFA) -> None:
        height, width = mosaic.shape[-2:]
        cell = torch.tensor(colour_sites(cfa), device=mosaic.device).reshape(2, 2)
        colour = cell.repeat(height // 2, width // 2)
        self.red = colour == 0
        self.green = colour == 1
        self.blue = colour == 2
        self.red_row = self.red.any(dim=1, keepdim=True).expand_as(colour)


def _neighbours(plane: Tensor, axis: int, step: int = 1) -> Tensor:
    """Return the sum of the two pixels `step` before and after along an axis, mirrored borders."""
    length = plane.shape[axis]
    pad = (step, step, 0, 0) if axis == _COLUMNS else (0, 0, step, step)
    padded = F.pad(plane[:, None], pad, mode="reflect")[:, 0]
    return padded.narrow(axis, 0, length) + padded.narrow(axis, 2 * step, length)


def _mean3(plane: Tensor, axis: int) -> Tensor:
    return (_neighbours(plane, axis) + plane) / 3


def _along(horizontal: Tensor, plane: Tensor) -> Tensor:
    """Average three pixels along the direction that was decided for each."""
    return torch.where(horizontal, _mean3(plane, _COLUMNS), _mean3(plane, _ROWS))


def _interpolate_green(mosaic: Tensor, sites: _Sites) -> tuple[Tensor, Tensor]:
    """Return green and, as a mask, where the horizontal estimate was chosen."""
    estimates, smoothness = [], []
    for axis in (_COLUMNS, _ROWS):
        filtered = (
            0.5 * _neighbours(mosaic, axis) + 0.5 * mosaic - 0.25 * _neighbours(mosaic, axis, 2)
        )
        green = torch.where(sites.green, mosaic, filtered)
        # The colour difference of the sampled colour lives on every second pixel of a row.
        difference = torch.where(sites.green, 0.0, mosaic - green)
        estimates.append(green)
        smoothness.append(_roughness(difference, axis))
    horizontal = smoothness[1] >= smoothness[0]
    return torch.where(horizontal, estimates[0], estimates[1]), horizontal


def _roughness(difference: Tensor, axis: int) -> Tensor:
    """Sum the gradients of a colour difference over the classifier's window."""
    length = difference.shape[axis]
    pad = (0, 2, 0, 0) if axis == _COLUMNS else (0, 0, 0, 2)
    ahead = F.pad(difference[:, None], pad, mode="reflect")[:, 0].narrow(axis, 2, length)
    gradient = (difference - ahead).abs()
    window = gradient.new_tensor(
        [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [3, 0, 3, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0]]
    )
    if axis == _ROWS:
        window = window.T
    return F.conv2d(gradient[:, None], window[None, None], padding=2)[:, 0]


def _interpolate_red_blue(
    mosaic: Tensor, green: Tensor, horizontal: Tensor, sites: _Sites
) -> tuple[Tensor, Tensor]:
    def at_green(axis: int) -> Tensor:
        return green + 0.5 * _neighbours(mosaic - green, axis)

    in_row, in_column = at_green(_COLUMNS), at_green(_ROWS)
    red = torch.where(sites.red_row, in_row, in_column)
    blue = torch.where(sites.red_row, in_column, in_row)
    red = torch.where(sites.red, mosaic, red)
    blue = torch.where(sites.blue, mosaic, blue)

    def across(wanted: Tensor, known: Tensor) -> Tensor:
        """Estimate one colour at the sites of the other through their difference."""
        difference = wanted - known
        mean = torch.where(
            horizontal, _neighbours(difference, _COLUMNS), _neighbours(difference, _ROWS)
        )
        return known + 0.5 * mean

    return (
        torch.where(sites.blue, across(red, blue), red),
        torch.where(sites.red, across(blue, red), blue),
    )


def _refine(
    red: Tensor, green: Tensor, blue: Tensor, horizontal: Tensor, sites: _Sites
) -> tuple[Tensor, Tensor, Tensor]:
    # Green at red and blue sites: low-pass of the colour difference along the decided direction.
    green = torch.where(
        sites.red,
        red - _along(horizontal, red - green),
        torch.where(sites.blue, blue - _along(horizontal, blue - green), green),
    )
    # Red and blue at green sites: from the neighbours that were sampled in that colour.
    red_difference, blue_difference = red - green, blue - green
    red_at_green = torch.where(
        sites.red_row, _neighbours(red_difference, _COLUMNS), _neighbours(red_difference, _ROWS)
    )
    blue_at_green = torch.where(
        sites.red_row, _neighbours(blue_difference, _ROWS), _neighbours(blue_difference, _COLUMNS)
    )
    red = torch.where(sites.green, green + 0.5 * red_at_green, red)
    blue = torch.where(sites.green, green + 0.5 * blue_at_green, blue)
    # Red at blue sites and blue at red ones: low-pass of red minus blue.
    difference = _along(horizontal, red - blue)
    red = torch.where(sites.blue, blue + difference, red)
    difference = _along(horizontal, red - blue)
    blue = torch.where(sites.red, red - difference, blue)
    return red, green, blue
