"""Experiments: one public file is one command and one table; `python -m experiments.NAME --help`."""
