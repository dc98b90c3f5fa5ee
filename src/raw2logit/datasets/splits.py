"""Splits that keep groups together: train, validation and test parts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from raw2logit.datasets.base import RawDataset
from raw2logit.errors import InputError

N_FOLDS = 5
"""Folds of one repetition: three train, one validates (picks the model), one tests."""


@dataclass(frozen=True)
class Split:
    """Sample indices of the three parts; no group is in two of them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def make_splits(dataset: RawDataset, n_splits: int, *, seed: int) -> list[Split]:
    """Cut a data set into folds of whole groups and deal them out.

    Split i tests on fold i, validates on fold i + 1 and trains on the others, so the test parts of
    up to five splits do not overlap. Further splits start over with another shuffle. Classes are
    spread over the folds as evenly as whole groups allow.

    Args:
        dataset: Its `groups` and `labels` decide.
        n_splits: At least 1.
        seed: Of the shuffle.

    Returns:
        `n_splits` splits, the same for the same data and seed on any machine.

    Raises:
        InputError: There are fewer than three groups.
    """
    if n_splits < 1:
        raise InputError(f"--splits must be at least 1, got {n_splits}")
    n_groups = len(set(dataset.groups))
    if n_groups < 3:
        raise InputError(
            f"{dataset.name}: {n_groups} group(s) cannot be split into train, validation and test "
            "parts without a leak: at least 3 are needed. Use more slides or frames (a larger "
            "--count, if the data is generated)"
        )
    n_folds = min(N_FOLDS, n_groups)
    splits: list[Split] = []
    while len(splits) < n_splits:
        repetition = len(splits) // n_folds
        folds = _folds(dataset, n_folds, f"{seed}/{repetition}")
        splits.extend(_deal(folds, test) for test in range(min(n_folds, n_splits - len(splits))))
    return splits


def _folds(dataset: RawDataset, n_folds: int, seed: str) -> list[tuple[int, ...]]:
    """Put the groups, in random order, each into the fold that has least of its classes.

    scikit-learn's StratifiedGroupKFold leaves folds empty now and then, and its releases differ.
    """
    class_sizes = Counter(dataset.labels)
    members: dict[str, list[int]] = {}
    for index, group in enumerate(dataset.groups):
        members.setdefault(group, []).append(index)
    rng = random.Random(seed)  # its random() is the same on every machine, by its documentation
    order = sorted(sorted(members), key=lambda _: rng.random())
    folds: list[list[int]] = [[] for _ in range(n_folds)]
    counts: list[Counter[int]] = [Counter() for _ in range(n_folds)]
    for group in order:
        new = Counter(dataset.labels[index] for index in members[group])
        # Every class counts the same; an empty fold costs nothing, so none stays empty.
        costs = [
            (sum(old[label] * new[label] / class_sizes[label] ** 2 for label in new), len(fold))
            for old, fold in zip(counts, folds, strict=True)
        ]
        chosen = costs.index(min(costs))
        folds[chosen].extend(members[group])
        counts[chosen].update(new)
    return [tuple(sorted(fold)) for fold in folds]


def _deal(folds: list[tuple[int, ...]], test: int) -> Split:
    validation = (test + 1) % len(folds)
    train = [
        index
        for number, fold in enumerate(folds)
        if number not in (test, validation)
        for index in fold
    ]
    return Split(tuple(sorted(train)), folds[validation], folds[test])
