"""Random numbers of which every sample has its own, the same whatever the device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from raw2logit.errors import InputError


def draw_seeds(count: int, generator: torch.Generator | None) -> list[int]:
    """Draw one seed a sample.

    Args:
        count: Samples.
        generator: On the CPU; None: PyTorch's global one. It moves on by `count` numbers, however
            many each sample needs: two calls of 32 samples draw the seeds of one call of 64.

    Raises:
        InputError: The generator is not on the CPU.
    """
    if generator is not None and generator.device.type != "cpu":
        raise InputError(
            f"generator on {generator.device}: numbers are drawn on the CPU, to be the same on "
            "every device; give torch.Generator()"
        )
    seeds = torch.randint(2**62, (count,), generator=generator)
    return [int(seed) for seed in seeds]


class Draws:
    """One stream of random numbers a sample, beginning at its seed.

    All methods return ``(B, *shape)`` in single precision, moved to the device and data type of
    the view, and go on in the streams.
    """

    def __init__(self, seeds: list[int], like: Tensor) -> None:
        """Begin the streams.

        Args:
            seeds: One a sample, see `draw_seeds`.
            like: Has the device and data type that the numbers are given in.
        """
        self._like = like
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers."""
        numbers = torch.empty((len(self._streams), *shape))
        for sample, stream in zip(numbers, self._streams, strict=True):
            sample.normal_(generator=stream)
        return numbers.to(self._like)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw numbers that are equally likely from `low` to below `high`."""
        numbers = torch.empty((len(self._streams), *shape))
        for sample, stream in zip(numbers, self._streams, strict=True):
            sample.uniform_(low, high, generator=stream)
        return numbers.to(self._like)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Draw whole numbers, int64, from `low` to below `high`."""
        numbers = torch.empty((len(self._streams), *shape), dtype=torch.int64)
        for sample, stream in zip(numbers, self._streams, strict=True):
            sample.random_(low, high, generator=stream)
        return numbers.to(self._like.device)

    def poisson(self, rates: Tensor) -> Tensor:
        """Draw counts of these means, ``(B, ...)``; no gradient."""
        means = rates.detach().cpu()
        # The slowest of all draws, which PyTorch makes in one thread; streams need not wait for
        # one another.
        threads = torch.get_num_threads()
        if threads == 1:
            counts = list(map(torch.poisson, means, self._streams))
        else:
            with ThreadPoolExecutor(threads) as pool:
                counts = list(pool.map(torch.poisson, means, self._streams))
        return torch.stack(counts).to(self._like)
