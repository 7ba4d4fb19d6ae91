"""Experiments: each file is one command; `python -m experiments` lists them."""
