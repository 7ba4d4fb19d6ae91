"""Tracking: MLflow's runs, registry and server, without reports of use to MLflow's makers."""

import os

# MLflow reads them when it is imported; a bar for each artifact would hide a command's own.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
