"""The trained models of a run: pipeline and task model as artifacts, each loadable by itself.

An artifact is a folder with one safetensors file and, for MLflow, an ``MLmodel`` beside it::

    pipeline/  pipeline.safetensors  MLmodel  README.md
    task/      task.safetensors      MLmodel  README.md
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raw2logit import __version__
from raw2logit.files import write_text
from raw2logit.lab.loading import KINDS, Kind, file_of, load_pipeline, load_task

if TYPE_CHECKING:
    import mlflow
    import numpy as np
    import numpy.typing as npt

    from raw2logit.datasets import RawDataset
    from raw2logit.tasks.base import RawTask

__all__ = ["load_pipeline", "load_task", "register_models", "registered_name", "write_models"]
# MLflow refuses / and : in names; the others have a meaning in its addresses and filters.
_UNFIT = re.compile(r"[^\w .,=+()-]")
_LONGEST_NAME = 200


def write_models(task: RawTask, dataset: RawDataset, folder: Path) -> list[Path]:
    """Write pipeline and task model of a trained task module as two artifacts.

    Args:
        task: The trained module.
        dataset: That it was trained on; gives the classes.
        folder: Of the split; gets ``pipeline/`` and ``task/``. Files in them are replaced.

    Returns:
        The two safetensors files.

    Raises:
        InputError: A step of the pipeline is not registered.
    """
    from raw2logit.isp import save_pipeline
    from raw2logit.tasks.saving import save_task

    files = [
        save_pipeline(task.pipeline, folder / file_of("pipeline")),
        save_task(task, folder / file_of("task"), classes=dataset.classes),
    ]
    outputs = {
        "classification": ("int64", [-1]),
        "segmentation": ("bool", [-1, -1, -1]),
        "regression": ("float32", [-1]),
    }
    view = ("float32", [-1, 3, -1, -1])
    _write_beside("pipeline", folder, ("float32", [-1, -1, -1]), view)
    _write_beside("task", folder, view, outputs[dataset.task])
    return files


def register_models(client: mlflow.MlflowClient, run_id: str, run_name: str, split: int) -> None:
    """Register the models that a run keeps, once.

    The registered models are called ``NAME pipeline`` and ``NAME task``; characters that cannot
    stand in such a name become ``-``. A version carries the tags that tell run and split.

    Args:
        client: Of the lab.
        run_id: MLflow's, of the child run that keeps the artifacts.
        run_name: NAME.
        split: Number of the split, counted from 1.

    Raises:
        MlflowException: The lab refuses.
    """
    from mlflow.exceptions import MlflowException

    from raw2logit.lab.artifacts import run_artifacts
    from raw2logit.lab.tracking import KIND_TAG, RUN_TAG, SPLIT_TAG

    run = client.get_run(run_id)
    artifacts = run_artifacts(run, client.tracking_uri)
    tags = {key: run.data.tags[key] for key in (RUN_TAG, KIND_TAG) if key in run.data.tags}
    tags[SPLIT_TAG] = str(split)
    for kind in KINDS:
        if not artifacts.has(file_of(kind)):
            continue
        name = f"{registered_name(run_name)} {kind}"
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        filter_string = f"name = '{name}' and run_id = '{run_id}'"
        if not client.search_model_versions(filter_string):
            source = f"{run.info.artifact_uri.rstrip('/')}/{kind}"
            client.create_model_version(
                name, source, run_id=run_id, tags=tags, await_creation_for=0
            )


def registered_name(run_name: str) -> str:
    """Return a run's name as it stands in the names of its registered models."""
    return _UNFIT.sub("-", run_name).strip()[:_LONGEST_NAME] or "-"


def _write_beside(
    kind: Kind, folder: Path, takes: tuple[str, list[int]], gives: tuple[str, list[int]]
) -> None:
    import yaml

    def tensor(dtype: str, shape: list[int]) -> str:
        return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}])

    description = {
        "artifact_path": kind,
        "flavors": {
            "raw2logit": {"kind": kind, "data": f"{kind}.safetensors", "version": __version__},
            "python_function": {
                "loader_module": __name__,
                "data": f"{kind}.safetensors",
                "python_version": platform.python_version(),
                "env": {},
            },
        },
        "signature": {"inputs": tensor(*takes), "outputs": tensor(*gives), "params": None},
    }
    write_text(folder / kind / "MLmodel", yaml.safe_dump(description, sort_keys=False))
    write_text(
        folder / kind / "README.md",
        f"`{kind}.safetensors` holds all of it; in Python, in the folder above this one:\n\n"
        f'    import raw2logit as r2l; {kind} = r2l.load_{kind}("{kind}")\n',
    )


class _Predictor:
    """What MLflow's python_function calls: numpy in, numpy out."""

    def __init__(self, model: Callable[[Any], Any], dtype: Any) -> None:  # noqa: ANN401
        self._model = model
        self._dtype = dtype

    def predict(
        self,
        model_input: npt.NDArray[np.floating[Any]],
        params: dict[str, Any] | None = None,
    ) -> npt.NDArray[Any]:
        """Return a pipeline's views of mosaics, or what a task model says of views."""
        import torch

        with torch.inference_mode():
            shown = torch.as_tensor(model_input, dtype=self._dtype)
            result: npt.NDArray[Any] = self._model(shown).numpy()
        return result


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> _Predictor:
    """Load a model for ``mlflow.pyfunc.load_model``.

    Args:
        path: Of the safetensors file.
        model_config: ``{"model": "module:Class"}`` for a task model of your own.
    """
    import torch

    name = (model_config or {}).get("model")
    model: Any = load_task(path, model=name) if Path(path).stem == "task" else load_pipeline(path)
    tensors = [*model.parameters(), *model.buffers()]
    dtype = tensors[0].dtype if tensors else torch.get_default_dtype()
    return _Predictor(model.predict if hasattr(model, "predict") else model, dtype)
