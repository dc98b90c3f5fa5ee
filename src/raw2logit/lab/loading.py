"""Load trained models from files, folders and labs.

What is loaded comes from the safetensors file alone. MLflow's own ``MLmodel`` beside it, which may
name code, is never read; no other file is downloaded; and nothing is ever unpickled.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from raw2logit.errors import InputError, MissingDataError

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities import Run

    from raw2logit.isp import Pipeline
    from raw2logit.lab.artifacts import Artifacts
    from raw2logit.tasks.saving import TaskModel

Kind = Literal["pipeline", "task"]
KINDS: tuple[Kind, ...] = ("pipeline", "task")
_T = TypeVar("_T")
_SPLIT = re.compile(r"split-([1-9][0-9]*)")


def file_of(kind: Kind) -> str:
    """Return the path of a model's file among the artifacts of a run."""
    return f"{kind}/{kind}.safetensors"


def load_pipeline(where: Path | str, *, tracking_uri: str | None = None) -> Pipeline:
    """Load a pipeline from a file, a folder or a lab.

    Args:
        where: What `raw2logit.save_pipeline` wrote; the folder of a run or of one of its splits,
            or what ``raw2logit lab fetch`` wrote; ``runs:/RUN_ID``; or ``models:/NAME/VERSION``,
            ``models:/NAME/latest``, ``models:/NAME@ALIAS``.
        tracking_uri: Address of the lab; None: ``$MLFLOW_TRACKING_URI``, else the default lab.

    Returns:
        The pipeline, frozen and in evaluation mode; call ``unfreeze().train()`` to go on learning.

    Raises:
        MissingDataError: There is nothing of the kind.
        InputError: What is there is no pipeline, holds a step that is not registered here, or is
            one of several.
    """
    from raw2logit.isp import load_pipeline as load

    return _load("pipeline", where, tracking_uri, load)


def load_task(
    where: Path | str, *, model: str | None = None, tracking_uri: str | None = None
) -> TaskModel:
    """Load a task model from a file, a folder or a lab.

    Args:
        where: As in `load_pipeline`.
        model: Name of the architecture; needed for one of your own (``module:Class``,
            ``file.py:Class``), which is code that is run: a file's word is not enough.
        tracking_uri: As in `load_pipeline`.

    Returns:
        The model, frozen and in evaluation mode.

    Raises:
        MissingDataError: There is nothing of the kind.
        InputError: What is there is no task model, needs `model`, or is one of several.
    """
    from raw2logit.tasks.saving import load_task_file

    return _load("task", where, tracking_uri, lambda path: load_task_file(path, model))


def _load(
    kind: Kind, where: Path | str, tracking_uri: str | None, load: Callable[[Path], _T]
) -> _T:
    address = where if isinstance(where, str) else ""
    if not address.startswith(("runs:", "models:")):
        return load(_local_file(kind, Path(where)))
    from raw2logit.lab.artifacts import reading_lab

    with tempfile.TemporaryDirectory(prefix="raw2logit-") as temporary:
        with reading_lab(tracking_uri) as (client, lab):
            artifacts, file = _in_lab(kind, address, client, lab)
            path = artifacts.download(file, Path(temporary))
        try:
            return load(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), address)) from error


def _local_file(kind: Kind, where: Path) -> Path:
    try:
        if where.is_file():
            return where
        is_folder = where.is_dir()
    except OSError as error:  # a name that is too long, or a place that is not to be looked into
        raise MissingDataError(f"{str(where)[:200]}: {error.strerror}") from error
    if not is_folder:
        raise MissingDataError(f"{where}: no such file or folder")
    for path in (where / f"{kind}.safetensors", where / file_of(kind)):
        if path.is_file():
            return path
    found = [
        place
        for place in where.iterdir()
        if _SPLIT.fullmatch(place.name) and (place / file_of(kind)).is_file()
    ]
    return _only(kind, str(where), {_number(place): place for place in found}) / file_of(kind)


def _number(split: Path) -> int:
    return int(split.name.removeprefix("split-"))


def _in_lab(
    kind: Kind, address: str, client: mlflow.MlflowClient, lab: str
) -> tuple[Artifacts, str]:
    """Return where the file of a ``runs:/`` or ``models:/`` address lies."""
    from raw2logit.lab.artifacts import Artifacts, run_artifacts, splits_of

    if address.startswith("models:"):
        name, version = _version(client, address)
        uri = client.get_model_version_download_uri(name, version)
        artifacts, file = Artifacts(uri, lab, address), f"{kind}.safetensors"
    else:
        run_id, _, path = address.removeprefix("runs:").strip("/").partition("/")
        if not run_id or path not in ("", kind):
            raise InputError(f"{address}: a {kind} is named as runs:/RUN_ID or runs:/RUN_ID/{kind}")
        run = client.get_run(run_id)
        artifacts, file = run_artifacts(run, lab), file_of(kind)
        if not artifacts.has(file):
            keeping: dict[int, Run] = {
                number: child
                for number, child in splits_of(client, run).items()
                if run_artifacts(child, lab).has(file)
            }
            artifacts = run_artifacts(_only(kind, address, keeping), lab)
    if not artifacts.has(file):
        raise MissingDataError(f"{address}: holds no {file}")
    return artifacts, file


def _version(client: mlflow.MlflowClient, address: str) -> tuple[str, str]:
    """Return name and version that a ``models:/`` address means."""
    rest = address.removeprefix("models:").strip("/")
    name, slash, version = rest.partition("/")
    if not slash:
        name, _, alias = rest.rpartition("@")
        if name and alias:
            return name, str(client.get_model_version_by_alias(name, alias).version)
    if name and version == "latest":
        quote = '"' if "'" in name else "'"
        found = client.search_model_versions(f"name = {quote}{name}{quote}")
        if not found:
            raise MissingDataError(f"{address}: no such model, or no version of it")
        return name, str(max(int(one.version) for one in found))
    if not name or not version.isdecimal():
        raise InputError(
            f"{address}: a registered model is named as models:/NAME/VERSION, models:/NAME/latest "
            "or models:/NAME@ALIAS"
        )
    return name, version


def _only(kind: Kind, where: str, splits: dict[int, _T]) -> _T:
    """Return the one split that keeps a model."""
    if not splits:
        raise MissingDataError(f"{where}: holds no {kind} (no {file_of(kind)} in it)")
    if len(splits) > 1:
        listed = "; ".join(_shown(number, splits[number]) for number in sorted(splits))
        raise InputError(f"{where}: holds the {kind} of several splits: name one of {listed}")
    return next(iter(splits.values()))


def _shown(number: int, place: Any) -> str:  # noqa: ANN401 - a folder or a run
    if isinstance(place, Path):
        return str(place)
    return f"runs:/{place.info.run_id} (split {number})"
