"""Experiments: one public file, one command, one table; `python -m experiments.NAME --help`."""
