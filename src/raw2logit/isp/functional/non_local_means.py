"""Non-local means: average the pixels whose surroundings look alike."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.errors import InputError
from raw2logit.isp.functional.borders import mirror_pad


def denoise_non_local_means(
    plane: Tensor, strength: Tensor, patch_px: int = 5, search_px: int = 6
) -> Tensor:
    """Average each pixel with those around it, each by how alike the patches about the two are.

    A. Buades, B. Coll, J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005, with
    patches whose pixels all weigh the same. Pixel q enters the average at p with the weight
    ``exp(-d / strength**2)``, where d is the mean squared difference of the two patches; p itself
    enters with weight 1. Patches and search window reach over the border by the mirror.

    The same weights as `skimage.restoration.denoise_nl_means` means to give in its fast mode,
    which however leaves out one row and one column of the patch without dividing by less, drops
    weights below exp(-5), and approximates the exponential.

    The work grows with ``search_px**2`` and hardly with the patch. The memory is that of some nine
    planes for each of the 2 search_px + 1 columns of the window; for gradients, three planes for
    each of the 2 search_px (search_px + 1) shifts are kept besides.

    Args:
        plane: ``(B, 1, H, W)`` with H and W at least 2, in any unit. Half precision is computed in
            float32.
        strength: Scalar of at least 1e-12 in the unit of the plane: patches that differ by it (root
            mean square) weigh exp(-1). 1.2 to 1.5 times the standard deviation of the noise does
            best; towards 0 the identity, towards infinity the mean over the window.
        patch_px: Side of a patch in pixels, odd.
        search_px: The window has 2 search_px + 1 pixels a side; 1 or more.

    Returns:
        ``(B, 1, H, W)`` in the type of the plane, within the range of its values.

    Raises:
        InputError: `patch_px` is even or below 1, or `search_px` is below 1.
    """
    if patch_px < 1 or patch_px % 2 == 0:
        raise InputError(f"patch_px must be odd and positive, got {patch_px}: try 5")
    if search_px < 1:
        raise InputError(f"search_px must be 1 or more, got {search_px}: try 6")
    wide = plane.float() if plane.dtype in (torch.float16, torch.bfloat16) else plane
    height, width = plane.shape[-2:]
    half_px = patch_px // 2
    pad_px = 2 * search_px + half_px
    padded = mirror_pad(wide, pad_px)
    fall = -1.0 / (patch_px * strength.to(wide.dtype)) ** 2

    # A pair of pixels serves both of them, so half of the shifts will do: those to the right in
    # the same row, and all to a row below. The shifts of a row make an axis before the columns.
    change = torch.zeros_like(wide)
    weight_sum = torch.ones_like(wide)
    for down in range(search_px + 1):
        # Pairs that have either pixel in the plane: (B, 1, rows, shifts, columns), by the first.
        leftmost = -search_px if down else 1
        rows = height + down + 2 * half_px
        columns = width + search_px - min(leftmost, 0) + 2 * half_px
        top, left = pad_px - down - half_px, pad_px - search_px - half_px
        first = padded[..., top : top + rows, None, left : left + columns]
        second = padded[..., top + down : top + down + rows, left + leftmost :]
        second = second[..., : columns + search_px - leftmost].unfold(-1, columns, 1)
        difference = second - first
        weight = torch.exp(fall * _patch_sum(difference * difference, patch_px))
        middle = difference[..., half_px : rows - half_px, :, half_px : columns - half_px]
        pull = weight * middle
        of_first = (..., slice(down, None), slice(None), slice(search_px, search_px + width))
        of_second = (..., slice(height), slice(None), slice(width))
        change = change + pull[of_first].sum(-2) - _by_second(pull)[of_second].sum(-2)
        weight_sum = weight_sum + weight[of_first].sum(-2) + _by_second(weight)[of_second].sum(-2)
    return (wide + change / weight_sum).to(plane.dtype)


def _patch_sum(pairs: Tensor, patch_px: int) -> Tensor:
    """Sum over squares; without the differences of large numbers that an integral image takes."""
    rows, columns = pairs.shape[-3] - patch_px + 1, pairs.shape[-1] - patch_px + 1
    tall = pairs[..., :rows, :, :]
    for down in range(1, patch_px):
        tall = tall + pairs[..., down : down + rows, :, :]
    total = tall[..., :columns]
    for right in range(1, patch_px):
        total = total + tall[..., right : right + columns]
    return total


def _by_second(pairs: Tensor) -> Tensor:
    """Move each shift's values from the column of the first pixel to that of the second.

    The shifts lie one column apart, so reading the same numbers with lines that are one shorter
    does it; the line of the last shift, which is the furthest to the right, stays where it is.
    """
    shifts, columns = pairs.shape[-2:]
    lines = pairs.flatten(-2)[..., shifts - 1 : -1]
    return lines.reshape(*lines.shape[:-1], shifts, columns - 1)
