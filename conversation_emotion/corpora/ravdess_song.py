"""The sung part of RAVDESS (Livingstone & Russo, 2018); see `corpora.ravdess`."""

from functools import partial

from conversation_emotion.corpora.ravdess import EMOTIONS, load_channel
from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import four_classes

CORPUS = CorpusSource(
    load=partial(
        load_channel, corpus="ravdess-song", folder="Audio_Song_Actors_01-24", channel="02"
    ),
    root="the folder that holds Audio_Song_Actors_01-24, or Actor_01 and so on",
    label_maps={"4-class": four_classes(set(EMOTIONS.values()) - {"disgust", "surprise"})},
)
