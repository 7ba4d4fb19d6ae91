"""Utterances: the table, its audio and its labels."""
