"""Datasets: a corpus with classes and folds, its features, windows and batches."""
