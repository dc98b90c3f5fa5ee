"""Settings that every test shares."""

import hypothesis
import torch

# Reproducible on every machine: no deadline that a busy core could miss, no example database.
hypothesis.settings.register_profile(
    "raw2logit", deadline=None, derandomize=True, database=None, max_examples=40
)
hypothesis.settings.load_profile("raw2logit")

torch.set_num_threads(1)
