"""Track a finished run with MLflow."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raw2logit.quiet import quiet

if TYPE_CHECKING:
    import mlflow

DEFAULT_LAB = Path("runs") / "lab"
_SQLITE = "sqlite:///"


def tracking_uri(given: str | None = None) -> str:
    """Return where runs are tracked: `given`, else ``$MLFLOW_TRACKING_URI``, else a SQLite file.

    The one place that decides it: MLflow's own default is a folder that MLflow refuses.
    """
    if chosen := given or os.environ.get("MLFLOW_TRACKING_URI"):
        return chosen
    DEFAULT_LAB.mkdir(parents=True, exist_ok=True)
    # Absolute: MLflow keeps stores open by address, whatever the working folder becomes.
    return f"{_SQLITE}{(DEFAULT_LAB / 'mlflow.db').resolve().as_posix()}"


def track_run(
    files: Sequence[Path],
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
        files: What the run wrote into its folder; they become artifacts.
        experiment: Name of the experiment, made if it is not there.
        params: Resolved configuration.
        metrics: Final figures; None is left out.
        uri: Address of the lab; None: see `tracking_uri`.

    Returns:
        The id of the MLflow run, or None if it could not be tracked.
    """
    import mlflow

    folder = files[0].parent
    address = uri or "the default lab"
    try:
        with quiet("alembic", "mlflow"):
            address = tracking_uri(uri)
            client = mlflow.MlflowClient(address)
            run_id = client.create_run(
                _experiment_id(client, experiment, address), run_name=folder.name
            ).info.run_id
            try:
                for key, value in params.items():
                    client.log_param(run_id, key, value)
                for key, number in metrics.items():
                    if number is not None:
                        client.log_metric(run_id, key, number)
                for file in files:
                    client.log_artifact(run_id, str(file))
            except BaseException:
                client.set_terminated(run_id, "FAILED")
                raise
            client.set_terminated(run_id)
    except Exception as error:
        warnings.warn(
            f"{address}: the run could not be tracked ({error}); its folder {folder} is complete",
            stacklevel=2,
        )
        return None
    return str(run_id)


def _experiment_id(client: mlflow.MlflowClient, name: str, address: str) -> str:
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    location = None
    if address.startswith(_SQLITE):
        # A SQLite lab keeps its artifacts beside it; a server knows its own place.
        database = Path(address.removeprefix(_SQLITE)).resolve()
        location = (database.parent / "artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))
