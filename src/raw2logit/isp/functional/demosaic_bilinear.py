"""Bilinear demosaicing."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.cfa import CFA, colour_sites
from raw2logit.isp.functional.borders import require_even
from raw2logit.isp.functional.convolution import phase_convolution, site_windows
from raw2logit.isp.functional.slices import in_slices


def demosaic_bilinear(mosaic: Tensor, kernels: Tensor, cfa: CFA) -> Tensor:
    """Interpolate each colour from its own samples.

    The zero-filled plane of each colour is filtered with that colour's kernel.

    Args:
        mosaic: ``(B, H, W)``, linear, even H and W.
        kernels: ``(3, k, k)`` with odd k, for red, green and blue; see `bilinear_kernels`.
        cfa: Colour filter array of the mosaic.

    Returns:
        ``(B, 3, H, W)``, linear.

    Raises:
        InputError: H or W is odd.
    """
    require_even(mosaic)
    convolve = phase_convolution(bilinear_weights(kernels, cfa))
    return in_slices(convolve.of_mosaic, mosaic, [kernels], reach_px=kernels.shape[-1] // 2)


def bilinear_kernels(dtype: torch.dtype | None = None) -> Tensor:
    """Return the classical ``(3, 3, 3)`` kernels: bilinear for red and blue, cross for green."""
    sparse = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=dtype or torch.float32) / 4
    green = torch.tensor([[0, 1, 0], [1, 4, 1], [0, 1, 0]], dtype=dtype or torch.float32) / 4
    return torch.stack([sparse, green, sparse])


def bilinear_weights(kernels: Tensor, cfa: CFA) -> Tensor:
    """Return the filter of each colour at each site, for `phase_convolution`.

    Args:
        kernels: ``(3, k, k)`` with odd k, for red, green and blue.
        cfa: Colour filter array of the mosaic.

    Returns:
        ``(3, 4, k, k)``: of a colour's kernel, the taps that fall on that colour.
    """
    sites = colour_sites(cfa)
    sampled = kernels.new_tensor([[float(site == colour) for site in sites] for colour in range(3)])
    return kernels[:, None] * site_windows(sampled, kernels.shape[-1])
