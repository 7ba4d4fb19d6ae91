"""CaFE (Gournay et al., 2018): six French sentences acted by twelve Canadians in seven emotions.

Reads one of the release's two archives as unpacked, or its content::

    CaFE_48k/Peur/Fort/12-P-2-5.wav
    CaFE_48k/Neutre/12-N-1-5.wav

The archive at 48 kHz counts where both are there. A name is the actor (an odd number is a man), the
emotion, its intensity (1 weak, 2 strong) and the sentence.

Columns behind the contract: ``intensity``, ``sentence``.
"""

from conversation_emotion.corpora.recordings import Layout

EMOTIONS = {
    "C": "anger", "D": "disgust", "J": "happiness", "N": "neutral",
    "P": "fear", "S": "surprise", "T": "sadness",
}  # fmt: skip
"""Emotion of each letter: colère, dégoût, joie, neutre, peur, surprise, tristesse."""

SENTENCES = {
    "1": "Un cheval fou dans mon jardin",
    "2": "Deux ânes aigris au pelage brun",
    "3": "Trois cygnes aveugles au bord du lac",
    "4": "Quatre vieilles truies éléphantesques",
    "5": "Cinq pumas fiers et passionnés",
    "6": "Six ours aimants domestiqués",
}

CORPUS = Layout(
    corpus="cafe",
    root="the CaFE folder, the one that holds CaFE_48k or the folders of the emotions",
    places=("CaFE_48k/**/*.wav", "**/*.wav", "**/*.aiff"),
    name=r"(?P<speaker>0[1-9]|1[0-2])-<emotion>-<intensity>-<sentence>",
    example="12-P-2-5",
    language="fr-CA",
    emotions=EMOTIONS,
    codes={"intensity": {"1": "weak", "2": "strong"}},
    texts=SENTENCES,
    describe=lambda name, _: {"gender": "male" if int(name["speaker"]) % 2 else "female"},
).source()
