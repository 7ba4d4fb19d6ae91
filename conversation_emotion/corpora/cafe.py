"""CaFE (Gournay et al., 2018): six French sentences acted by twelve Canadians in seven emotions.

Reads one of the release's two archives as unpacked, or its content::

    CaFE_48k/Peur/Fort/12-P-2-5.wav
    CaFE_48k/Neutre/12-N-1-5.wav

The archive at 48 kHz counts where both are there. A name is the actor (an odd number is a man), the
emotion, its intensity (1 weak, 2 strong) and the sentence.

Columns behind the contract: ``intensity``, ``sentence``.
"""

import re
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.recordings import Layout, load_recordings
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

EMOTIONS = {
    "C": "anger",
    "D": "disgust",
    "J": "happiness",
    "N": "neutral",
    "P": "fear",
    "S": "surprise",
    "T": "sadness",
}
"""Emotion of each letter: colère, dégoût, joie, neutre, peur, surprise, tristesse."""

SENTENCES = {
    "1": "Un cheval fou dans mon jardin",
    "2": "Deux ânes aigris au pelage brun",
    "3": "Trois cygnes aveugles au bord du lac",
    "4": "Quatre vieilles truies éléphantesques",
    "5": "Cinq pumas fiers et passionnés",
    "6": "Six ours aimants domestiqués",
}
"""Words of each sentence."""

_INTENSITIES = {"1": "weak", "2": "strong"}
_LAYOUT = Layout(
    corpus="cafe",
    root="the CaFE folder, the one that holds CaFE_48k or the folders of the emotions",
    places=("CaFE_48k/**/*.wav", "**/*.wav", "**/*.aiff"),
    name=rf"(?P<actor>0[1-9]|1[0-2])-(?P<emotion>[{''.join(EMOTIONS)}])-(?P<intensity>[12])-"
    r"(?P<sentence>[1-6])",
    expected=f"an actor (01 to 12), an emotion ({', '.join(EMOTIONS)}), an intensity (1 or 2) and "
    "a sentence (1 to 6), such as 12-P-2-5",
)


def _describe(name: re.Match[str], path: Path) -> dict[str, object]:
    return {
        "speaker": name["actor"],
        "gender": "male" if int(name["actor"]) % 2 else "female",
        "language": "fr-CA",
        "text": SENTENCES[name["sentence"]],
        "emotion": EMOTIONS[name["emotion"]],
        "intensity": _INTENSITIES[name["intensity"]],
        "sentence": name["sentence"],
    }


CORPUS = CorpusSource(
    load=partial(load_recordings, layout=_LAYOUT, describe=_describe),
    root=_LAYOUT.root,
    label_maps={"4-class": four_classes(EMOTIONS.values())},
)
