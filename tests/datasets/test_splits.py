import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from raw2logit import Camera, InputError, RawMicroscopy
from raw2logit.datasets import RawDataset, Split, make_splits, read_splits, write_splits
from raw2logit.datasets.splits import SPLITS_FILE
from raw2logit.errors import MissingDataError


class Fake(RawDataset):
    """Only groups and labels."""

    def __init__(self, groups: list[str], labels: list[int]) -> None:
        self.name, self.task, self.classes = "fake", "classification", ("a", "b", "c")
        self.camera = Camera("fake")
        self.groups, self.labels = groups, labels
        self.files = [Path(f"{number}.tif") for number in range(len(groups))]

    def target(self, index: int) -> Tensor:
        return torch.tensor(self.labels[index])


def groups_of(dataset: RawDataset, part: tuple[int, ...]) -> set[str]:
    return {dataset.groups[index] for index in part}


def parts(split: Split) -> tuple[tuple[int, ...], ...]:
    return split.train, split.validation, split.test


@st.composite
def layouts(draw: st.DrawFn, *, fewest: int = 3) -> Fake:
    names = [f"g{number}" for number in range(draw(st.integers(fewest, 12)))]
    # Each group has an image, the rest fall where they may.
    more = draw(st.lists(st.sampled_from(names), max_size=40))
    groups = draw(st.permutations([*names, *more]))
    size = len(groups)
    labels = draw(st.lists(st.integers(0, 8), min_size=size, max_size=size))
    if draw(st.booleans()):  # a class of its own for each group
        labels = [names.index(group) % 9 for group in groups]
    return Fake(groups, labels)


@given(dataset=layouts(), n_splits=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_no_leak_no_loss(dataset: Fake, n_splits: int, seed: int) -> None:
    splits = make_splits(dataset, n_splits, seed=seed)
    assert len(splits) == n_splits
    for split in splits:
        found = [group for part in parts(split) for group in groups_of(dataset, part)]
        assert len(found) == len(set(found))
        assert sorted(sum(parts(split), ())) == list(range(len(dataset)))
        for part in parts(split):
            assert part
            assert list(part) == sorted(part)


@given(dataset=layouts(), seed=st.integers(0, 1000))
def test_the_tests_of_one_round_cover_everything_once(dataset: Fake, seed: int) -> None:
    n_folds = min(5, len(set(dataset.groups)))
    splits = make_splits(dataset, 2 * n_folds, seed=seed)
    for first in (0, n_folds):
        turn = splits[first : first + n_folds]
        tested = [index for split in turn for index in split.test]
        validated = [index for split in turn for index in split.validation]
        assert sorted(tested) == sorted(validated) == list(range(len(dataset)))


@given(dataset=layouts(), seed=st.integers(0, 1000))
def test_fewer_splits_are_the_first_of_more(dataset: Fake, seed: int) -> None:
    assert make_splits(dataset, 3, seed=seed) == make_splits(dataset, 7, seed=seed)[:3]
    assert make_splits(dataset, 7, seed=seed) == make_splits(dataset, 7, seed=seed)


@given(dataset=layouts(), seed=st.integers(0, 1000), data=st.data())
def test_the_order_of_the_samples_does_not_matter(
    dataset: Fake, seed: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(dataset))))
    shuffled = Fake([dataset.groups[i] for i in order], [dataset.labels[i] for i in order])
    for one, two in zip(
        make_splits(dataset, 5, seed=seed), make_splits(shuffled, 5, seed=seed), strict=True
    ):
        assert groups_of(dataset, one.test) == groups_of(shuffled, two.test)


def frames(n_groups: int = 12, each: int = 6) -> Fake:
    """A data set as generated: groups of one size, classes in turn."""
    return Fake(
        [f"{number:02d}" for number in range(n_groups) for _ in range(each)],
        [index % 3 for index in range(n_groups * each)],
    )


def test_seeds_and_rounds_shuffle_anew() -> None:
    dataset = frames()
    tests = [split.test for split in make_splits(dataset, 15, seed=0)]
    assert len(set(tests)) > 10
    others = [split.test for split in make_splits(dataset, 5, seed=100)]
    assert set(others) != set(tests[:5])
    # A later round is not the first one of another seed.
    assert set(tests[5:10]) != {split.test for split in make_splits(dataset, 5, seed=1)}
    for first in (5, 10):
        assert set(tests[first : first + 5]) != set(tests[:5])


