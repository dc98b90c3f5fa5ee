"""The lab: every run is tracked with MLflow."""

import os

# MLflow tells its makers how it is used, unless this is set before it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
