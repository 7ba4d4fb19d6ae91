"""Corpora by name: each loader turns a folder as distributed into the utterance table."""
