"""Training: one fit, and cross-validation over folds and seeds."""
