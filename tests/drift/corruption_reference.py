"""Corruptions of one image, by numpy, scipy, scikit-image and Pillow: what ours must equal.

Images are ``(H, W, 3)`` in [0, 1]. Random numbers come from `Fields`, so that they can be the very
ones that ours drew, or numpy's. Where the published program uses OpenCV or ImageMagick, their
arithmetic is written out in numpy.
"""

import io
import math
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, signal
from skimage import color, filters, transform, util

from raw2logit.drift.corruptions.frost_plates import PLATES, frost_plate

Array = NDArray[Any]


class Fields(Protocol):
    """Random numbers of one image."""

    def normal(self, *shape: int) -> Array: ...

    def uniform(self, low: float, high: float, *shape: int) -> Array: ...

    def integers(self, low: int, high: int, *shape: int) -> Array: ...

    def generator(self) -> np.random.Generator: ...


class NumpyFields:
    """Random numbers as numpy draws them."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def normal(self, *shape: int) -> Array:
        return self._random.normal(size=shape)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        return self._random.uniform(low, high, shape)

    def integers(self, low: int, high: int, *shape: int) -> Array:
        return self._random.integers(low, high, shape)

    def generator(self) -> np.random.Generator:
        return self._random


def gaussian_noise(image: Array, fields: Fields, deviation: float) -> Array:
    field = fields.normal(3, *image.shape[:2]).transpose(1, 2, 0)
    return np.clip(image + deviation * field, 0, 1)


def shot_noise(image: Array, fields: Fields, photons: float) -> Array:
    return np.clip(fields.generator().poisson(image * photons) / photons, 0, 1)


def impulse_noise(image: Array, fields: Fields, share: float) -> Array:
    return util.random_noise(image, mode="s&p", rng=fields.generator(), amount=share)


def speckle_noise(image: Array, fields: Fields, deviation: float) -> Array:
    field = fields.normal(3, *image.shape[:2]).transpose(1, 2, 0)
    return np.clip(image + image * deviation * field, 0, 1)


def blurred(
    image: Array,
    sigma: float,
    mode: Literal["nearest", "reflect"] = "nearest",
    truncate: float = 4.0,
) -> Array:
    axis = -1 if image.ndim == 3 else None
    return filters.gaussian(image, sigma, mode=mode, truncate=truncate, channel_axis=axis)


def gaussian_blur(image: Array, _: Fields, sigma: float) -> Array:
    return np.clip(blurred(image, sigma), 0, 1)


def clipped_zoom(image: Array, factor: float) -> Array:
    places = []
    for side in image.shape[:2]:
        cut = math.ceil(side / factor)
        places.append(slice((side - cut) // 2, (side - cut) // 2 + cut))
    factors = (factor, factor, 1)[: image.ndim]
    # With the mode "constant" of the published program, the last row or column may be black: its
    # place comes out a rounding error beyond the image.
    large = ndimage.zoom(image[tuple(places)], factors, order=1, mode="nearest")
    trims = [
        slice((new - side) // 2, (new - side) // 2 + side)
        for new, side in zip(large.shape[:2], image.shape[:2], strict=True)
    ]
    return large[tuple(trims)]


def zoom_blur(image: Array, _: Fields, bound: float, step: float) -> Array:
    factors = np.arange(1, bound, step)
    out = np.zeros_like(image)
    for factor in factors:
        out += clipped_zoom(image, factor)
    return np.clip((image + out) / (len(factors) + 1), 0, 1)


def contrast(image: Array, _: Fields, factor: float) -> Array:
    means = image.mean(axis=(0, 1), keepdims=True)
    return np.clip((image - means) * factor + means, 0, 1)


def brightness(image: Array, _: Fields, added: float) -> Array:
    hsv = color.rgb2hsv(image)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    return np.clip(color.hsv2rgb(hsv), 0, 1)


def saturate(image: Array, _: Fields, factor: float, added: float) -> Array:
    hsv = color.rgb2hsv(image)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + added, 0, 1)
    return np.clip(color.hsv2rgb(hsv), 0, 1)


def elastic(
    image: Array, random: Fields, displacement: float, sigma: float, affine: float
) -> Array:
    height, width = image.shape[:2]
    centre = np.array([width // 2, height // 2], dtype=float)
    before = centre + min(height, width) // 3 * np.array([[1, 1], [1, -1], [-1, -1]])
    after = before + affine * random.uniform(-1, 1, 3, 2)
    one = np.ones((3, 1))
    matrix = np.eye(3)
    matrix[:2] = np.linalg.solve(np.hstack([before, one]), after).T
    moved = transform.warp(
        image, transform.AffineTransform(matrix=np.linalg.inv(matrix)), order=1, mode="reflect"
    )
    dx, dy = (
        blurred(field, sigma, mode="reflect", truncate=3) * displacement if sigma else field * 0
        for field in random.uniform(-1, 1, 2, height, width)
    )
    rows, columns = np.mgrid[:height, :width]
    planes = [
        ndimage.map_coordinates(plane, (rows + dy, columns + dx), order=1, mode="reflect")
        for plane in moved.transpose(2, 0, 1)
    ]
    return np.clip(np.stack(planes, axis=-1), 0, 1)


def defocus_blur(image: Array, _: Fields, radius: float, edge: float) -> Array:
    reach = 8 if radius <= 8 else int(radius)
    place = np.arange(-reach, reach + 1)
    columns, rows = np.meshgrid(place, place)
    disc = (columns**2 + rows**2 <= radius**2).astype(float)
    disc /= disc.sum()
    taps = 1 if radius <= 8 else 2
    # scipy's "mirror" is numpy's "reflect" and OpenCV's reflect-101.
    disc = ndimage.gaussian_filter(disc, edge, mode="mirror", radius=taps)
    planes = [
        signal.fftconvolve(np.pad(plane, reach, mode="reflect"), disc, mode="valid")
        for plane in image.transpose(2, 0, 1)
    ]
    return np.clip(np.stack(planes, axis=-1), 0, 1)


def motion(image: Array, radius: float, sigma: float, angle: float) -> Array:
    width = 2 * math.ceil(radius) + 1
    kernel = [math.exp(-(tap**2) / (2 * sigma**2)) for tap in range(width)]
    rows, columns = image.shape[:2]
    padded = np.pad(image, [(width, width)] * 2 + [(0, 0)] * (image.ndim - 2), mode="edge")
    out = np.zeros_like(image)
    for tap, weight in enumerate(kernel):
        across = width + math.ceil(tap * math.cos(math.radians(angle)) - 0.5)
        down = width + math.ceil(tap * math.sin(math.radians(angle)) - 0.5)
        out += weight * padded[down : down + rows, across : across + columns]
    return out / sum(kernel)


def motion_blur(image: Array, fields: Fields, radius: float, sigma: float) -> Array:
    return np.clip(motion(image, radius, sigma, float(fields.uniform(-45, 45))), 0, 1)


def glass_blur(image: Array, fields: Fields, sigma: float, reach: int, passes: int) -> Array:
    height, width = image.shape[:2]
    x = np.uint8(blurred(image, sigma) * 255 + 1e-3)
    for _ in range(passes):
        offsets = fields.integers(-reach, reach, 2, height, width).transpose(1, 2, 0).tolist()
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                dx, dy = offsets[h][w]
                # numpy gives views, so that this does not swap: it copies.
                x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    return np.clip(blurred(x / 255.0, sigma), 0, 1)


def plasma(field: Array, decay: float) -> Array:
    size = len(field)
    cloud = np.zeros((size, size))
    step, wobble = size, 100.0
    while step >= 2:
        half = step // 2
        noise = wobble**2 * field
        corner = cloud[::step, ::step]
        middle = corner + np.roll(corner, -1, axis=0)
        middle = (middle + np.roll(middle, -1, axis=1)) / 4 + noise[half::step, half::step]
        cloud[half::step, half::step] = middle
        cloud[::step, half::step] = (
            middle + np.roll(middle, 1, axis=0) + corner + np.roll(corner, -1, axis=1)
        ) / 4 + noise[::step, half::step]
        cloud[half::step, ::step] = (
            middle + np.roll(middle, 1, axis=1) + corner + np.roll(corner, -1, axis=0)
        ) / 4 + noise[half::step, ::step]
        step, wobble = half, wobble / decay
    cloud -= cloud.min()
    return cloud / cloud.max()


def plasma_by_cells(field: Array, decay: float) -> Array:
    """Diamonds and squares, a cell at a time: slow, and plain to see."""
    size = len(field)
    cloud = np.zeros((size, size))
    step, wobble = size, 100.0

    def fill(row: int, column: int, around: list[tuple[int, int]]) -> None:
        mean = sum(cloud[r % size, c % size] for r, c in around) / 4
        cloud[row, column] = mean + wobble**2 * field[row, column]

    while step >= 2:
        half = step // 2
        places = [(r, c) for r in range(0, size, step) for c in range(0, size, step)]
        for r, c in places:
            corners = [(r, c), (r + step, c), (r, c + step), (r + step, c + step)]
            fill(r + half, c + half, corners)
        for r, c in places:
            fill(r, c + half, [(r - half, c + half), (r + half, c + half), (r, c), (r, c + step)])
            fill(r + half, c, [(r + half, c - half), (r + half, c + half), (r, c), (r + step, c)])
        step, wobble = half, wobble / decay
    cloud -= cloud.min()
    return cloud / cloud.max()


def fog(image: Array, fields: Fields, amount: float, decay: float) -> Array:
    height, width = image.shape[:2]
    size = 2 ** math.ceil(math.log2(max(height, width)))
    cloud = plasma(fields.uniform(-1, 1, size, size), decay)[:height, :width, None]
    peak = image.max()
    return np.clip((image + amount * cloud) * peak / (peak + amount), 0, 1)


def frost(image: Array, fields: Fields, keep: float, amount: float, scale: float) -> Array:
    number = int(fields.integers(0, PLATES, 1)[0])
    pane = frost_plate(number, scale).permute(1, 2, 0).numpy()
    side = len(pane)
    more = [(0, max(0, length - side)) for length in image.shape[:2]]
    pane = np.pad(pane, [*more, (0, 0)], mode="symmetric")
    top, left = (
        int(place * (max(0, side - length) + 1))
        for place, length in zip(fields.uniform(0, 1, 2), image.shape[:2], strict=True)
    )
    pane = pane[top : top + image.shape[0], left : left + image.shape[1]]
    return np.clip(keep * image * 255 + amount * pane, 0, 255) / 255


def snow(image: Array, fields: Fields, *constants: float) -> Array:
    mean, deviation, factor, threshold, radius, sigma, keep = constants
    layer = clipped_zoom(mean + deviation * fields.normal(*image.shape[:2]), factor)
    layer[layer < threshold] = 0
    layer = (np.clip(layer, 0, 1) * 255).astype(np.uint8).astype(float)
    layer = motion(layer, radius, sigma, float(fields.uniform(-135, -45)))
    layer = np.round(layer)[..., None] / 255
    grey = image @ np.array([0.299, 0.587, 0.114])
    white = keep * image + (1 - keep) * np.maximum(image, grey[..., None] * 1.5 + 0.5)
    return np.clip(white + layer + np.rot90(layer, k=2), 0, 1)


def canny(picture: Array) -> Array:
    """OpenCV's Canny, thresholds 50 and 150, on whole numbers."""
    around = np.pad(picture, 1, mode="edge").astype(int)
    dx = ndimage.correlate(around, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]))[1:-1, 1:-1]
    dy = ndimage.correlate(around, np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]))[1:-1, 1:-1]
    size = np.pad(abs(dx) + abs(dy), 1)
    r, c = np.nonzero(size[1:-1, 1:-1] > 50)
    m, x, y = size[r + 1, c + 1], abs(dx[r, c]), abs(dy[r, c]) << 15
    low = x * 13573
    sign = np.where(dx[r, c] * dy[r, c] < 0, -1, 1)
    level = (m > size[r + 1, c]) & (m >= size[r + 1, c + 2])
    steep = (m > size[r, c + 1]) & (m >= size[r + 2, c + 1])
    slant = (m > size[r, c + 1 - sign]) & (m > size[r + 2, c + 1 + sign])
    kept = np.where(y < low, level, np.where(y > low + (x << 16), steep, slant))
    ridge = np.zeros(picture.shape, dtype=bool)
    ridge[r, c] = kept
    labels, _ = ndimage.label(ridge, structure=np.ones((3, 3)))
    strong = np.unique(labels[ridge & (size[1:-1, 1:-1] > 150)])
    return np.isin(labels, strong)


