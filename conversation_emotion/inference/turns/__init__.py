"""Turns: who spoke when, in a recording or in the files of other tools, and files of them."""

from conversation_emotion.inference.turns.find import find_turns
from conversation_emotion.inference.turns.read import read_turns
from conversation_emotion.inference.turns.speakers import name_speakers
from conversation_emotion.inference.turns.turn import Turn, TurnError, tabulate_turns
from conversation_emotion.inference.turns.write import write_turns

__all__ = [
    "Turn",
    "TurnError",
    "find_turns",
    "name_speakers",
    "read_turns",
    "tabulate_turns",
    "write_turns",
]
