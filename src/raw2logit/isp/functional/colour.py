"""White balance and colour matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.cfa import CFA, colour_sites, per_site


def balance_white(image: Tensor, gains: Tensor, cfa: CFA) -> Tensor:
    """Multiply each colour by its gain, on an image or, before demosaicing, on a mosaic.

    Args:
        image: ``(B, 3, H, W)`` image or ``(B, H, W)`` mosaic, linear.
        gains: ``(3,)``, red, green, blue.
        cfa: Colour filter array of a mosaic; not used for an image.

    Returns:
        Same shape as `image`.
    """
    if image.dim() == 4:
        return image * gains.reshape(3, 1, 1)
    sites = torch.stack([gains[channel] for channel in colour_sites(cfa)])
    return image * per_site(sites, *image.shape[-2:])


def apply_colour_matrix(image: Tensor, matrix: Tensor) -> Tensor:
    """Multiply every pixel by a 3x3 matrix.

    Args:
        image: ``(B, 3, H, W)``, linear.
        matrix: ``(3, 3)``, rows give the output's red, green, blue.

    Returns:
        ``(B, 3, H, W)``, linear.
    """
    return torch.einsum("ij,bjhw->bihw", matrix, image)
