"""How near a result has to be to an independent one, by data type; the one place for it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = tuple(TOLERANCE)
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def assert_near(actual: Tensor, expected: Tensor | NDArray[Any]) -> None:
    """Compare at the tolerance of `actual`'s type, relative to the largest expected value above 1.

    `expected` may hold more digits than `actual`; the comparison is made in float64.
    """
    assert isinstance(actual, Tensor)
    wanted = torch.as_tensor(np.asarray(torch.as_tensor(expected).detach().cpu()))
    assert actual.shape == wanted.shape
    peak = max(1.0, wanted.abs().max().item()) if wanted.numel() else 1.0
    tolerance = TOLERANCE[actual.dtype] * peak
    torch.testing.assert_close(
        actual.detach().cpu().double(), wanted.double(), atol=tolerance, rtol=0.0
    )
