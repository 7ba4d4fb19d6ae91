"""The plan of the demo corpus before synthesis: what is said, how it is rated, how it shall sound.

Most sentences, yet not all, betray the emotion. Valence leans on what is said, arousal and
dominance on how: their deviations from what is usual for the emotion also move the voice.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.corpora.demo.process import EMOTIONS, PROCESS, TURNS_PER_DIALOGUE

SEED = 0
NUM_DIALOGUES = 13
"""Dialogues in each session."""

SECOND_UTTERANCE_SHARE = 0.2
"""Share of turns that hold two utterances, both in the turn's emotion."""

UNLABELLED_SHARE = 0.02
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 0.6
"""Seconds of silence before an utterance."""

SENTENCES = Path(__file__).parent / "data" / "sentences.csv"
ANY_EMOTION = "any"
"""How the file of sentences marks those that could be said in every emotion."""

AMBIGUOUS_SHARE = 0.18
"""Share of utterances whose sentence fits every emotion."""

MISLEADING_SHARE = 0.12
"""Share of utterances whose sentence belongs to another emotion than the speaker's."""

USUAL_RATINGS = {
    "angry": (1.9, 4.0, 4.0),
    "happy": (4.2, 3.6, 3.4),
    "neutral": (3.0, 2.6, 3.0),
    "sad": (2.0, 2.0, 2.1),
}
"""Valence, arousal and dominance usual for an emotion, on a scale of 1 to 5."""

_TEXT_WEIGHT = 0.3
_RATING_DEVIATION = 0.4
_RATER_NOISE = 0.3

# Rate, pitch, range and loudness; the spread is wide enough for the emotions to overlap.
_EMOTION_SHIFTS = {
    "angry": np.array([18.0, 6.0, 20.0, 32.0]),
    "happy": np.array([16.0, 18.0, 55.0, 8.0]),
    "neutral": np.array([0.0, 0.0, -10.0, 0.0]),
    "sad": np.array([-30.0, -10.0, -30.0, -24.0]),
}
_AROUSAL_SHIFT = np.array([8.0, 3.0, 8.0, 6.0])
_DOMINANCE_SHIFT = np.array([0.0, -3.0, 0.0, 5.0])
_SPREAD = np.array([12.5, 6.0, 19.0, 8.0])
_LOWEST = np.array([105.0, 5.0, 10.0, 22.0])
_HIGHEST = np.array([245.0, 95.0, 220.0, 135.0])


class Prosody(NamedTuple):
    """The settings of one utterance, in the units of espeak-ng.

    ``rate`` is in words per minute, ``pitch`` from 0 to 99, ``pitch_range`` in percent of the
    voice's own, ``loudness`` from 0 to 200; the voices clip from about 135.
    """

    rate: int
    pitch: int
    pitch_range: int
    loudness: int


class Speaker(NamedTuple):
    """A voice of espeak-ng, as ``espeak-ng -v`` takes it, and how it speaks when neutral.

    ``name`` is the session and the first letter of the gender, such as Ses01_F.
    """

    name: str
    voice: str
    neutral: Prosody

    @property
    def session(self) -> str:
        """The session, such as Ses01."""
        return self.name.partition("_")[0]


SPEAKERS: tuple[Speaker, ...] = (
    Speaker("Ses01_F", "en-us+f2", Prosody(172, 46, 90, 68)),
    Speaker("Ses01_M", "en-us+m3", Prosody(166, 48, 85, 72)),
    Speaker("Ses02_F", "en-gb+f3", Prosody(178, 42, 95, 70)),
    Speaker("Ses02_M", "en-gb+m1", Prosody(170, 44, 90, 66)),
    Speaker("Ses03_F", "en-us+f4", Prosody(168, 48, 85, 74)),
    Speaker("Ses03_M", "en-gb-scotland+m2", Prosody(174, 46, 95, 70)),
    Speaker("Ses04_F", "en-gb-x-rp+f1", Prosody(164, 44, 90, 66)),
    Speaker("Ses04_M", "en-us+m7", Prosody(176, 50, 80, 68)),
    Speaker("Ses05_F", "en-029+f5", Prosody(170, 45, 90, 72)),
    Speaker("Ses05_M", "en-gb-x-gbclan+m4", Prosody(172, 47, 90, 74)),
)
"""The ten speakers, two in each session."""

SESSIONS = tuple(dict.fromkeys(speaker.session for speaker in SPEAKERS))


