"""Total variation denoising."""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.errors import InputError

_STEP = 0.25
"""Step of the dual ascent, 1 / (2 axes), as in scikit-image; Chambolle proves it for 1/8."""


def denoise_total_variation(plane: Tensor, weight: Tensor, iterations: int = 20) -> Tensor:
    """Move towards the plane u of least TV(u) + |u - plane|^2 / (2 weight).

    A. Chambolle, "An algorithm for total variation minimization and applications", Journal of
    Mathematical Imaging and Vision 20, 2004, with as many iterations for every plane. TV is the
    sum of the lengths of the gradient, by forward differences that are zero past the border,
    which repeats the edge pixel: the variation there is that of the plane alone.

    The number of iterations is part of the filter, not its accuracy alone, for convergence is
    slow: after n of them the distance to the minimum falls about as 1 / sqrt(n). On photographs
    in linear light of range [0, 1] with a weight of 0.01, which changes them by 0.003 to 0.012
    (root mean square), 20 iterations come within 5 to 24 percent of that change, 50 within 3 to
    17, 200 within 1 to 9. The default takes the cheap part; heavier weights need more.

    Args:
        plane: ``(B, 1, H, W)``, linear light of any range. Half precision is computed in float32.
        weight: Positive scalar in units of the plane: a large flat region of n pixels with a
            border of m pixels moves by weight m / n towards its surroundings.
        iterations: Counted as ``max_num_iter`` of ``skimage.restoration.denoise_tv_chambolle``,
            of which n make n - 1 steps: 1 is the identity. The gradient needs the memory of seven
            planes an iteration.

    Returns:
        ``(B, 1, H, W)``, of the plane's type. The mean of a plane is kept.

    Raises:
        InputError: There is no iteration.
    """
    if iterations < 1:
        raise InputError(f"iterations={iterations}: at least 1 is needed")
    values = plane.to(torch.promote_types(plane.dtype, torch.float32))
    # In units of weight / step the update is (dual - step gradient) / (1 + |gradient|).
    scale = _STEP / weight.to(values)
    scaled = current = values * scale
    down = right = torch.zeros_like(values)
    # A squared length below this leaves 1 + length at 1; the root then has a finite slope.
    least = (torch.finfo(values.dtype).eps / 4) ** 2
    for _ in range(iterations - 1):
        slope_down = torch.diff(current, dim=-2, append=current[..., -1:, :])
        slope_right = torch.diff(current, dim=-1, append=current[..., -1:])
        square = torch.addcmul(slope_down * slope_down, slope_right, slope_right)
        shrink = (square.clamp_min(least).sqrt() + 1).reciprocal()
        down = torch.sub(down, slope_down, alpha=_STEP) * shrink
        right = torch.sub(right, slope_right, alpha=_STEP) * shrink
        current = scaled - _backward_difference(down, -2) - _backward_difference(right, -1)
    return (values + (current - scaled) / scale).to(plane.dtype)


def _backward_difference(dual: Tensor, axis: int) -> Tensor:
    # Minus the transpose of the forward difference: the dual is zero before the first pixel and,
    # because the slope is zero there, on the last one.
    return torch.diff(dual, dim=axis, prepend=torch.zeros_like(dual.narrow(axis, 0, 1)))
