"""The sung part of RAVDESS (Livingstone & Russo, 2018); see `corpora.ravdess`."""

from conversation_emotion.corpora.ravdess import EMOTIONS, build_layout
from conversation_emotion.utterances.labels import four_classes

CORPUS = build_layout("ravdess-song", "Audio_Song_Actors_01-24", "02").source(
    label_maps={"4-class": four_classes(set(EMOTIONS.values()) - {"disgust", "surprise"})}
)
