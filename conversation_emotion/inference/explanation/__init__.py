"""Explanations: the moments, words, turns and modalities that a prediction rests on."""

from conversation_emotion.inference.explanation.explain import explain, explain_rows
from conversation_emotion.inference.explanation.explained import check_kinds
from conversation_emotion.inference.explanation.pieces import KINDS, PieceKind

__all__ = ["KINDS", "PieceKind", "check_kinds", "explain", "explain_rows"]
