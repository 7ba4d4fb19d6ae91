"""Splits: the folds of published and of general protocols, audited for leaks."""