def spatter(image: Array, fields: Fields, *constants: float) -> Array:
    mean, deviation, sigma, threshold, amount, mud = constants
    liquid = blurred(mean + deviation * fields.normal(*image.shape[:2]), sigma)
    if mud:
        cover = blurred((liquid > threshold).astype(float), amount)
        cover[cover < 0.8] = 0
        colour = np.array([63, 42, 20]) / 255
        return np.clip(image * (1 - cover[..., None]) + colour * cover[..., None], 0, 1)
    liquid[liquid < threshold] = 0
    drops = (liquid * 255).astype(int) % 256
    edges = canny(drops)
    far = np.full(edges.shape, 20.0)
    distance = ndimage.distance_transform_edt(~edges).clip(max=20) if edges.any() else far
    box = np.ones((3, 3))
    levels = np.floor(ndimage.correlate(distance, box, mode="mirror") / 9 + 1e-3).astype(int)
    counts = np.bincount(levels.ravel(), minlength=256)
    first = int(np.flatnonzero(counts)[0])
    if counts[first] < counts.sum():
        counts[first] = 0
        levels = np.round(counts.cumsum() * 255 / counts.sum()).astype(int)[levels]
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = ndimage.correlate(levels, emboss, mode="mirror").clip(0, 255)
    shade = drops * np.round(ndimage.correlate(relief.astype(float), box, mode="mirror") / 9)
    shade = shade / max(shade.max(), 1) * amount
    return np.clip(image + shade[..., None] * np.array([175, 238, 238]) / 255, 0, 1)


def _pillow(image: Array) -> Image.Image:
    return Image.fromarray(np.uint8(np.round(image * 255)))


def jpeg(image: Array, _: Fields, quality: float) -> Array:
    file = io.BytesIO()
    _pillow(image).save(file, "JPEG", quality=int(quality))
    return np.array(Image.open(file)) / 255


def pixelate(image: Array, _: Fields, scale: float) -> Array:
    height, width = image.shape[:2]
    picture = _pillow(image)
    small = picture.resize((int(width * scale), int(height * scale)), Image.Resampling.BOX)
    return np.array(small.resize((width, height), Image.Resampling.BOX)) / 255


REFERENCE: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (
        gaussian_noise,
        shot_noise,
        impulse_noise,
        speckle_noise,
        gaussian_blur,
        zoom_blur,
        contrast,
        brightness,
        saturate,
        elastic,
        defocus_blur,
        glass_blur,
        motion_blur,
        fog,
        frost,
        snow,
        spatter,
        jpeg,
        pixelate,
    )
}
"""Each takes an image, fields, and the constants of one severity."""
