"""The line through the points of a photon transfer curve."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from raw2logit._transfer_points import FloatArray, Points
from raw2logit.errors import InputError

_CUTOFF = 4.685
"""Of Tukey's biweight, in standard deviations: 95 % efficient where errors are normal."""
_MAX_NOISE_OF_LEVELS = 0.01
"""Share of their own noise in the spread of the levels; the slope is too flat by about as much."""
_MAX_STEPS = 100


class Line(NamedTuple):
    """Variance against mean, with standard errors."""

    gain: float
    dark: float
    """Variance at black, that of rounding left out."""
    gain_error: float
    dark_error: float
    square_error: float
    """Of the squared read noise."""
    scatter: float
    """Spread of the points about the line, in units of what their number of samples gives them."""


def fit_line(points: Points, rounding: float, read_noise: float | None) -> Line:
    """Lay a line through the points, robust against some that lie off it.

    Args:
        points: At least one.
        rounding: Variance of rounding to digital numbers.
        read_noise: In electrons, if known; else it is fitted.

    Raises:
        InputError: The levels do not differ, or the line does not rise.
    """
    mean, variance, samples = points
    # Until the line tells the variance to expect, that of each point does; but a stuck part of a
    # picture has next to none, and would outweigh all others.
    bright = mean >= mean.mean()
    typical = np.median(variance[bright] / np.maximum(mean[bright], 1))
    expected = np.maximum(np.maximum(variance, typical * mean / 2), rounding)
    trust = np.ones_like(mean)
    before, scatter = math.inf, 1.0
    for _ in range(_MAX_STEPS):
        # By the variance that is expected: by the measured one, low outcomes would weigh more.
        weights = trust * samples / (2 * expected**2) / max(scatter, 1) ** 2
        if read_noise is None:
            line = _free_line(mean, variance - rounding, weights, expected / samples)
        else:
            line = _line_from(read_noise, mean, variance - rounding, weights)
        expected = np.maximum(line.gain * mean + line.dark + rounding, rounding)
        off = (variance - expected) / (expected * np.sqrt(2 / samples))
        scatter = 1.4826 * float(np.median(np.abs(off)))
        trust = np.clip(1 - (off / (_CUTOFF * max(scatter, 1))) ** 2, 0, 1) ** 2
        if abs(line.gain - before) < 1e-9 * line.gain:
            break
        before = line.gain
    return line._replace(scatter=scatter)


def _free_line(
    mean: FloatArray, variance: FloatArray, weights: FloatArray, noise_of_mean: FloatArray
) -> Line:
    """Return the weighted least squares line."""
    total = weights.sum()
    middle, height = (weights * mean).sum() / total, (weights * variance).sum() / total
    spread = (weights * (mean - middle) ** 2).sum()
    # Levels that differ by their own noise alone would give a slope, but not that of the gain.
    if not (weights * noise_of_mean).sum() < _MAX_NOISE_OF_LEVELS * spread:
        raise InputError(
            f"levels from {mean.min():.0f} to {mean.max():.0f} digital numbers differ too little "
            "to tell the gain: add pictures of other levels, or give the read noise (--read-noise)"
        )
    gain = float((weights * (mean - middle) * (variance - height)).sum() / spread)
    _require_growth(gain)
    dark = float(height - gain * middle)
    of_gain = 1 / spread
    of_dark = 1 / total + middle**2 * of_gain
    # The squared read noise is (height - gain middle) / gain^2.
    of_square = (1 / total + (middle + 2 * dark / gain) ** 2 * of_gain) / gain**4
    return Line(gain, dark, math.sqrt(of_gain), math.sqrt(of_dark), math.sqrt(of_square), 1.0)


def _line_from(
    read_noise: float, mean: FloatArray, variance: FloatArray, weights: FloatArray
) -> Line:
    """Return the line whose variance at black is that of a known read noise."""
    gain = (weights * mean * variance).sum() / (weights * mean**2).sum()
    error = math.inf
    for _ in range(_MAX_STEPS):  # Gauss-Newton
        _require_growth(gain)
        slope = mean + 2 * gain * read_noise**2
        error = (weights * slope**2).sum() ** -0.5
        left = variance - gain * mean - (gain * read_noise) ** 2
        gain += (weights * slope * left).sum() * error**2
    return Line(float(gain), float(gain * read_noise) ** 2, float(error), 0.0, 0.0, 1.0)


def _require_growth(gain: float) -> None:
    if not gain > 0:
        raise InputError(
            "the variance does not grow with the level, as photon noise does: give raw pictures, "
            "neither denoised nor averaged, of different levels"
        )
