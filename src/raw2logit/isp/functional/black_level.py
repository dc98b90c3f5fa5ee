"""Black level and white level."""

from __future__ import annotations

from torch import Tensor

from raw2logit.cfa import per_site
from raw2logit.isp.functional.borders import require_even


def subtract_black_level(
    mosaic: Tensor, black_level: Tensor, white_level: Tensor | None = None
) -> Tensor:
    """Move the black level to 0 and, where a white level is known, saturation to 1.

    Args:
        mosaic: ``(B, H, W)``, fraction of full scale, even H and W.
        black_level: ``(4,)``, fraction of full scale, one value a CFA site in row order.
        white_level: Scalar, fraction of full scale; None: divide by 1.

    Returns:
        ``(B, H, W)``, linear; noise around black stays negative.

    Raises:
        InputError: H or W is odd.
    """
    require_even(mosaic)
    scale = None if white_level is None else 1.0 / (white_level - black_level)
    height, width = mosaic.shape[-2:]
    signal = mosaic - per_site(black_level, height, width)
    return signal if scale is None else signal * per_site(scale, height, width)
