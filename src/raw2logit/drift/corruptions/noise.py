"""Noise: gaussian, shot, impulse and speckle.

Each function takes views ``(B, 3, H, W)`` in [0, 1], the draws, and the constants of one strength
in the order of `constants.PUBLISHED_CONSTANTS`. Each value has noise of its own. The published
programs start from bytes and, for CIFAR-10-C, end at bytes, rounded down; here nothing is rounded.
"""

from __future__ import annotations

from torch import Tensor

from raw2logit.drift.corruptions.draws import Draws


def gaussian_noise(view: Tensor, draws: Draws, deviation: float) -> Tensor:
    """Add gaussian noise and clip. Differentiable."""
    return (view + deviation * draws.normal(*view.shape[1:])).clamp(0, 1)


def shot_noise(view: Tensor, draws: Draws, photons: float) -> Tensor:
    """Draw from a Poisson law, white being so many photons, and clip. No gradient."""
    return (draws.poisson(view.clamp_min(0) * photons) / photons).clamp(0, 1)


def impulse_noise(view: Tensor, draws: Draws, share: float) -> Tensor:
    """Set a share of the values, each channel on its own, to 0 or 1, which are equally likely.

    The others keep their gradient. One number decides on both, so that a larger share only adds to
    what a smaller one hit.
    """
    field = draws.uniform(0, 1, *view.shape[1:])
    salted = view.masked_fill(field < share / 2, 1.0)
    return salted.masked_fill(field >= 1 - share / 2, 0.0)


def speckle_noise(view: Tensor, draws: Draws, deviation: float) -> Tensor:
    """Add gaussian noise in proportion to the value and clip. Differentiable."""
    return (view + view * (deviation * draws.normal(*view.shape[1:]))).clamp(0, 1)