@pytest.mark.parametrize("sizes", [(4, 7, 9, 10, 13, 15, 18, 21), (1, 2, 3, 4, 5, 6, 7, 8)])
def test_groups_of_different_sizes_shuffle_too(sizes: tuple[int, ...]) -> None:
    groups = [f"{number:02d}" for number, size in enumerate(sizes) for _ in range(size)]
    dataset = Fake(groups, [0] * len(groups))
    found = {
        frozenset(split.test for split in make_splits(dataset, 5, seed=seed)) for seed in range(8)
    }
    assert len(found) > 3


def test_parts_and_classes_are_even() -> None:
    for split in make_splits(frames(n_groups=25), 5, seed=3):
        assert [len(part) for part in parts(split)] == [90, 30, 30]
    # Two kinds of zones: each fold gets one of each, though shuffled.
    groups = [f"{number:02d}" for number in range(10) for _ in range(4)]
    labels = [int(group) % 2 for group in groups]
    for split in make_splits(Fake(groups, labels), 5, seed=1):
        assert [labels[index] for index in split.test].count(0) == 4
        assert len(split.test) == 8


@pytest.mark.parametrize("seed", range(6))
def test_a_rare_class_counts_as_much_as_a_common_one(seed: int) -> None:
    # Five small groups hold one image of the rare class each; five large ones hold none.
    groups = [f"{number}" for number in range(10) for _ in range(3 if number < 5 else 20)]
    labels = [int(int(one) < 5 and one != two) for one, two in pairwise([*groups, ""])]
    assert sum(labels) == 5
    for split in make_splits(Fake(groups, labels), 5, seed=seed):
        assert sum(labels[index] for index in split.test) == 1


def test_known_splits() -> None:
    # Held fixed: the same splits on every machine, with every supported set of packages.
    dataset = frames(n_groups=7, each=2)
    tests = [sorted(groups_of(dataset, split.test)) for split in make_splits(dataset, 6, seed=0)]
    assert tests == [["00", "02"], ["03"], ["04", "06"], ["01"], ["05"], ["04", "06"]]


def test_three_groups_are_enough_for_three_parts() -> None:
    dataset = Fake(["a", "b", "c"], [0, 1, 2])
    for split in make_splits(dataset, 4, seed=0):
        assert [len(part) for part in parts(split)] == [1, 1, 1]


@pytest.mark.parametrize("groups", [["a"] * 6, ["a", "b"] * 3])
def test_too_few_groups(groups: list[str]) -> None:
    with pytest.raises(InputError, match=rf"fake: {len(set(groups))} group.*at least 3"):
        make_splits(Fake(groups, [0] * 6), 1, seed=0)


@pytest.mark.parametrize("n_splits", [0, -1])
def test_too_few_splits(n_splits: int) -> None:
    with pytest.raises(InputError, match="--splits must be at least 1"):
        make_splits(frames(), n_splits, seed=0)


def test_generated_data(root: Path) -> None:
    dataset = RawMicroscopy(root)
    for split in make_splits(dataset, 4, seed=0):
        assert not groups_of(dataset, split.train) & groups_of(dataset, split.test)


@given(dataset=layouts(), n_splits=st.integers(1, 6), seed=st.integers(0, 1000))
def test_random_splits_do_not_leak_and_are_shuffled_one_by_one(
    dataset: Fake, n_splits: int, seed: int
) -> None:
    splits = make_splits(dataset, n_splits, seed=seed, scheme="random")
    for number, split in enumerate(splits):
        assert not split.shared_groups(dataset.groups)
        assert sorted(sum(parts(split), ())) == list(range(len(dataset)))
        assert all(parts(split))
        # Split i is the first of the i-th shuffle of the other scheme.
        n_folds = min(5, len(set(dataset.groups)))
        assert split == make_splits(dataset, number * n_folds + 1, seed=seed)[-1]


def test_random_splits_overlap_and_every_group_is_as_likely() -> None:
    dataset = frames(n_groups=25)
    splits = make_splits(dataset, 1000, seed=0, scheme="random")
    times = Counter(group for split in splits for group in groups_of(dataset, split.test))
    assert times.total() == 1000 * 25 / 5
    # Of 1000 draws with probability 1/5: mean 200, standard deviation 12.6.
    assert min(times.values()) > 145
    assert max(times.values()) < 255
    assert max(times.values()) - min(times.values()) > 12


