"""The stains of a blood smear and the colours that they absorb."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stain(IntEnum):
    """Index of a stain among the optical-density planes."""

    RED_CELL = 0
    NUCLEUS = 1
    BLUE = 2
    PINK = 3
    GRANULE = 4
    BASOPHILIC = 5
    DIRT = 6


# Optical density (natural logarithm) in linear R, G, B at unit stain density.
ABSORPTION = np.array(
    [
        (0.28, 0.80, 0.32),  # haemoglobin and eosin of red cells
        (2.15, 4.00, 0.82),  # azure-eosin on chromatin
        (0.80, 0.68, 0.17),  # methylene blue on cytoplasm
        (0.42, 1.00, 0.42),  # eosin on cytoplasm
        (0.75, 2.50, 0.95),  # eosinophil granules
        (1.25, 3.60, 0.85),  # basophil granules
        (0.90, 1.05, 1.10),  # dirt and stain precipitate
    ],
    dtype=np.float32,
)
