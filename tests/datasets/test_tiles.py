"""Windows and the published rules, against a second implementation."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from raw2logit import InputError
from raw2logit.datasets.tile_layouts import DroneLayout, FolderLayout
from raw2logit.datasets.tiles import Window, balance, check_tiling, cut_windows

Mask = NDArray[np.bool_]


def published(mask: Mask, size: int) -> tuple[list[int], list[int], list[int]]:
    """Return which windows the published rule keeps: any car; a car; no car. Index by index."""
    rows, columns = mask.shape[0] // size, mask.shape[1] // size
    some, cars, empty = [], [], []
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        covered = 0
        for y in range(row * size, row * size + size):
            covered += int(np.count_nonzero(mask[y, column * size : column * size + size]))
        if covered:
            some.append(index)
            if covered / size**2 > 0.01:
                cars.append(index)
        else:
            empty.append(index)
    state = random.getstate()
    random.seed(72)
    if len(cars) <= len(empty):
        shuffled = empty.copy()
        random.shuffle(shuffled)
        for index in shuffled[: len(empty) - len(cars)]:
            empty.remove(index)
    else:
        shuffled = cars.copy()
        random.shuffle(shuffled)
        for index in shuffled[: len(cars) - len(empty)]:
            cars.remove(index)
    random.setstate(state)
    return some, cars, empty


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, int]:
    """Draw a mask with windows of all kinds, and their size."""
    size = draw(st.sampled_from([2, 4, 12, 20]))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    densities = rng.choice([0, 0.008, 0.02, 0.5], (rows, columns), p=draw(WEIGHTS))
    height, width = rows * size + draw(SPARE) % size, columns * size + draw(SPARE) % size
    mask = np.zeros((height, width), bool)
    covered = np.kron(densities, np.ones((size, size)))
    mask[: rows * size, : columns * size] = rng.random(covered.shape) < covered
    # What belongs to no window may show anything.
    mask[rows * size :] = mask[:, columns * size :] = True
    return mask, size


SPARE = st.integers(0, 19)
WEIGHTS = st.sampled_from([(0.7, 0.1, 0.1, 0.1), (0.1, 0.1, 0.1, 0.7), (0.25, 0.25, 0.25, 0.25)])


@given(masks())
def test_the_published_rule(drawn: tuple[Mask, int]) -> None:
    mask, size = drawn
    columns = mask.shape[1] // size
    windows = cut_windows(mask, size)
    assert len(windows) == (mask.shape[0] // size) * columns
    some, cars, empty = published(mask, size)

    def indices(chosen: list[Window]) -> list[int]:
        return [window.row // size * columns + window.column // size for window in chosen]

    assert tuple(map(indices, balance(windows))) == (cars, empty)
    rows = DroneLayout(Path()).plan(7, "DJI_0008", windows)
    segmentation = [row for row in rows if row.set == "segmentation"]
    assert [row.tile for row in segmentation] == [f"07_{i:05d}" for i in range(len(some))]
    assert indices([Window(row.row, row.column, 0) for row in segmentation]) == some
    classification = rows[len(some) :]
    assert indices([Window(row.row, row.column, 0) for row in classification]) == cars + empty
    assert [row.tile for row in classification] == [
        f"07_{i:05d}" for i in range(len(cars) + len(empty))
    ]
    assert [row.label for row in classification] == ["car"] * len(cars) + ["no car"] * len(empty)
    for row in rows:
        shown = mask[row.row : row.row + size, row.column : row.column + size]
        assert row.mask_share == np.count_nonzero(shown) / size**2
        assert row.frame == "DJI_0008"


def test_what_goes_first_is_the_same_on_every_machine() -> None:
    order = [0, 5, 3, 2, 7, 4, 6, 1]  # random.seed(72); random.shuffle([0, ..., 7])
    empty = [Window(0, 2 * place, 0.0) for place in range(8)]
    for kept in range(9):
        cars = [Window(2, 2 * place, 0.5) for place in range(kept)]
        assert balance(empty + cars) == (
            cars,
            [window for place, window in enumerate(empty) if place not in order[: 8 - kept]],
        )


@pytest.mark.parametrize(("size", "pixels", "car"), [(10, 1, False), (10, 2, True)])
def test_exactly_one_percent_is_no_car(size: int, pixels: int, car: bool) -> None:
    mask = np.zeros((10, 20), bool)
    mask[0, :pixels] = True
    cars, empty = balance(cut_windows(mask, size))
    assert (len(cars), len(empty)) == ((1, 1) if car else (0, 0))


@pytest.mark.parametrize(
    ("shape", "size", "overlap", "rows", "columns"),
    [
        ((8, 12), 4, 0, [0, 4], [0, 4, 8]),
        ((11, 15), 4, 0, [0, 4], [0, 4, 8]),
        ((8, 12), 4, 2, [0, 2, 4], [0, 2, 4, 6, 8]),
        ((10, 8), 8, 6, [0, 2], [0]),
        ((8, 7), 8, 0, [0], []),
    ],
)
def test_places(
    shape: tuple[int, int], size: int, overlap: int, rows: list[int], columns: list[int]
) -> None:
    windows = cut_windows(np.ones(shape, bool), size, overlap)
    assert windows == [(row, column, 1.0) for row in rows for column in columns]


@pytest.mark.parametrize("size", [-2, 0, 1, 3, 255])
def test_odd_sizes(size: int) -> None:
    with pytest.raises(InputError, match=f"--size must be even and at least 2, got {size}"):
        check_tiling(size, 0)


@pytest.mark.parametrize("overlap", [-2, 1, 3, 8, 10])
def test_odd_overlaps(overlap: int) -> None:
    with pytest.raises(InputError, match=rf"--overlap must be even, .* got {overlap}"):
        cut_windows(np.ones((16, 16), bool), 8, overlap)


def test_tiles_of_own_frames_are_named_by_place(tmp_path: Path) -> None:
    windows = [Window(0, 0, 0.5), Window(0, 8, 0.0), Window(8, 0, 0.005), Window(8, 8, 0.0)]
    segmentation = FolderLayout(tmp_path, "segmentation").plan(0, "a b", windows)
    assert segmentation == [
        ("segmentation", "a b_00000_00000", "a b", 0, 0, 0.5, ""),
        ("segmentation", "a b_00008_00000", "a b", 8, 0, 0.005, ""),
    ]
    classification = FolderLayout(tmp_path, "classification").plan(0, "a b", windows)
    assert [(row.row, row.column, row.label) for row in classification] == [
        (0, 0, "foreground"),
        (0, 8, "background"),
    ]


def test_the_limit_is_of_segmentation_alone() -> None:
    windows = [Window(0, 4 * place, 0.5 * (place % 2)) for place in range(8)]
    rows = DroneLayout(Path()).plan(0, "f", windows, limit=1)
    assert [row.set for row in rows] == ["segmentation"] + ["classification"] * 8
