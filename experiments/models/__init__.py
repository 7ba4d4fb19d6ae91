"""Encoders and trained models in use; the only place that knows the encoder packages."""