@given(dataset=layouts(), seed=st.integers(0, 1000), data=st.data())
def test_any_number_of_folds(dataset: Fake, seed: int, data: st.DataObject) -> None:
    folds = data.draw(st.integers(3, len(set(dataset.groups))))
    splits = make_splits(dataset, folds, seed=seed, folds=folds)
    assert sorted(index for split in splits for index in split.test) == list(range(len(dataset)))
    for split in splits:
        assert not split.shared_groups(dataset.groups)


def test_splits_by_image_are_even_and_leak() -> None:
    dataset = frames(n_groups=10, each=10)
    for split in make_splits(dataset, 5, seed=0, by="image"):
        assert [len(part) for part in parts(split)] == [60, 20, 20]
        assert len(split.shared_groups(dataset.groups)) > 5
        found = [dataset.labels[index] for index in split.test]
        assert max(found.count(label) for label in range(3)) <= 7


def test_splits_by_image_need_no_groups() -> None:
    assert make_splits(Fake(["a"] * 9, [0] * 9), 1, seed=0, by="image")


def test_shared_groups() -> None:
    groups = ["a", "a", "b", "b", "c", "c"]
    assert Split((0, 1), (2, 3), (4, 5)).shared_groups(groups) == set()
    assert Split((0, 2), (1, 4), (3, 5)).shared_groups(groups) == {"a", "b", "c"}
    assert Split((0, 1, 2), (4, 5), (3,)).shared_groups(groups) == {"b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "bogus"}, "--split-scheme bogus: choose from kfold random"),
        ({"by": "bogus"}, "--split-by bogus: choose from group image"),
        ({"folds": 2}, "--split-folds must be from 3 to 12, the number of groups of fake, got 2"),
        ({"folds": 13}, "--split-folds must be from 3 to 12"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_splits(frames(), 1, seed=0, **options)


def test_written_splits_are_read_back_in_any_order_and_place(tmp_path: Path) -> None:
    dataset = frames()
    splits = make_splits(dataset, 3, seed=5)
    path = write_splits(tmp_path / SPLITS_FILE, dataset, splits)
    assert read_splits(path, dataset) == splits
    assert read_splits(tmp_path, dataset) == splits
    turned = Fake(dataset.groups[::-1], dataset.labels[::-1])
    turned.files = [Path("elsewhere") / file.name for file in dataset.files[::-1]]
    last = len(dataset) - 1
    for old, new in zip(splits, read_splits(path, turned), strict=True):
        for old_part, new_part in zip(parts(old), parts(new), strict=True):
            assert sorted(last - index for index in old_part) == list(new_part)


def test_names_of_samples() -> None:
    dataset = Fake(["a"] * 4, [0] * 4)
    dataset.files = [Path("x/one.tif"), Path("x/two.tif"), Path("x/two.png"), Path("x/y/one.tif")]
    assert dataset.sample_names() == ["one", "two.tif", "two.png", "y/one"]


def test_a_split_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.json"):
        with pytest.raises(MissingDataError, match=r"no such file: name a splits\.json"):
            read_splits(path, frames())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: "[", "no list of splits"),
        (lambda content: "[]", "no list of splits"),
        (lambda content: "{}", "no list of splits"),
        (lambda content: json.dumps({"splits": []}), "holds no split"),
        (lambda content: json.dumps({"splits": [{"train": []}]}), "no list of splits"),
        (lambda content: content.replace('"17"', '"18"'), "split 1 does not name 17"),
        (lambda content: content.replace('"17"', '"new"'), r"split 1 (names|does not name)"),
        (lambda content: content.replace('"17"', '"17", "17"'), "split 1 names 17 2 times"),
        (
            lambda content: content.replace('"test": [', '"test": [], "x": ['),
            "split 1 does not name",  # those of the part that went
        ),
    ],
)
def test_a_split_file_that_does_not_fit(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    path = write_splits(tmp_path / SPLITS_FILE, frames(), make_splits(frames(), 1, seed=0))
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message):
        read_splits(path, frames())


def test_a_split_file_with_an_empty_part(tmp_path: Path) -> None:
    dataset = frames()
    everything = tuple(range(len(dataset)))
    path = write_splits(tmp_path / SPLITS_FILE, dataset, [Split(everything, (), ())])
    with pytest.raises(InputError, match="split 1 has an empty part"):
        read_splits(path, dataset)
