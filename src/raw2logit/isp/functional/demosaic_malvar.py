"""Gradient-corrected linear demosaicing.

H. S. Malvar, L. He, R. Cutler, "High-quality linear interpolation for demosaicing of
Bayer-patterned color images", ICASSP 2004.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.cfa import CFA, colour_sites
from raw2logit.isp.functional.borders import require_even
from raw2logit.isp.functional.convolution import phase_convolution
from raw2logit.isp.functional.slices import in_slices

# Rows of the kernel tensor: which missing colour is estimated where (the paper's figure 2).
_GREEN_AT_RED_OR_BLUE, _SAME_ROW, _SAME_COLUMN, _DIAGONAL, _OWN_SAMPLE = range(5)


def demosaic_malvar(mosaic: Tensor, kernels: Tensor, cfa: CFA) -> Tensor:
    """Interpolate bilinearly and correct by the Laplacian of the colour that was sampled.

    Args:
        mosaic: ``(B, H, W)``, linear, even H and W.
        kernels: ``(4, 5, 5)``; see `malvar_kernels`.
        cfa: Colour filter array of the mosaic.

    Returns:
        ``(B, 3, H, W)``, linear; samples keep their value at their own site.

    Raises:
        InputError: H or W is odd.
    """
    require_even(mosaic)
    convolve = phase_convolution(malvar_weights(kernels, cfa))
    return in_slices(convolve.of_mosaic, mosaic, [kernels], reach_px=2)


def malvar_weights(kernels: Tensor, cfa: CFA) -> Tensor:
    """Return the filter of each colour at each site, for `phase_convolution`.

    Args:
        kernels: ``(4, 5, 5)``; see `malvar_kernels`.
        cfa: Colour filter array of the mosaic.

    Returns:
        ``(3, 4, 5, 5)``.
    """
    own = torch.zeros_like(kernels[:1])
    own[0, 2, 2] = 1.0
    bank = torch.cat([kernels, own])
    rules = [[_rule(channel, site, cfa) for site in range(4)] for channel in range(3)]
    return bank[torch.tensor(rules, device=kernels.device)]


def malvar_kernels(dtype: torch.dtype | None = None) -> Tensor:
    """Return the paper's four ``(5, 5)`` kernels.

    In this order: green at a red or blue site; red or blue at a green site, from samples in the
    same row; the same from samples in the same column; red at blue and blue at red.
    """
    green = [
        [0, 0, -2, 0, 0],
        [0, 0, 4, 0, 0],
        [-2, 4, 8, 4, -2],
        [0, 0, 4, 0, 0],
        [0, 0, -2, 0, 0],
    ]
    row = [
        [0, 0, 1, 0, 0],
        [0, -2, 0, -2, 0],
        [-2, 8, 10, 8, -2],
        [0, -2, 0, -2, 0],
        [0, 0, 1, 0, 0],
    ]
    diagonal = [
        [0, 0, -3, 0, 0],
        [0, 4, 0, 4, 0],
        [-3, 0, 12, 0, -3],
        [0, 4, 0, 4, 0],
        [0, 0, -3, 0, 0],
    ]
    column = [list(line) for line in zip(*row, strict=True)]
    return torch.tensor([green, row, column, diagonal], dtype=dtype or torch.float32) / 16


def _rule(channel: int, site: int, cfa: CFA) -> int:
    sites = colour_sites(cfa)
    if sites[site] == channel:
        return _OWN_SAMPLE
    if channel == 1:
        return _GREEN_AT_RED_OR_BLUE
    if sites[site ^ 1] == channel:
        return _SAME_ROW
    if sites[site ^ 2] == channel:
        return _SAME_COLUMN
    return _DIAGONAL
