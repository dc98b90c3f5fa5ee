"""Bilinear demosaicing, and the form that every linear demosaicing shares.

A linear demosaicing of a Bayer mosaic gives each of the four sites of a 2x2 cell its own three
small filters. All twelve together are one convolution of stride 2 with twelve output channels,
followed by a pixel shuffle; its weights are composed from the method's own kernels, so that
gradients reach those.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.cfa import CFA, colour_sites
from raw2logit.isp.functional.borders import mirror_pad


def demosaic_bilinear(mosaic: Tensor, kernels: Tensor, cfa: CFA) -> Tensor:
    """Interpolate each colour from its own samples.

    The zero-filled plane of each colour is filtered with that colour's kernel.

    Args:
        mosaic: ``(B, H, W)``, linear, even H and W.
        kernels: ``(3, k, k)`` with odd k, for red, green and blue; see `bilinear_kernels`.
        cfa: Colour filter array of the mosaic.

    Returns:
        ``(B, 3, H, W)``, linear.
    """
    return phase_convolution(mosaic, _masked_weights(kernels, cfa))


def bilinear_kernels(dtype: torch.dtype | None = None) -> Tensor:
    """Return the classical ``(3, 3, 3)`` kernels: bilinear for red and blue, cross for green."""
    sparse = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=dtype or torch.float32) / 4
    green = torch.tensor([[0, 1, 0], [1, 4, 1], [0, 1, 0]], dtype=dtype or torch.float32) / 4
    return torch.stack([sparse, green, sparse])


def phase_convolution(mosaic: Tensor, weights: Tensor) -> Tensor:
    """Filter a mosaic with one filter a colour and CFA site.

    Args:
        mosaic: ``(B, H, W)`` with even H and W.
        weights: ``(3, 4, k, k)`` with odd k: the filter, centred on the output pixel, that makes
            a colour at a site (sites in row order).

    Returns:
        ``(B, 3, H, W)``.
    """
    size = weights.shape[-1]
    # A window of k + 1 pixels from the cell's first site holds all four filters, each shifted.
    placed = torch.stack(
        [F.pad(weights[:, site], _shift(site)) for site in range(4)], dim=1
    ).reshape(12, 1, size + 1, size + 1)
    phases = F.conv2d(mirror_pad(mosaic[:, None], size // 2), placed, stride=2)
    return F.pixel_shuffle(phases, 2)


def _shift(site: int) -> tuple[int, int, int, int]:
    row, column = divmod(site, 2)
    return (column, 1 - column, row, 1 - row)


def _masked_weights(kernels: Tensor, cfa: CFA) -> Tensor:
    """Keep of each colour's kernel the taps that fall on that colour: ``(3, 4, k, k)``."""
    sites = colour_sites(cfa)
    size = kernels.shape[-1]
    offsets = range(-(size // 2), size // 2 + 1)
    mask = [
        [
            [
                [
                    sites[(site // 2 + down) % 2 * 2 + (site + right) % 2] == channel
                    for right in offsets
                ]
                for down in offsets
            ]
            for site in range(4)
        ]
        for channel in range(3)
    ]
    return kernels[:, None] * torch.tensor(mask, dtype=kernels.dtype, device=kernels.device)
