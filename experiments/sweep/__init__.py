"""Sweeps: Optuna's search over the settings of an experiment."""
