"""Test trained models under post-hoc corruptions of the view that they were trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raw2logit.drift.corruptions import (
    CORRUPTIONS,
    PUBLISHED,
    SEVERITIES,
    ConstantSet,
    corrupt,
)
from raw2logit.errors import InputError
from raw2logit.isp import Pipeline
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.evaluation import BATCH_SIZE
from raw2logit.tasks.training import LoadedData


@dataclass(frozen=True)
class CorruptionTests:
    """Which corruptions to test under.

    Attributes:
        names: Some of `CORRUPTIONS`; none: no such tests.
        severities: Some of 1 to 5.
        constants: ``cifar10-c``, as published, or ``imagenet-c``.
        headline: The severity that is compared with the drift of the ISP; one of `severities`.
    """

    names: tuple[str, ...] = ()
    severities: tuple[int, ...] = SEVERITIES
    constants: ConstantSet = "cifar10-c"
    headline: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be tested."""
        for severity in self.severities:
            if severity not in SEVERITIES:
                raise InputError(
                    f"--severities {severity}: choose from {' '.join(map(str, SEVERITIES))}"
                )
        if self.names and self.headline not in self.severities:
            raise InputError(
                f"--compare-at {self.headline}: is none of --severities "
                f"{' '.join(map(str, self.severities))}"
            )


NO_CORRUPTIONS = CorruptionTests()


def parse_corruptions(words: Sequence[str]) -> tuple[str, ...]:
    """Return the named corruptions, each once.

    Args:
        words: Names; ``published`` stands for the ten of the published experiments, ``all`` for
            all of them, ``none`` for none.

    Raises:
        InputError: A name is unknown; the message lists the choice.
    """
    sets = {"published": PUBLISHED, "all": CORRUPTIONS, "none": ()}
    names: list[str] = []
    for word in words:
        if word not in sets and word not in CORRUPTIONS:
            raise InputError(
                f"--corruptions {word}: choose from published, all, none, {' '.join(CORRUPTIONS)}"
            )
        names.extend(sets.get(word, (word,)))
    return tuple(dict.fromkeys(names))


@torch.inference_mode()
def evaluate_corrupted(
    task: RawTask,
    pipeline: Pipeline,
    data: LoadedData,
    indices: Sequence[int],
    tests: CorruptionTests,
    *,
    seed: int,
    device: torch.device | str = "cpu",
) -> dict[tuple[str, int], dict[str, float]]:
    """Show corrupted views to a task module.

    Each raw batch is processed once. The random numbers of a sample depend on `seed`, corruption,
    severity and its place among `indices` alone, so all modules meet the same noise.

    Args:
        task: Trained module; its own pipeline is not used.
        pipeline: Makes the view.
        data: All samples.
        indices: Which of them to measure on.
        tests: Corruptions and severities.
        seed: Of the noise.
        device: Where to compute; module and pipeline are moved there and stay.

    Returns:
        For each corruption and severity the metrics by name.
    """
    pipeline.to(device)
    task.to(device)
    keys = [(name, severity) for name in tests.names for severity in tests.severities]
    generators = {key: torch.Generator().manual_seed(_seed(seed, *key)) for key in keys}
    logits: dict[tuple[str, int], list[Tensor]] = {key: [] for key in keys}
    chosen = torch.as_tensor(indices)
    for part in torch.split(chosen, BATCH_SIZE):
        view = pipeline(data.raw[part].to(device)).clamp(0, 1)
        for name, severity in keys:
            shown = corrupt(
                view,
                name,
                severity,
                constants=tests.constants,
                generator=generators[name, severity],
            )
            logits[name, severity].append(task.classify_view(shown).cpu())
    targets = data.targets[chosen]
    return {key: task.metrics(torch.cat(parts), targets) for key, parts in logits.items()}


def _seed(seed: int, name: str, severity: int) -> int:
    digest = hashlib.sha256(f"{seed} {name} {severity}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
