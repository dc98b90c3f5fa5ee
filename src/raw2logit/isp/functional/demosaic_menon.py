"""Demosaicing with directional filtering and an a posteriori decision (DDFAPD), with refinement.

D. Menon, S. Andriani, G. Calvagno, "Demosaicing with directional filtering and a posteriori
decision", IEEE Transactions on Image Processing 16(1), 2007.

The red and the blue samples of a Bayer mosaic are two lattices that see the same surroundings:
green samples to the right and below, the other lattice on the diagonal. So every plane here is a
pair, ``(2, B, rows, columns)``, one for each lattice, and has values only at the sites that need
them. A plane lies on one of four kinds of site, from a lattice's own site ``(i, j)``: there
(own), at ``(i, j + 1/2)`` (right), ``(i + 1/2, j)`` (below) or ``(i + 1/2, j + 1/2)`` (diagonal).
The mosaic is mirrored once, and each step returns the smaller plane that it is sure of.

All that the paper interpolates after its decision is linear in the colour difference
``D = sampled colour - green`` at own sites, and green samples keep their value:

- Red and blue at green sites: green plus the mean of the two neighbouring D.
- Refined D: mean of three along the decided direction, whose outer two are such means.
- Red minus blue at green sites: the mean D of the two red neighbours minus that of the two blue.
- Blue at red sites and red at blue ones: the sampled colour minus the mean of three "red minus
  blue" along the decided direction, the middle one of which comes from the unrefined D.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raw2logit.cfa import CFA, colour_sites
from raw2logit.isp.functional.borders import mirror_pad, require_even

_MARGIN_PX = 10
"""The reach of 8 px, and one cell more as the second lattice begins and ends a pixel later."""

_GREEN = 1
_ROWS, _COLUMNS = -2, -1


def demosaic_menon(mosaic: Tensor, cfa: CFA, *, refine: bool = True) -> Tensor:
    """Interpolate green along the direction that leaves the smoother colour difference.

    At each red and blue sample the direction is horizontal where the colour difference varies
    vertically at least as much, so that a tie is horizontal. A pixel depends on the mosaic up to
    8 px away; beyond its borders the mosaic is mirrored.

    Args:
        mosaic: ``(B, H, W)``, linear, even H and W.
        cfa: Colour filter array of the mosaic.
        refine: Run the paper's refining step, which filters the colour differences once more.

    Returns:
        ``(B, 3, H, W)``, linear; samples keep their value at their own site. Differentiable
        wherever the decision does not tie; no gradient passes through the decision itself.

    Raises:
        InputError: H or W is odd.
    """
    require_even(mosaic)
    start = 1 if colour_sites(cfa)[0] == _GREEN else 0
    own, right, below = _sample(mirror_pad(mosaic[:, None], _MARGIN_PX)[:, 0], start)

    in_row = _directional_difference(own, right, _COLUMNS)
    in_column = _directional_difference(own, below, _ROWS)
    horizontal = _decide(in_row.detach(), in_column.detach())
    difference = torch.lerp(_crop(in_column, 1, 2), _crop(in_row, 2, 1), horizontal) / 4

    refined = unrefined = _crop(difference, 1, 1)
    if refine:
        along = _neighbours_along(_crop(horizontal, 1, 1), difference)
        refined = torch.add(along, unrefined, alpha=4) / 6
    six_to_other = _six_to_other(torch.add(refined, unrefined, alpha=0.5), horizontal)

    own, right, below = (_crop(samples, 4, 4) for samples in (own, right, below))
    green = own - _crop(refined, 1, 1)
    other = torch.sub(own, six_to_other, alpha=1 / 6)
    at_right = torch.add(right, _pair_sums(refined[..., 1:-1, 1:], _COLUMNS), alpha=0.5)
    at_below = torch.add(below, _pair_sums(refined[..., 1:, 1:-1], _ROWS), alpha=0.5)

    # By channel, row and column of the first pixel, counted from 2 px above and left of the image.
    planes = {(_GREEN, 0, start + 1): right[0], (_GREEN, 1, start): below[0]}
    first = colour_sites(cfa)[start]
    for lattice, channel in enumerate((first, 2 - first)):
        row, column = lattice, start + lattice
        planes[channel, row, column] = own[lattice]
        planes[_GREEN, row, column] = green[lattice]
        planes[2 - channel, row, column] = other[lattice]
        planes[channel, row, column + 1] = at_right[lattice]
        planes[channel, row + 1, column] = at_below[lattice]
    return _interleave(planes, mosaic.shape[-2], mosaic.shape[-1])


def _sample(padded: Tensor, start: int) -> list[Tensor]:
    """Return the samples at own, right and below sites of both lattices.

    The first lattice begins at column `start` of row 0, the second one pixel down and right.
    """
    rows, columns = padded.shape[-2] - 2, padded.shape[-1] - 2

    def every_second(row: int, column: int) -> Tensor:
        return padded[:, row : row + rows - 1 : 2, column : column + columns - 1 : 2]

    return [
        torch.stack([every_second(row, start + column), every_second(row + 1, start + column + 1)])
        for row, column in ((0, 0), (0, 1), (1, 0))
    ]


def _pair_sums(plane: Tensor, axis: int) -> Tensor:
    """Sum each two neighbours along an axis: the result lies between them."""
    length = plane.shape[axis] - 1
    return plane.narrow(axis, 0, length) + plane.narrow(axis, 1, length)


def _gradient(plane: Tensor, axis: int) -> Tensor:
    """Return how much each two neighbours differ: the result lies between them."""
    length = plane.shape[axis] - 1
    return (plane.narrow(axis, 0, length) - plane.narrow(axis, 1, length)).abs()


def _crop(plane: Tensor, rows: int, columns: int) -> Tensor:
    """Drop as many rows and columns on each side."""
    return plane.narrow(_ROWS, rows, plane.shape[_ROWS] - 2 * rows).narrow(
        _COLUMNS, columns, plane.shape[_COLUMNS] - 2 * columns
    )


def _from_other(diagonal: Tensor) -> Tensor:
    """Exchange the lattices: a diagonal site of the one is an own site of the other."""
    return torch.stack([diagonal[1, ..., :-1, :-1], diagonal[0, ..., 1:, 1:]])


def _neighbours_along(horizontal: Tensor, plane: Tensor) -> Tensor:
    """Sum the two next own sites in the decided direction."""
    rows, columns = plane[..., 1:-1, :], plane[..., 1:-1]
    return torch.lerp(
        columns[..., :-2, :] + columns[..., 2:, :], rows[..., :-2] + rows[..., 2:], horizontal
    )


def _six_to_other(mixed: Tensor, horizontal: Tensor) -> Tensor:
    """Return six times (sampled colour - colour of the other lattice) at own sites.

    That is the mean of three, in terms of `mixed`, the refined D plus half the unrefined one: what
    the lattice has on the line of the decided direction, minus what the other lattice has on the
    four diagonals, which is the same for both directions.
    """
    line = torch.add(_neighbours_along(_crop(horizontal, 2, 2), mixed), _crop(mixed, 1, 1), alpha=2)
    return line - _from_other(_pair_sums(_pair_sums(mixed, _ROWS), _COLUMNS))


def _directional_difference(own: Tensor, green: Tensor, axis: int) -> Tensor:
    """Interpolate green along an axis and return four times (sampled colour - green).

    The paper's filter, green ``(0.5 0 0.5)`` and sampled colour ``(-0.25 0 0.5 0 -0.25)``, is two
    sums of two over the second differences at green sites.
    """
    between = green.narrow(axis, 0, green.shape[axis] - 1)
    return _pair_sums(torch.sub(_pair_sums(own, axis), between, alpha=2), axis)


def _decide(in_row: Tensor, in_column: Tensor) -> Tensor:
    """Return 1 where the direction is horizontal, else 0.

    The paper's classifier compares two sums over 5x5 px. One is of the horizontal gradients of
    the horizontally interpolated difference, each at the green pixel that it spans, weighted ::

        . 1 . 1 .
        . . 1 . .      the middle column belongs to the other lattice
        . 3 . 3 .
        . . 1 . .
        . 1 . 1 .

    and the other, transposed, is of the vertical ones. Their difference is summed in steps: two
    vertical minus two horizontal gradients at diagonal sites; four of these around the site,
    which leave 1 of each 3, and the other lattice's at the site.
    """
    across, down = _gradient(in_row, _COLUMNS), _gradient(in_column, _ROWS)
    rougher_down = _crop(_pair_sums(down, _COLUMNS), 0, 1) - _crop(_pair_sums(across, _ROWS), 1, 0)
    margin = (
        _pair_sums(_pair_sums(rougher_down, _ROWS), _COLUMNS)
        + _from_other(rougher_down)
        + _crop(_pair_sums(down, _ROWS), 0, 2)
        - _crop(_pair_sums(across, _COLUMNS), 2, 0)
    )
    return margin.sign().add(1).clamp(max=1)  # 0 below 0, else 1, and no conversion of a mask


def _interleave(planes: dict[tuple[int, int, int], Tensor], height: int, width: int) -> Tensor:
    """Cut the image out of its 3x4 planes and put them together: ``(B, 3, H, W)``."""
    rows, columns = height // 2, width // 2
    cells = {
        (channel, row % 2, column % 2): plane.narrow(_ROWS, 1 - row // 2, rows).narrow(
            _COLUMNS, 1 - column // 2, columns
        )
        for (channel, row, column), plane in planes.items()
    }
    even, odd = (
        torch.stack([cells[channel, row, column] for channel in range(3) for row in (0, 1)], dim=1)
        .reshape(-1, 3, 2, rows, columns)
        .transpose(2, 3)
        for column in (0, 1)
    )
    return torch.stack([even, odd], dim=-1).reshape(-1, 3, height, width)
