from pathlib import Path

import pytest

from raw2logit.datasets.synthetic.generate import generate_drone, generate_microscopy

from .layout import COUNT, DRONE_COUNT, INTENSITIES, SIZE


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both generated data sets, small, under two intensities. Read only."""
    root = tmp_path_factory.mktemp("data")
    generate_microscopy(root, count=COUNT, size=SIZE, intensities=INTENSITIES, workers=1)
    generate_drone(
        root, count=DRONE_COUNT, size=SIZE, intensities=INTENSITIES, frames=True, workers=1
    )
    return root
