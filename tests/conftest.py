"""Settings and fixtures that tests share."""

import hypothesis
import pytest
import torch

# Reproducible on every machine: no deadline that a busy core could miss, no example database.
hypothesis.settings.register_profile(
    "raw2logit", deadline=None, derandomize=True, database=None, max_examples=40
)
hypothesis.settings.load_profile("raw2logit")

torch.set_num_threads(1)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the steps that a test registers, and what it tells worker processes of them."""
    from raw2logit import parallel
    from raw2logit.isp.steps import base

    monkeypatch.setattr(parallel, "_preparations", list(parallel._preparations))
    copied = {family: dict(known) for family, known in base._REGISTRY.items()}
    monkeypatch.setattr(base, "_REGISTRY", copied)
