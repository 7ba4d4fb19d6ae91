"""Evaluation: scores with intervals, significance, and results as data."""
