"""Elastic deformation: a random affine map, then a random field of displacements."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raw2logit.drift.corruptions import filters
from raw2logit.drift.corruptions.draws import Draws


def elastic(
    view: Tensor, draws: Draws, displacement_px: float, sigma_px: float, affine_px: float
) -> Tensor:
    """Move three points by up to `affine_px` a coordinate, then every pixel by a smooth field.

    As published: bilinear twice, first mirrored without the edge pixel, then with it; the field is
    uniform noise, filtered with a gaussian that is truncated at 3 sigma, times `displacement_px`.
    The three points lie a third of the shorter side around the middle. (The published program
    takes height for width there, which are equal in its images, and OpenCV rounds the first
    sampling to a 32nd of a pixel; neither is followed.) Differentiable.

    Args:
        view: ``(B, 3, H, W)`` in [0, 1].
        draws: Its random numbers.
        displacement_px: Of the field before it is filtered.
        sigma_px: Of the filter.
        affine_px: Largest move of a point.
    """
    height, width = view.shape[-2:]
    moves = affine_px * draws.uniform(-1, 1, 3, 2)
    columns, rows = affine_sources(moves, height, width)
    moved = _sample(view, columns, rows, edge_twice=False)
    fields = draws.uniform(-1, 1, 2, height, width)
    fields = filters.gaussian(fields, sigma_px, border="reflect", truncate=3.0) * displacement_px
    across = torch.arange(width, dtype=view.dtype, device=view.device)
    down = torch.arange(height, dtype=view.dtype, device=view.device)[:, None]
    return _sample(moved, across + fields[:, 0], down + fields[:, 1], edge_twice=True).clamp(0, 1)


def affine_sources(moves: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return where each pixel comes from under the map that moves three points.

    Args:
        moves: ``(B, 3, 2)``, across and down, of the points right below, right above and left
            above the middle.
        height: Of the view.
        width: Of the view.

    Returns:
        Columns and rows, ``(B, H, W)``.
    """
    centre = moves.new_tensor([width // 2, height // 2]).double()
    arm = min(height, width) // 3
    corners = moves.new_tensor([[1, 1], [1, -1], [-1, -1]]).double() * arm
    target = corners + moves.double()
    # point = centre + corners' linear map, whose two edges are known before and after.
    edges = torch.stack([corners[0] - corners[1], corners[1] - corners[2]], dim=1)
    moved = torch.stack([target[:, 0] - target[:, 1], target[:, 1] - target[:, 2]], dim=2)
    forward = moved @ torch.linalg.inv(edges)
    (a, b), (c, d) = forward.unbind(1)[0].unbind(1), forward.unbind(1)[1].unbind(1)
    determinant = a * d - b * c
    # Three points on a line have no inverse; OpenCV shows one pixel then.
    scale = torch.where(determinant == 0, 0.0, 1 / determinant)[:, None, None]
    a, b, c, d = (value[:, None, None] for value in (a, b, c, d))
    shift = target[:, 0] - torch.einsum("bij,j->bi", forward, corners[0])
    across = torch.arange(width, device=moves.device).double() - centre[0] - shift[:, :1, None]
    down = torch.arange(height, device=moves.device).double()[:, None] - centre[1]
    down = down - shift[:, 1:, None]
    columns = centre[0] + scale * (d * across - b * down)
    rows = centre[1] + scale * (a * down - c * across)
    return columns.to(moves.dtype), rows.to(moves.dtype)


def _sample(view: Tensor, columns: Tensor, rows: Tensor, *, edge_twice: bool) -> Tensor:
    """Read at ``(B, H, W)`` places, bilinearly; mirror with the edge pixel `edge_twice` or once."""
    height, width = view.shape[-2:]
    if edge_twice:
        grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)
    else:
        grid = torch.stack([2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1], dim=-1)
    return F.grid_sample(
        view, grid, mode="bilinear", padding_mode="reflection", align_corners=not edge_twice
    )