class PlannedUtterance(NamedTuple):
    """An utterance before it is spoken.

    ``row`` has its columns of the utterance table, without sound; ``pause`` are the seconds of
    silence before it.
    """

    row: dict[str, object]
    voice: str
    text: str
    prosody: Prosody
    pause: float


def plan_session(session: str) -> list[list[PlannedUtterance]]:
    """Plans the dialogues of one session, such as Ses01, the same in every call.

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
    for turn, emotion in enumerate(emotions):
        speaker = pair[(first_speaker + turn) % 2]
        for _ in range(2 if generator.random() < SECOND_UTTERANCE_SHARE else 1):
            yield _plan_utterance(dialogue_id, speaker, emotion, used, generator)


def _plan_utterance(
    dialogue_id: str, speaker: Speaker, emotion: str, used: set[str], generator: np.random.Generator
) -> PlannedUtterance:
    """Plans the utterance that follows those whose texts are ``used``, and adds its own."""
    order = len(used)
    text, source = _choose_sentence(emotion, used, generator)
    used.add(text)
    deviations = generator.normal(size=2)
    valence, arousal, dominance = _draw_ratings(emotion, source, deviations, generator)
    prosody = _draw_prosody(speaker, emotion, deviations, generator)
    is_labelled = generator.random() >= UNLABELLED_SHARE
    row = {
        "utterance_id": f"{dialogue_id}_{speaker.name[-1]}{order:03d}",
        "dialogue_id": dialogue_id,
        "order": order,
        "speaker": speaker.name,
        "gender": "female" if speaker.name.endswith("F") else "male",
        "session": speaker.session,
        "text": text,
        "emotion": emotion if is_labelled else None,
        "valence": valence,
        "arousal": arousal,
        "dominance": dominance,
        "sentiment": ("negative" if valence < 2.5 else "positive" if valence > 3.5 else "neutral"),
    }
    pause = float(generator.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))
    return PlannedUtterance(row, speaker.voice, text, prosody, pause)


@cache
def read_sentences() -> dict[str, list[str]]:
    """Returns the sentences by the emotion they were written for, in the order of the file."""
    texts = pd.read_csv(SENTENCES).groupby("emotion")["text"]
    return {str(emotion): list(some) for emotion, some in texts}


def _choose_sentence(
    emotion: str, used: set[str], generator: np.random.Generator
) -> tuple[str, str]:
    """Draws a sentence not used yet -> its text, and the emotion that it was written for."""
    others = [name for name in EMOTIONS if name != emotion]
    source = others[generator.integers(len(others))]
    draw = generator.random()
    if draw < AMBIGUOUS_SHARE:
        source = ANY_EMOTION
    elif draw >= AMBIGUOUS_SHARE + MISLEADING_SHARE:
        source = emotion
    free = [text for text in read_sentences()[source] if text not in used]
    return free[generator.integers(len(free))], source


def _draw_ratings(
    emotion: str, source: str, deviations: NDArray[np.float64], generator: np.random.Generator
) -> list[float]:
    """Draws valence, arousal and dominance, from 1 to 5 in half points as the mean of two raters.

    ``source`` is the emotion of the sentence; ``deviations`` say how far arousal and dominance lie
    above what is usual for the emotion, in standard deviations.
    """
    valence, *others = USUAL_RATINGS[emotion]
    said = USUAL_RATINGS["neutral" if source == ANY_EMOTION else source][0]
    leaning = (1 - _TEXT_WEIGHT) * valence + _TEXT_WEIGHT * said
    ratings = np.array([leaning, *(others + _RATING_DEVIATION * deviations)])
    ratings += _RATER_NOISE * generator.normal(size=3)
    return (np.round(ratings * 2) / 2).clip(1.0, 5.0).tolist()


def _draw_prosody(
    speaker: Speaker, emotion: str, deviations: NDArray[np.float64], generator: np.random.Generator
) -> Prosody:
    """Draws how a speaker says an utterance, given its deviations of arousal and dominance."""
    arousal, dominance = deviations
    settings = (
        np.array(speaker.neutral)
        + _EMOTION_SHIFTS[emotion]
        + arousal * _AROUSAL_SHIFT
        + dominance * _DOMINANCE_SHIFT
        + _SPREAD * generator.normal(size=len(speaker.neutral))
    )
    return Prosody(*np.clip(settings, _LOWEST, _HIGHEST).round().astype(int).tolist())
