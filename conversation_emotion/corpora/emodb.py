"""EmoDB (Burkhardt et al., 2005): ten German sentences acted by ten speakers in seven emotions.

Reads the release as distributed, of which only the recordings are needed::

    wav/03a01Fa.wav

The name says all there is to know: speaker 03, sentence a01, emotion F, version a. The letters of
the emotions are German: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral. Each utterance is
its own dialogue, for nobody answers. All sentences are spoken in all emotions, so the text tells
nothing.

A column behind the contract: ``sentence``, its code.
"""

import re
from pathlib import Path

import pandas as pd

from conversation_emotion.utterances import build_utterances

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
}
"""Emotion of each letter."""

GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
"""Gender of each speaker."""

SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
"""Words of each sentence."""

_NAME = re.compile(
    rf"(?P<speaker>{'|'.join(GENDERS)})(?P<sentence>{'|'.join(SENTENCES)})"
    rf"(?P<emotion>[{''.join(EMOTIONS)}])[a-z]"
)


def load_emodb(root: Path) -> pd.DataFrame:
    """Reads the recordings under ``root`` into the utterance table.

    Args:
        root: The EmoDB folder, the one that holds ``wav``.

    Raises:
        FileNotFoundError: ``root`` has no folder ``wav``, or it holds no recording.
        ValueError: The name of a recording is not one of this corpus.
    """
    recordings = sorted(
        path for path in (root / "wav").glob("*.wav") if not path.name.startswith("._")
    )
    if not recordings:
        raise FileNotFoundError(
            f"emodb: no wav/*.wav under {root}; pass the EmoDB folder, the one that holds wav"
        )
    return build_utterances((_describe(path.resolve()) for path in recordings), "emodb")


def _describe(path: Path) -> dict[str, object]:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise ValueError(
            f"emodb: {path} is named {path.stem!r}, expected a speaker ({', '.join(GENDERS)}), a "
            f"sentence ({', '.join(SENTENCES)}), an emotion ({', '.join(EMOTIONS)}) and a version, "
            "such as 03a01Fa; move away what is no recording of EmoDB"
        )
    return {
        "utterance_id": path.stem,
        "dialogue_id": path.stem,
        "order": 0,
        "speaker": match["speaker"],
        "gender": GENDERS[match["speaker"]],
        "language": "de",
        "text": SENTENCES[match["sentence"]],
        "audio": str(path),
        "emotion": EMOTIONS[match["emotion"]],
        "sentence": match["sentence"],
    }
