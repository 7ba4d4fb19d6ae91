"""What is said: our own everyday sentences, of which most, yet not all, betray the emotion."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from conversation_emotion.corpora.demo.process import EMOTIONS

SENTENCES = Path(__file__).parent / "data" / "sentences.csv"
ANY_EMOTION = "any"
"""How the file of sentences marks those that could be said in every emotion."""

AMBIGUOUS_SHARE = 0.18
"""Share of utterances whose sentence fits every emotion."""

MISLEADING_SHARE = 0.12
"""Share of utterances whose sentence belongs to another emotion than the speaker's."""


class Sentence(NamedTuple):
    """A sentence and the emotion it was written for, `ANY_EMOTION` if none."""

    text: str
    emotion: str


@cache
def read_sentences() -> dict[str, tuple[str, ...]]:
    """The sentences by the emotion they were written for, in the order of the file."""
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        emotion: tuple(row["text"] for row in rows if row["emotion"] == emotion)
        for emotion in (*EMOTIONS, ANY_EMOTION)
    }


def choose_sentence(emotion: str, used: set[str], generator: np.random.Generator) -> Sentence:
    """Draws a sentence that the dialogue has not used yet.

    Args:
        emotion: What the speaker feels.
        used: Texts already said in the dialogue.
        generator: Source of randomness.
    """
    others = [name for name in EMOTIONS if name != emotion]
    other = others[generator.integers(len(others))]
    draw = generator.random()
    if draw < AMBIGUOUS_SHARE:
        source = ANY_EMOTION
    elif draw < AMBIGUOUS_SHARE + MISLEADING_SHARE:
        source = other
    else:
        source = emotion
    free = [text for text in read_sentences()[source] if text not in used]
    return Sentence(free[generator.integers(len(free))], source)
