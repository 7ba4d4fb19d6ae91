"""Tracking: MLflow's runs, registry and server."""
