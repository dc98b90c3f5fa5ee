"""The published constants of the corruptions, and what lies between two severities.

Source: D. Hendrycks, T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations", ICLR 2019, and the programs that made ImageNet-C (224 x 224 px) and CIFAR-10-C
(32 x 32 px), github.com/hendrycks/robustness: ``imagenet_c/corruptions.py`` and
``create_c/make_cifar_c.py``. Constants in pixels belong to those sizes. The published programs do
not scale them to other sizes, and neither is it done here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

ConstantSet = Literal["cifar10-c", "imagenet-c"]
CONSTANT_SETS: tuple[ConstantSet, ...] = get_args(ConstantSet)
SEVERITIES = (1, 2, 3, 4, 5)

Constants = tuple[float, ...]
_Five = tuple[Constants, Constants, Constants, Constants, Constants]


class _Published(NamedTuple):
    """Constants of severities 1 to 5.

    Attributes:
        names: What each number is.
        cifar: CIFAR-10-C.
        imagenet: ImageNet-C.
    """

    names: tuple[str, ...]
    cifar: _Five
    imagenet: _Five


def _single(name: str, cifar: Constants, imagenet: Constants) -> _Published:
    """Make a row of a corruption with one constant."""
    a, b, c, d, e = cifar
    f, g, h, i, j = imagenet
    return _Published((name,), ((a,), (b,), (c,), (d,), (e,)), ((f,), (g,), (h,), (i,), (j,)))


PUBLISHED_CONSTANTS: dict[str, _Published] = {
    "gaussian_noise": _single(
        "standard deviation", (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "shot_noise": _single("photons of white", (500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),
    "impulse_noise": _single(
        "share of values", (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)
    ),
    "speckle_noise": _single(
        "relative deviation", (0.06, 0.10, 0.12, 0.16, 0.20), (0.15, 0.2, 0.35, 0.45, 0.6)
    ),
    "gaussian_blur": _single("sigma px", (0.4, 0.6, 0.7, 0.8, 1), (1, 2, 3, 4, 6)),
    # Zooms run from 1 to below the bound, by steps.
    "zoom_blur": _Published(
        ("bound", "step"),
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    "contrast": _single("factor", (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "brightness": _single("added to value", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "saturate": _Published(
        ("factor of saturation", "added to saturation"),
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    ),
    # As multiples of 32 in the one program, and of 244 (sic) in the other.
    "elastic": _Published(
        ("displacement px", "sigma px", "affine px"),
        (
            (32 * 0, 32 * 0, 32 * 0.08),
            (32 * 0.05, 32 * 0.2, 32 * 0.07),
            (32 * 0.08, 32 * 0.06, 32 * 0.06),
            (32 * 0.1, 32 * 0.04, 32 * 0.05),
            (32 * 0.1, 32 * 0.03, 32 * 0.03),
        ),
        (
            (244 * 2, 244 * 0.7, 244 * 0.1),
            (244 * 2, 244 * 0.08, 244 * 0.2),
            (244 * 0.05, 244 * 0.01, 244 * 0.02),
            (244 * 0.07, 244 * 0.01, 244 * 0.02),
            (244 * 0.12, 244 * 0.01, 244 * 0.02),
        ),
    ),
    "defocus_blur": _Published(
        ("radius px", "sigma of the disc's edge px"),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "glass_blur": _Published(
        ("sigma px", "reach px", "passes"),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": _Published(
        ("radius px", "sigma px"),
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "fog": _Published(
        ("amount", "decay"),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    # The third is the scale at which a picture of frost is shown.
    "frost": _Published(
        ("factor of the view", "factor of the frost", "scale"),
        ((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    ),
    "snow": _Published(
        ("mean", "deviation", "zoom", "threshold", "radius px", "sigma px", "factor of the view"),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "spatter": _Published(
        ("mean", "deviation", "sigma px", "threshold", "amount or sigma px", "mud, not water"),
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
    ),
    "jpeg": _single("quality", (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
    "pixelate": _single("scale", (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
}


def published(name: str, severity: int, constants: ConstantSet) -> Constants:
    """Return the published numbers of a corruption.

    Args:
        name: A key of `PUBLISHED_CONSTANTS`.
        severity: 1 to 5.
        constants: Which program they are from.
    """
    row = PUBLISHED_CONSTANTS[name]
    return (row.cifar if constants == "cifar10-c" else row.imagenet)[severity - 1]


def between(name: str, strength: float, constants: ConstantSet, identity: Constants) -> Constants:
    """Interpolate the numbers of a corruption linearly between two severities.

    Photons are interpolated in their reciprocal, for it is the variance.

    Args:
        name: A key of `PUBLISHED_CONSTANTS`.
        strength: Above 0, at most 5; whole numbers are the published severities.
        constants: Which program they are from.
        identity: The numbers at strength 0, where the corruption changes nothing; NaN: that of
            severity 1.
    """
    low = min(int(strength), SEVERITIES[-1] - 1)
    upper = published(name, low + 1, constants)
    if strength == low + 1:
        return upper
    lower = published(name, low, constants) if low else identity
    share = strength - low
    if name == "shot_noise":
        return (1 / ((1 - share) / lower[0] + share / upper[0]),)
    return tuple(b if a != a else a + share * (b - a) for a, b in zip(lower, upper, strict=True))
