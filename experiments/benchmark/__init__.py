"""Benchmarks: many systems on the same targets, with all that a reviewer asks for."""
