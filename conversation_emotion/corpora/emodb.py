"""EmoDB (Burkhardt et al., 2005): ten German sentences acted by ten speakers in seven emotions.

Reads the release as distributed, of which only the recordings are needed::

    wav/03a01Fa.wav

The name holds all labels: speaker 03, sentence a01, emotion F, version a. The letters of the
emotions are German: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral. All sentences are spoken
in all emotions, so the text carries no information on the emotion.

Columns behind the contract: ``sentence``, its code, and ``age``.
"""

from conversation_emotion.corpora.recordings import Layout
from conversation_emotion.utterances.labels import own_names

EMOTIONS = {
    "W": "anger", "L": "boredom", "E": "disgust", "A": "fear",
    "F": "happiness", "N": "neutral", "T": "sadness",
}  # fmt: skip

GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
"""Gender of each speaker."""

AGES = {
    "03": 31, "08": 34, "09": 21, "10": 32, "11": 26,
    "12": 30, "13": 32, "14": 35, "15": 25, "16": 31,
}  # fmt: skip
"""Years of each speaker, as the site of the corpus lists them."""

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

CORPUS = Layout(
    corpus="emodb",
    root="the EmoDB folder, the one that holds wav",
    places=("wav/*.wav",),
    name=r"<speaker><sentence><emotion>[a-z]",
    example="03a01Fa",
    language="de",
    emotions=EMOTIONS,
    codes={"speaker": own_names(GENDERS)},
    texts=SENTENCES,
    describe=lambda name, _: {"gender": GENDERS[name["speaker"]], "age": AGES[name["speaker"]]},
).source(
    labels="7-class",
    split="leave-one-speaker-out",
    valid="speaker",
    label_maps={"7-class": own_names(EMOTIONS.values())},
)
