"""Runs as a lab keeps them, with models small enough for tests, and files that must not be run."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import mlflow
import torch

from raw2logit.datasets.base import Task
from raw2logit.lab.models import write_models
from raw2logit.lab.tracking import PARENT_TAG, RUN_TAG, SPLIT_TAG
from raw2logit.tasks.base import RawTask
from raw2logit.tasks.config import TrainingConfig
from raw2logit.tasks.training import build_task
from tests.tasks.data import Levels

MODELS: dict[Task, str] = {
    "classification": "timm:test_resnet",
    "segmentation": "smp:unet/tu-test_resnet",
    "regression": "timm:test_vit",
}


class Numbers(Levels):
    """Levels whose target is a number."""

    def __init__(self) -> None:
        super().__init__("classification")
        self.task, self.classes = "regression", ()


def a_dataset(task: Task = "classification") -> Levels:
    return Numbers() if task == "regression" else Levels(task)


def a_task(task: Task = "classification", *, model: str | None = None, seed: int = 0) -> RawTask:
    """Return a task module as if it had been trained: nothing in it is as it was built."""
    config = TrainingConfig(model=model or MODELS[task])
    made = build_task(a_dataset(task), "me,u,ga", config, learn_pipeline=True, seed=seed)
    made.fit_normalisation(a_dataset(task).raw)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*made.parameters(), *made.model.buffers()]:
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator).to(tensor)
                tensor *= 1 + 0.01 * noise
    if task == "regression":
        made.fit_targets(torch.tensor([3.0, 5.0, 9.0]))
    return made.eval()


def mosaics() -> torch.Tensor:
    return torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(3)) * 0.6 + 0.1


def keep_run(
    client: mlflow.MlflowClient,
    folder: Path,
    *,
    name: str,
    tasks: list[RawTask],
    experiment: str = "kept",
    dataset: Levels | None = None,
) -> tuple[str, list[str]]:
    """Put a run with one split a task into a lab; return its id and those of its splits."""
    found = client.get_experiment_by_name(experiment)
    place = None
    if client.tracking_uri.startswith("sqlite"):
        database = Path(client.tracking_uri.removeprefix("sqlite:///"))
        place = (database.parent / "artifacts").as_uri()
    number = (
        found.experiment_id
        if found
        else client.create_experiment(experiment, artifact_location=place)
    )
    parent = client.create_run(number, run_name=name, tags={RUN_TAG: "f" * 32}).info.run_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "splits.json").write_text("[]")
    client.log_artifact(parent, str(folder / "splits.json"))
    children = []
    for split, task in enumerate(tasks, start=1):
        inside = folder / f"split-{split}"
        write_models(task, dataset or a_dataset(), inside)
        (inside / "stages").mkdir()
        (inside / "stages" / "epoch 1.png").write_bytes(b"image")
        tags = {PARENT_TAG: parent, SPLIT_TAG: str(split)}
        child = client.create_run(number, run_name=f"{name} split {split}", tags=tags).info.run_id
        client.log_artifacts(child, str(inside))
        client.set_terminated(child)
        children.append(child)
    client.set_terminated(parent)
    return parent, children


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (f"touch '{self.marker}'",))


def plant(folder: Path, marker: Path) -> None:
    """Put what must never be run beside the models in an artifact folder."""
    bomb = pickle.dumps(Bomb(marker))
    names = ("model.pkl", "data.pkl", "python_model.pkl", "data/model.pkl", "model/data.pkl")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bomb)
    for name in ("pytorch_model.bin", "data/model.pth"):
        write_torch_archive(folder / name, bomb)
    code = f"import os\nos.system(\"touch '{marker}'\")\n"
    (folder / "code").mkdir()
    for name in ("raw2logit_evil.py", "__init__.py", "loader.py"):
        (folder / "code" / name).write_text(code)
    (folder / "conda.yaml").write_text(f"dependencies: [pip: ['; touch {marker}']]\n")
    (folder / "requirements.txt").write_text(f"--install-option='; touch {marker}'\n")
    (folder / "MLmodel").write_text(
        "artifact_path: x\n"
        "flavors:\n"
        "  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl,\n"
        "    data: model.pkl, code: code, python_model: python_model.pkl}\n"
        "  sklearn: {pickled_model: model.pkl, serialization_format: pickle, code: code}\n"
        "  pytorch: {model_data: data, code: code}\n"
        f"  evil: !!python/object/apply:os.system [\"touch '{marker}'\"]\n"
    )


def write_torch_archive(path: Path, bomb: bytes) -> None:
    """Write what ``torch.load`` takes for a checkpoint."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", bomb)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
