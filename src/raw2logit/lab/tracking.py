"""Track a finished run with MLflow."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

DEFAULT_LAB = Path("runs") / "lab"


def tracking_uri(given: str | None = None) -> str:
    """Return where runs are tracked: `given`, else ``$MLFLOW_TRACKING_URI``, else a SQLite file.

    The one place that decides it: MLflow's own default is a folder that MLflow refuses.
    """
    if chosen := given or os.environ.get("MLFLOW_TRACKING_URI"):
        return chosen
    DEFAULT_LAB.mkdir(parents=True, exist_ok=True)
    # Absolute: MLflow keeps stores open by address, whatever the working folder becomes.
    return f"sqlite:///{(DEFAULT_LAB / 'mlflow.db').resolve().as_posix()}"


def track_run(
    folder: Path,
    *,
    experiment: str,
    params: Mapping[str, object],
    metrics: Mapping[str, float | None],
    uri: str | None = None,
) -> str | None:
    """Track the files, parameters and metrics of a run that has ended.

    The run's own folder is complete before: a lab that cannot be reached costs a warning, not the
    run.

    Args:
        folder: The run's folder; its files (not its trained models) become artifacts.
        experiment: Name of the experiment, made if it is not there.
        params: Resolved configuration.
        metrics: Final figures; None is left out.
        uri: Address of the lab; None: see `tracking_uri`.

    Returns:
        The id of the MLflow run, or None if it could not be tracked.
    """
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    address = tracking_uri(uri)
    try:
        client = mlflow.MlflowClient(address)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            # A SQLite lab keeps its artifacts beside it; a server knows its own place.
            local = (DEFAULT_LAB / "artifacts").resolve().as_uri() if uri_is_default(uri) else None
            experiment_id = client.create_experiment(experiment, artifact_location=local)
        else:
            experiment_id = found.experiment_id
        run = client.create_run(experiment_id, run_name=folder.name)
        for key, value in params.items():
            client.log_param(run.info.run_id, key, value)
        for key, number in metrics.items():
            if number is not None:
                client.log_metric(run.info.run_id, key, number)
        for path in sorted(folder.iterdir()):
            if path.is_file():
                client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id)
    except Exception as error:
        warnings.warn(
            f"{address}: the run could not be tracked ({error}); its folder {folder} is complete",
            stacklevel=2,
        )
        return None
    return str(run.info.run_id)


def uri_is_default(given: str | None) -> bool:
    """Tell whether `tracking_uri` falls back to the SQLite file."""
    return not (given or os.environ.get("MLFLOW_TRACKING_URI"))
