"""The figure of a photon transfer curve."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from raw2logit.photon_transfer import PhotonTransfer
from raw2logit.report import _style as style
from raw2logit.report._style import text_style

_WIDTH, _HEIGHT = 6.8, 4.6
_MANY_POINTS = 2000


def transfer_curve(result: PhotonTransfer, camera_name: str) -> Figure:
    """Draw the variance against the mean of all points, and the line through them.

    Both axes are logarithmic; points at or below black have no place on them.

    Args:
        result: What was measured.
        camera_name: Goes into the title.

    Returns:
        The figure; its label describes it in words.
    """
    mean, variance = np.array(result.mean_dn), np.array(result.variance_dn2)
    shown = (mean > 0) & (variance > 0)
    gain = result.gain_dn_per_electron
    noise = (gain * result.read_noise_electrons) ** 2 + result.rounding_dn2
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=style.DPI, facecolor="white")
    axes = figure.add_axes(
        (0.75 / _WIDTH, 0.6 / _HEIGHT, (_WIDTH - 0.95) / _WIDTH, (_HEIGHT - 1.25) / _HEIGHT),
        facecolor="white",
        xscale="log",
        yscale="log",
    )
    dot, line = style.LINE_COLOURS[0], style.LINE_COLOURS[1]
    few = shown.sum() <= _MANY_POINTS
    axes.scatter(
        mean[shown],
        variance[shown],
        s=9 if few else 4,
        alpha=0.45 if few else 0.15,
        color=dot,
        linewidths=0,
        rasterized=True,
        label=f"{shown.sum()} points",
    )
    low, high = (mean[shown].min(), mean[shown].max()) if shown.any() else (1.0, 10.0)
    levels = np.geomspace(low / 1.5, high * 1.5, 200)
    axes.plot(levels, gain * levels + noise, color=line, linewidth=1.6, label="fit")
    axes.plot(
        levels,
        np.full_like(levels, noise),
        color=style.MUTED,
        linewidth=1.1,
        linestyle=style.LINE_DASHES[1],
        label="read noise and rounding",
    )
    axes.set_axisbelow(True)
    axes.grid(color=style.HAIRLINE, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(style.HAIRLINE)
    style.style_ticks(axes)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("Mean above black, DN (16 bits)", **text_style(style.LABEL_PT, style.MUTED))
    axes.set_ylabel("Variance, DN²", **text_style(style.LABEL_PT, style.MUTED))
    axes.legend(
        loc="upper left",
        facecolor="white",
        edgecolor="none",
        framealpha=1,
        prop={"family": style.FAMILY, "size": style.LABEL_PT},
        labelcolor=style.INK,
    )
    electron = f"e{style.MINUS}"
    error = result.read_noise_error
    numbers = (
        f"gain {gain:.4g} ± {result.gain_error:.2g} DN/{electron}, "
        f"read noise {result.read_noise_electrons:.3g} "
        + (f"± {error:.2g} {electron}" if error else f"{electron} (given)")
    )
    top = 1 - 0.16 / _HEIGHT
    title = f"Photon transfer curve of {camera_name}"
    figure.text(0.12 / _WIDTH, top, title, va="top", **text_style(style.TITLE_PT, bold=True))
    figure.text(
        0.12 / _WIDTH,
        top - 0.24 / _HEIGHT,
        numbers,
        va="top",
        **text_style(style.NOTE_PT, style.MUTED),
    )
    figure.set_label(f"Variance against mean of flat parts, {camera_name}: {numbers}.")
    return figure
