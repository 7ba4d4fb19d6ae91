"""Saved models and what they predict."""
