"""The lab: every run is tracked with MLflow."""
