"""What an import may load: the package must start quickly and ask for nothing it does not use."""

import subprocess
import sys
from functools import cache

import pytest

import raw2logit

HEAVY = {
    "gradio",
    "lightning",
    "matplotlib",
    "mlflow",
    "pandas",
    "pytorch_lightning",
    "segmentation_models_pytorch",
    "torchvision",
}

BARE = "import raw2logit; raw2logit.Camera.preset('drone')"
FULL = """
import raw2logit
from raw2logit.isp import Pipeline
raw2logit.static_pipeline(raw2logit.Camera.preset('drone'))
"""


@cache
def loaded_by(code: str) -> frozenset[str]:
    """Return the top-level packages that a fresh interpreter loads to run `code`."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return frozenset(line.rpartition("|")[2].strip().partition(".")[0] for line in lines)


@pytest.mark.parametrize("code", [BARE, FULL])
def test_import_loads_nothing_heavy(code: str) -> None:
    loaded = loaded_by(code)
    assert "raw2logit" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_torch_loads_only_with_what_needs_it() -> None:
    assert loaded_by(BARE).isdisjoint({"torch", "numpy", "scipy"})
    assert "torch" in loaded_by(FULL)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'raw2logit' has no attribute 'pipelines'"):
        raw2logit.pipelines  # noqa: B018


def test_dir_lists_the_public_names() -> None:
    assert set(raw2logit.__all__) | {"__version__"} == set(dir(raw2logit))
    assert set(raw2logit.__all__) == set(raw2logit._HOME)
    from raw2logit.isp import Pipeline

    assert raw2logit.Pipeline is Pipeline
