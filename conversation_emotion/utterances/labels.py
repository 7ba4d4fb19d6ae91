"""Label sets, explicit maps from each corpus' emotions onto them, and what each map drops."""

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

IGNORED = -100
"""Target of an utterance that is not judged: unlabelled, or dropped by the label map."""


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """How one corpus' emotions become the classes of one label set.

    Args:
        corpus: Name of the corpus whose labels are mapped.
        label_set: Name of the label set, for instance ``4-class``.
        labels: The classes in the order of the model's outputs.
        classes: Class of each emotion that is kept, as the corpus names it.
        dropped: Emotions of the corpus that no class takes; such turns stay as context.
    """

    corpus: str
    label_set: str
    labels: tuple[str, ...]
    classes: dict[str, str]
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if strange := sorted(set(self.classes.values()) - set(self.labels)):
            raise ValueError(f"{self.corpus} {self.label_set}: {strange} are not in {self.labels}")


class Targets(NamedTuple):
    """Class indices of a table's utterances and how many turns the map left unjudged.

    Attributes:
        classes: Index into the map's labels, `IGNORED` where there is none; a row per utterance.
        num_dropped: Utterances of each emotion that the map drops.
        num_unlabelled: Utterances that the corpus itself leaves without a label.
    """

    classes: pd.Series
    num_dropped: dict[str, int]
    num_unlabelled: int


FOUR_CLASSES = ("angry", "happy", "neutral", "sad")
MELD_CLASSES = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
EMODB_CLASSES = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
SENTIMENTS = ("negative", "neutral", "positive")

