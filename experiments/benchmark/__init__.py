"""Benchmarks: encoders on all tasks, and prediction of emotion with the baselines it needs."""
