"""The plan of the demo corpus: speakers, sentences, emotions and manner, before synthesis."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from conversation_emotion.corpora.demo.process import PROCESS, TURNS_PER_DIALOGUE
from conversation_emotion.corpora.demo.prosody import SPEAKERS, Prosody, Speaker, draw_prosody
from conversation_emotion.corpora.demo.ratings import draw_ratings, sentiment_of
from conversation_emotion.corpora.demo.sentences import choose_sentence

SEED = 0
NUM_DIALOGUES = 13
"""Dialogues in each session."""

SECOND_UTTERANCE_SHARE = 0.2
"""Share of turns that hold two utterances, both in the turn's emotion."""

UNLABELLED_SHARE = 0.02
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 0.6
"""Seconds of silence before an utterance."""

SESSIONS = tuple(dict.fromkeys(speaker.session for speaker in SPEAKERS))


class PlannedUtterance(NamedTuple):
    """An utterance before it is spoken.

    Attributes:
        row: Its columns of the utterance table, without sound.
        speaker: Who speaks.
        text: The sentence.
        prosody: How it shall be spoken.
        pause: Seconds of silence before it.
    """

    row: dict[str, object]
    speaker: Speaker
    text: str
    prosody: Prosody
    pause: float


def plan_session(session: str) -> list[list[PlannedUtterance]]:
    """Plans the dialogues of one session, the same in every call.

    Args:
        session: Name of the session, such as Ses01.

    Raises:
        ValueError: There is no such session.
    """
    if session not in SESSIONS:
        raise ValueError(f"no session {session!r}; the demo has {', '.join(SESSIONS)}")
    generator = np.random.default_rng([SEED, SESSIONS.index(session)])
    pair = [speaker for speaker in SPEAKERS if speaker.session == session]
    return [
        list(_plan_dialogue(f"{session}_{dialogue:02d}", pair, generator))
        for dialogue in range(NUM_DIALOGUES)
    ]


def _plan_dialogue(
    dialogue_id: str, pair: list[Speaker], generator: np.random.Generator
) -> Iterator[PlannedUtterance]:
    """Yields the utterances of one dialogue in the order of speaking."""
    first_speaker = int(generator.integers(2))
    emotions = PROCESS.sample(int(generator.choice(TURNS_PER_DIALOGUE)), generator)
    used: set[str] = set()
    order = 0
    for turn, emotion in enumerate(emotions):
        speaker = pair[(first_speaker + turn) % 2]
        for _ in range(2 if generator.random() < SECOND_UTTERANCE_SHARE else 1):
            planned = _plan_utterance(dialogue_id, order, speaker, emotion, used, generator)
            used.add(planned.text)
            order += 1
            yield planned


def _plan_utterance(
    dialogue_id: str,
    order: int,
    speaker: Speaker,
    emotion: str,
    used: set[str],
    generator: np.random.Generator,
) -> PlannedUtterance:
    sentence = choose_sentence(emotion, used, generator)
    ratings = draw_ratings(emotion, sentence.emotion, generator)
    prosody = draw_prosody(
        speaker, emotion, ratings.arousal_deviation, ratings.dominance_deviation, generator
    )
    is_labelled = generator.random() >= UNLABELLED_SHARE
    row = {
        "utterance_id": f"{dialogue_id}_{speaker.name[-1]}{order:03d}",
        "dialogue_id": dialogue_id,
        "order": order,
        "speaker": speaker.name,
        "gender": speaker.gender,
        "session": speaker.session,
        "text": sentence.text,
        "emotion": emotion if is_labelled else None,
        **{name: getattr(ratings, name) for name in ("valence", "arousal", "dominance")},
        "sentiment": sentiment_of(ratings.valence),
    }
    pause = float(generator.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
    return PlannedUtterance(row, speaker, sentence.text, prosody, pause)
