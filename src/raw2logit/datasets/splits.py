"""Splits that keep groups together: train, validation and test parts."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from raw2logit.datasets.base import RawDataset
from raw2logit.errors import InputError, MissingDataError
from raw2logit.files import write_text

N_FOLDS = 5
"""Folds of one shuffle, unless another number is asked for: three train, one validates (picks the
model), one tests."""
SPLITS_FILE = "splits.json"
"""Lies in the folder of a run and holds the names of the samples of every part."""

Scheme = Literal["kfold", "random"]
"""``kfold``: every sample is tested once a round. ``random``: each split is shuffled anew."""
SplitBy = Literal["group", "image"]
"""What stays in one part. ``image`` leaks where images of one scene or slide are alike."""


@dataclass(frozen=True)
class Split:
    """Sample indices of the three parts."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def shared_groups(self, groups: Sequence[str]) -> set[str]:
        """Return the groups that are in more than one part.

        Args:
            groups: One label a sample, as of `RawDataset.groups`.
        """
        parts = [{groups[index] for index in part} for part in (self.train, self.validation)]
        test = {groups[index] for index in self.test}
        return (parts[0] & parts[1]) | (parts[0] & test) | (parts[1] & test)


def make_splits(
    dataset: RawDataset,
    n_splits: int,
    *,
    seed: int,
    scheme: Scheme = "kfold",
    by: SplitBy = "group",
    folds: int | None = None,
) -> list[Split]:
    """Cut a data set into folds of whole groups and deal them out.

    One fold tests, the next one validates, and the others train: of five folds that is 60 / 20 / 20
    per cent. Classes are spread over the folds as evenly as whole groups allow.

    With ``kfold``, split i tests on fold i, so the test parts of the first `folds` splits do not
    overlap and cover everything; further splits start over with another shuffle. With ``random``,
    every split has a shuffle of its own, and test parts may overlap: with five folds the repeated
    random 80/20 splits of the published experiments, where the 80 are divided once more, so that
    the part that picks the model is not the part that is reported.

    Args:
        dataset: Its `groups` and `labels` decide.
        n_splits: At least 1.
        seed: Of the shuffle.
        scheme: See above.
        by: ``group`` keeps groups whole. ``image`` does not, as in the published experiments.
        folds: At least 3, at most one a group; None: `N_FOLDS`, or fewer for fewer groups.

    Returns:
        `n_splits` splits, the same for the same data and seed on any machine.

    Raises:
        InputError: There are fewer than three groups, or an option makes no sense.
    """
    if n_splits < 1:
        raise InputError(f"--splits must be at least 1, got {n_splits}")
    for option, value, known in (
        ("split-scheme", scheme, get_args(Scheme)),
        ("split-by", by, get_args(SplitBy)),
    ):
        if value not in known:
            raise InputError(f"--{option} {value}: choose from {' '.join(known)}")
    groups = dataset.groups if by == "group" else dataset.sample_names()
    n_groups = len(set(groups))
    if n_groups < 3:
        raise InputError(
            f"{dataset.name}: {n_groups} {by}(s) cannot be split into train, validation and test "
            "parts without a leak: at least 3 are needed. Use more slides or frames (a larger "
            "--count, if the data is generated)"
        )
    if folds is not None and not 3 <= folds <= n_groups:
        raise InputError(
            f"--split-folds must be from 3 to {n_groups}, the number of {by}s of {dataset.name}, "
            f"got {folds}"
        )
    n_folds = min(N_FOLDS, n_groups) if folds is None else folds
    per_shuffle = n_folds if scheme == "kfold" else 1
    splits: list[Split] = []
    while len(splits) < n_splits:
        shuffle = len(splits) // per_shuffle
        dealt = _folds(groups, dataset.labels, n_folds, f"{seed}/{shuffle}")
        left = n_splits - len(splits)
        splits.extend(_deal(dealt, test) for test in range(min(per_shuffle, left)))
    return splits


def write_splits(path: Path, dataset: RawDataset, splits: Sequence[Split]) -> Path:
    """Write the names of the samples of every part as JSON, complete or not at all."""
    names = dataset.sample_names()
    content = {
        "data": dataset.name,
        "splits": [
            {part: [names[index] for index in indices] for part, indices in asdict(split).items()}
            for split in splits
        ],
    }
    return write_text(path, json.dumps(content, indent=1) + "\n")


def read_splits(path: Path, dataset: RawDataset) -> list[Split]:
    """Read what `write_splits` wrote, for the same samples in any order and at any intensity.

    Args:
        path: The file, or the folder of a run that holds one.
        dataset: Whose samples are meant.

    Returns:
        The splits, with indices into `dataset`.

    Raises:
        MissingDataError: There is no such file.
        InputError: It is no list of splits, names other samples than the data set has, or puts one
            into two parts.
    """
    path = path / SPLITS_FILE if path.is_dir() else path
    if not path.is_file():
        raise MissingDataError(
            f"{path}: no such file: name a {SPLITS_FILE}, or the run that has it"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        named = [
            tuple(tuple(map(str, parts[part])) for part in ("train", "validation", "test"))
            for parts in content["splits"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: no list of splits ({error!r}): name the {SPLITS_FILE} of a run"
        ) from error
    if not named:
        raise InputError(f"{path}: holds no split: name the {SPLITS_FILE} of a run")
    indices = {name: index for index, name in enumerate(dataset.sample_names())}
    splits = []
    for number, parts in enumerate(named, start=1):
        where = f"{path}: split {number}"
        count = Counter(name for part in parts for name in part)
        if strangers := sorted(count.keys() ^ indices.keys()):
            lacks = "names" if strangers[0] in count else "does not name"
            raise InputError(
                f"{where} {lacks} {strangers[0]}, one of {len(strangers)} differences to "
                f"{dataset.name}: it belongs to other data; leave --splits-from out"
            )
        if (most := count.most_common(1)[0])[1] > 1:
            raise InputError(f"{where} names {most[0]} {most[1]} times: keep one")
        if not all(parts):
            raise InputError(f"{where} has an empty part: fill it")
        train, validation, test = (tuple(sorted(indices[name] for name in part)) for part in parts)
        splits.append(Split(train, validation, test))
    return splits


def _folds(
    groups: Sequence[str], labels: Sequence[int], n_folds: int, seed: str
) -> list[tuple[int, ...]]:
    """Put the groups, in random order, each into the fold that has least of its classes.

    scikit-learn's StratifiedGroupKFold leaves folds empty now and then, and its releases differ.
    """
    class_sizes = Counter(labels)
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    rng = random.Random(seed)  # its random() is the same on every machine, by its documentation
    order = sorted(sorted(members), key=lambda _: rng.random())
    folds: list[list[int]] = [[] for _ in range(n_folds)]
    counts: list[Counter[int]] = [Counter() for _ in range(n_folds)]
    for group in order:
        new = Counter(labels[index] for index in members[group])
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
