"""The drift of the ISP beside post-hoc corruptions, where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from raw2logit.datasets import make_splits
from raw2logit.drift.comparison import compare, fieller
from raw2logit.drift.corrupted import (
    NO_CORRUPTIONS,
    CorruptionTests,
    evaluate_corrupted,
    parse_corruptions,
)
from raw2logit.drift.corruptions import CORRUPTIONS, PUBLISHED, corrupt
from raw2logit.drift.synthesis import SynthesisResult, run_synthesis
from raw2logit.errors import InputError
from raw2logit.isp import static_pipeline
from raw2logit.tasks import training
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.evaluation import Measurement
from raw2logit.tasks.training import build_task
from tests.tasks.data import BlindModel, Levels, MeanModel, two_splits

CONFIG = TrainingConfig(epochs=2, batch_size=8, lr=0.3, accelerator="cpu")
VIEWS = ("bi,s,ga", "ma,u,me", "me,s,me")
TESTS = CorruptionTests(("brightness", "gaussian_noise"), (1, 3), headline=3)


def made(grid: np.ndarray, under: np.ndarray, tests: CorruptionTests) -> SynthesisResult:
    """Return a result of views a, b, ... from scores (split, train, test) and (split, train, ...).

    Of the last ones corruption and severity are the other axes.
    """
    names = tuple("abcdef"[: grid.shape[1]])
    clean = [
        Measurement(names[row], names[column], split, split, "accuracy", float(value), 10)
        for (split, row, column), value in np.ndenumerate(grid)
    ]
    corrupted = [
        Measurement(
            *(names[row], names[row], split, split, "accuracy", float(value), 10),
            corruption=tests.names[name],
            severity=tests.severities[severity],
        )
        for (split, row, name, severity), value in np.ndenumerate(under)
    ]
    splits = make_splits(Levels("classification"), len(grid), seed=0)
    blind = [0.5] * len(grid)
    return SynthesisResult(names, names, "accuracy", clean, splits, blind, {}, tests, corrupted)


def test_by_hand() -> None:
    grid = np.array([[[0.9, 0.8], [0.7, 0.8]], [[0.9, 0.7], [0.9, 0.8]]])
    under = np.array(
        [
            [[[0.8], [0.5], [0.8]], [[0.8], [0.5], [0.7]]],
            [[[0.7], [0.3], [0.8]], [[0.9], [0.5], [0.7]]],
        ]
    )
    result = made(grid, under, CorruptionTests(("fog", "snow", "jpeg"), (3,)))
    np.testing.assert_allclose(
        result.corruption_drops()[..., 0],
        [[[0.1, 0.4, 0.1], [0.0, 0.3, 0.1]], [[0.2, 0.6, 0.1], [-0.1, 0.3, 0.1]]],
        atol=1e-12,
    )
    found = compare(result)
    assert found is not None
    assert found["corruptions"]["fog"]["drop_mean"] == pytest.approx(0.05)
    assert found["corruptions"]["snow"]["drop_std"] == pytest.approx(np.std([0.35, 0.45], ddof=1))
    # Absolute drops: of the first split .1 .4 .1 0 .3 .1, of the second .2 .6 .1 .1 .3 .1.
    assert found["corruption_drop"]["mean"] == pytest.approx((1.0 + 1.4) / 12)
    # Off the diagonal .1 .1 and .2 .1.
    assert found["isp_drop"]["mean"] == pytest.approx((0.1 + 0.15) / 2)
    assert found["ratio"]["mean"] == pytest.approx(1.6)
    # Without snow the mean is .1, without one of the others .25.
    assert found["ratio"]["without"] == {
        "corruption": "snow",
        "mean": pytest.approx(0.1 / 0.125),
    }
    assert found["kendall"] is None  # two models have no ranking worth the name
    half = stats.t.ppf(0.975, 1) * np.std([0.1, 0.15], ddof=1) / np.sqrt(2)
    assert found["isp_drop"]["interval"] == pytest.approx([0.125 - half, 0.125 + half])


def test_one_split_has_no_interval() -> None:
    grid = np.array([[[0.9, 0.8], [0.7, 0.8]]])
    found = compare(made(grid, np.full((1, 2, 1, 1), 0.5), CorruptionTests(("fog",), (3,))))
    assert found is not None
    assert found["isp_drop"] == {"mean": pytest.approx(0.1), "std": None, "interval": None}
    assert found["ratio"] == {"mean": pytest.approx(3.5), "interval": None, "without": None}


def test_no_drift_and_no_other_view_have_no_ratio() -> None:
    tests = CorruptionTests(("fog",), (3,))
    found = compare(made(np.full((2, 2, 2), 0.9), np.full((2, 2, 1, 1), 0.5), tests))
    assert found is not None
    assert found["isp_drop"]["mean"] == 0
    assert found["ratio"] is None
    found = compare(made(np.full((2, 1, 1), 0.9), np.full((2, 1, 1, 1), 0.5), tests))
    assert found is not None
    assert found["isp_drop"] is found["ratio"] is found["kendall"] is None


def test_rankings_of_the_models() -> None:
    tests = CorruptionTests(("fog",), (3,))
    on_views = np.array([0.2, 0.4, 0.6, 0.8])
    grid = np.broadcast_to(on_views[:, None], (4, 4)).copy()
    np.fill_diagonal(grid, 0.9)  # the own view has no part in it
    for under in ([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.1, 0.3, 0.2, 0.4]):
        scores = np.array(under)[None, :, None, None]
        found = compare(made(grid[None], scores, tests))
        assert found is not None
        expected = stats.kendalltau(on_views, under)
        assert found["kendall"]["tau"] == pytest.approx(expected.statistic)
        assert found["kendall"]["p"] == pytest.approx(expected.pvalue)
        assert found["kendall"]["n_models"] == 4
    found = compare(made(grid[None], np.full((1, 4, 1, 1), 0.5), tests))
    assert found is not None
    assert found["kendall"] is None  # all alike: there is no ranking


def test_the_ends_of_fiellers_interval_are_just_not_refuted() -> None:
    rng = np.random.default_rng(0)
    below = rng.normal(3, 0.4, 8)
    above = 2 * below + rng.normal(0, 0.5, 8)
    ends = fieller(above, below)
    assert ends is not None
    for end in ends:
        assert stats.ttest_1samp(above - end * below, 0).pvalue == pytest.approx(0.05)
    assert ends[0] < above.mean() / below.mean() < ends[1]
    assert fieller(above, below - below.mean()) is None
    assert fieller(above[:1], below[:1]) is None


def test_names() -> None:
    assert parse_corruptions(["published"]) == PUBLISHED
    assert parse_corruptions(["all"]) == CORRUPTIONS
    assert parse_corruptions(["none"]) == ()
    assert parse_corruptions(["fog", "snow", "fog"]) == ("fog", "snow")
    with pytest.raises(InputError, match=r"--corruptions smog: choose from published, all, none"):
        parse_corruptions(["smog"])
    with pytest.raises(InputError, match="--severities 6"):
        CorruptionTests(("fog",), (6,))
    with pytest.raises(InputError, match="--compare-at 3: is none of --severities 1 2"):
        CorruptionTests(("fog",), (1, 2))


def test_a_model_that_reads_brightness_drops_as_computed() -> None:
    data = Levels("classification", n=70).loaded()
    task = build_task(data.dataset, "bi,s,ga", TrainingConfig(), learn_pipeline=False, seed=0)
    task.model = MeanModel(2)
    torch.nn.init.normal_(task.model.head.weight, generator=torch.Generator().manual_seed(3))
    pipeline = static_pipeline(data.dataset.camera)
    indices = [*range(5, 70)]
    found = evaluate_corrupted(task, pipeline, data, indices, TESTS, seed=4)
    assert set(found) == {(name, severity) for name in TESTS.names for severity in (1, 3)}
    view = pipeline(data.raw[indices])
    for severity in (1, 3):
        shown = corrupt(view, "brightness", severity)
        hits = task.classify_view(shown).argmax(1) == data.targets[indices]
        expected = hits.double().mean().item()
        assert found["brightness", severity]["accuracy"] == pytest.approx(expected)


def test_all_models_meet_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Levels("classification").loaded()
    task = build_task(data.dataset, "bi,s,ga", TrainingConfig(), learn_pipeline=False, seed=0)
    seen: list[torch.Tensor] = []

    def look(view: torch.Tensor) -> torch.Tensor:
        seen.append(view.clone())
        return torch.zeros(len(view), 2)

    monkeypatch.setattr(task, "classify_view", look)
    pipeline = static_pipeline(data.dataset.camera)
    for seed in (1, 1, 2):
        evaluate_corrupted(task, pipeline, data, range(40), TESTS, seed=seed)
    first, again, other = (torch.cat(seen[8 * i : 8 * i + 8]) for i in range(3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_blind_model_loses_nothing_and_the_grid_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "build_classifier", lambda name, n, pretrained: BlindModel(n))
    data = Levels("classification").loaded()
    told: list[tuple[int, int]] = []
    splits = two_splits(data)
    result = run_synthesis(
        data,
        VIEWS,
        VIEWS,
        CONFIG,
        tmp_path,
        splits,
        corruptions=TESTS,
        progress=lambda _, done, total: told.append((done, total)),
    )
    assert told[-1] == (2 * (3 * 2 + 3 + 3),) * 2
    assert result.corruption_drops().shape == (2, 3, 2, 2)
    assert np.all(result.corruption_drops() == 0)
    found = compare(result)
    assert found is not None
    assert found["corruption_drop"]["mean"] == 0
    plain = run_synthesis(data, VIEWS, VIEWS, CONFIG, tmp_path, splits)
    assert plain.measurements == result.measurements
    assert plain.corrupted == []
    assert compare(plain) is None
    assert plain.corruption_tests == NO_CORRUPTIONS
    one = result.one_split(1)
    np.testing.assert_array_equal(one.corruption_drops()[0], result.corruption_drops()[1])