MSP_PODCAST_CLASSES = (
    "anger",
    "contempt",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
JL_PRIMARY_CLASSES = ("anger", "excitement", "happiness", "neutral", "sadness")

_BY_NAME = {label: label for label in FOUR_CLASSES}
_BY_NOUN = {"anger": "angry", "happiness": "happy", "neutral": "neutral", "sadness": "sad"}
_BASIC = ("disgust", "fear", "surprise")
_BAUM_STATES = ("bothered", "concentrating", "thinking", "unsure")
_JL_SECONDARY = ("anxiety", "apology", "assertiveness", "concern", "encouragement")

_DROPPED = {
    "emodb": ("boredom", "disgust", "fear"),
    "ravdess": ("calm", *_BASIC),
    "ravdess-song": ("calm", "fear"),
    "savee": _BASIC,
    "crema-d": ("disgust", "fear"),
    "tess": _BASIC,
    "esd": ("surprise",),
    "mead": ("contempt", *_BASIC),
    "msp-podcast": ("contempt", "other", *_BASIC),
    "msp-improv": ("other",),
    "m3ed": _BASIC,
    "subesco": _BASIC,
    "cafe": _BASIC,
    "emovo": _BASIC,
    "shemo": ("fear", "surprise"),
    "resd": ("disgust", "enthusiasm", "fear"),
    "urdu": (),
    "casia": ("fear", "surprise"),
    "jl-corpus": ("excitement", *_JL_SECONDARY),
    "baum-1": ("boredom", "contempt", "interest", *_BASIC, *_BAUM_STATES),
}
"""What the four classes leave out, of each corpus that names them by the nouns of `_BY_NOUN`."""

LABEL_MAPS: dict[tuple[str, str], LabelMap] = {
    (label_map.corpus, label_map.label_set): label_map
    for label_map in (
        LabelMap(
            corpus="iemocap",
            label_set="4-class",
            labels=FOUR_CLASSES,
            classes={
                "ang": "angry",
                "hap": "happy",
                "exc": "happy",
                "neu": "neutral",
                "sad": "sad",
            },
            dropped=("fru", "sur", "fea", "dis", "oth"),
        ),
        LabelMap(
            corpus="iemocap",
            label_set="6-class",
            labels=("angry", "excited", "frustrated", "happy", "neutral", "sad"),
            classes={
                "ang": "angry",
                "exc": "excited",
                "fru": "frustrated",
                "hap": "happy",
                "neu": "neutral",
                "sad": "sad",
            },
            dropped=("sur", "fea", "dis", "oth"),
        ),
        LabelMap(
            corpus="meld",
            label_set="4-class",
            labels=FOUR_CLASSES,
            classes={"anger": "angry", "joy": "happy", "neutral": "neutral", "sadness": "sad"},
            dropped=("disgust", "fear", "surprise"),
        ),
        LabelMap(
            corpus="meld",
            label_set="7-class",
            labels=MELD_CLASSES,
            classes={label: label for label in MELD_CLASSES},
        ),
        LabelMap(
            corpus="emodb",
            label_set="7-class",
            labels=EMODB_CLASSES,
            classes={label: label for label in EMODB_CLASSES},
        ),
        LabelMap(
            corpus="msp-podcast",
            label_set="8-class",
            labels=MSP_PODCAST_CLASSES,
            classes={label: label for label in MSP_PODCAST_CLASSES},
            dropped=("other",),
        ),
        LabelMap(
            corpus="jl-corpus",
            label_set="5-class",
            labels=JL_PRIMARY_CLASSES,
            classes={label: label for label in JL_PRIMARY_CLASSES},
            dropped=_JL_SECONDARY,
        ),
        LabelMap(corpus="demo", label_set="4-class", labels=FOUR_CLASSES, classes=_BY_NAME),
        *(
            LabelMap(
                corpus=corpus,
                label_set="4-class",
                labels=FOUR_CLASSES,
                classes=_BY_NOUN,
                dropped=dropped,
            )
            for corpus, dropped in _DROPPED.items()
        ),
    )
}


def find_label_map(corpus: str, label_set: str, emotions: pd.Series) -> LabelMap:
    """Finds the map of a corpus onto a label set; ``all`` keeps every emotion under its own name.

    Args:
        corpus: Name of the corpus.
        label_set: ``4-class``, another of `LABEL_MAPS`, or ``all``.
        emotions: Emotions as the corpus names them, from which ``all`` takes its classes.

    Raises:
        ValueError: The corpus has no such label set.
    """
    if label_set == "all":
        labels = tuple(sorted(emotions.dropna().astype(str).unique()))
        if len(labels) < 2:
            raise ValueError(f"{corpus}: needs two emotions or more, got {list(labels)}")
        return LabelMap(
            corpus=corpus, label_set="all", labels=labels, classes={name: name for name in labels}
        )
    if (corpus, label_set) in LABEL_MAPS:
        return LABEL_MAPS[corpus, label_set]
    if label_set == "4-class" and set(emotions.dropna()) <= set(FOUR_CLASSES):
        return LabelMap(corpus=corpus, label_set="4-class", labels=FOUR_CLASSES, classes=_BY_NAME)
    known = [name for owner, name in LABEL_MAPS if owner == corpus]
    raise ValueError(
        f"{corpus}: no map onto the label set {label_set!r}; known for this corpus are "
        f"{', '.join([*known, 'all'])}. {_own_labels_hint(emotions)}"
    )


def map_labels(emotions: pd.Series, label_map: LabelMap) -> Targets:
    """Turns emotions into class indices and counts what is not judged.

    Raises:
        ValueError: An emotion is neither kept nor dropped by the map.
    """
    known = {*label_map.classes, *label_map.dropped}
    given = emotions.dropna()
    if unknown := sorted(set(given) - known):
        example = given.index[given == unknown[0]][0]
        raise ValueError(
            f"{label_map.corpus}: unknown emotion {unknown[0]!r} (row {example}, {len(unknown)} "
            f"unknown in all); {label_map.label_set} knows {', '.join(sorted(known))}"
        )
    index = {name: label_map.labels.index(label) for name, label in label_map.classes.items()}
    classes = emotions.map(index).astype("float64").fillna(IGNORED).astype("int64")
    dropped = given[given.isin(label_map.dropped)].value_counts()
    return Targets(
        classes,
        {str(name): int(count) for name, count in sorted(dropped.items())},
        int(emotions.isna().sum()),
    )


def _own_labels_hint(emotions: pd.Series) -> str:
    found = sorted(map(str, emotions.dropna().unique()))
    return (
        f"The table names its emotions {found}; --labels all takes them as they are, "
        f"and a table that names them {', '.join(FOUR_CLASSES)} can use 4-class"
    )
