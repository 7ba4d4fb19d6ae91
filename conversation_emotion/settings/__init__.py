"""Settings: frozen dataclasses whose docstrings are the help; nothing here imports torch."""
