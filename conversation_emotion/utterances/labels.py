"""Label sets, and maps from the emotions of a corpus onto them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

IGNORED = -100
"""Target of an utterance without a class: unlabelled, or dropped by the label map."""


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """The classes of one corpus' emotions in one label set, such as ``4-class``.

    ``labels`` are the classes in the order of the model's outputs, ``classes`` the class of each
    emotion that is kept, as the corpus names it. No class takes the ``dropped`` emotions; their
    turns stay as context.
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
    """Class indices of a table's utterances, `IGNORED` where there is none.

    ``num_dropped`` counts the utterances of each emotion that the map drops, ``num_unlabelled``
    those that the corpus itself leaves without a label.
    """

    classes: pd.Series
    num_dropped: dict[str, int]
    num_unlabelled: int


FOUR_CLASSES = ("angry", "happy", "neutral", "sad")
SENTIMENTS = ("negative", "neutral", "positive")

_BY_NOUN = {"anger": "angry", "happiness": "happy", "neutral": "neutral", "sadness": "sad"}

_NOUNS = {
    **{adjective: noun for noun, adjective in _BY_NOUN.items()},
    **{"joy": "happiness", "disgusted": "disgust", "fearful": "fear", "surprised": "surprise"},
}
"""Emotions by the other names that corpora give them."""


def name_by_noun(emotion: str) -> str:
    """Returns the name that emotions of several corpora share: ``happiness`` for happy and joy."""
    return _NOUNS.get(emotion.lower(), emotion.lower())


def four_classes(emotions: Iterable[str | None]) -> dict[str, str | None]:
    """Maps anger, happiness, neutral and sadness onto `FOUR_CLASSES`, and drops the others."""
    return {name: _BY_NOUN.get(name) for name in emotions if name is not None}


def own_names(emotions: Iterable[str]) -> dict[str, str]:
    """Maps each emotion onto a class of its own name."""
    return {name: name for name in emotions}


def find_label_map(
    corpus: str,
    label_set: str,
    emotions: pd.Series,
    label_maps: Mapping[str, Mapping[str, str | None]] | None = None,
) -> LabelMap:
    """Returns the map of a corpus onto a label set, with classes in alphabetical order.

    ``all`` keeps every emotion by its own name; ``4-class`` also serves a table that has its names.
    ``label_maps`` give the class of each emotion by label set, None where it is dropped.

    Raises:
        ValueError: The corpus has no such label set.
    """
    maps = dict(label_maps or {})
    if label_set == "all":
        maps["all"] = own_names(sorted(emotions.dropna().astype(str).unique()))
        if len(maps["all"]) < 2:
            raise ValueError(f"{corpus}: needs two emotions or more, got {list(maps['all'])}")
    elif label_set == "4-class" and set(emotions.dropna()) <= set(FOUR_CLASSES):
        maps.setdefault("4-class", own_names(FOUR_CLASSES))
    if label_set not in maps:
        found = sorted(map(str, emotions.dropna().unique()))
        raise ValueError(
            f"{corpus}: no map onto the label set {label_set!r}; this corpus has "
            f"{', '.join([*maps, 'all'])}. The table names its emotions {found}; --labels all "
            f"takes them as they are, and one with {', '.join(FOUR_CLASSES)} can use 4-class"
        )
    classes = {name: label for name, label in maps[label_set].items() if label is not None}
    return LabelMap(
        corpus=corpus,
        label_set=label_set,
        labels=tuple(sorted(set(classes.values()))),
        classes=classes,
        dropped=tuple(name for name in maps[label_set] if name not in classes),
    )


def map_labels(emotions: pd.Series, label_map: LabelMap) -> Targets:
    """Turns emotions into class indices and counts those without one.

    Raises:
        ValueError: An emotion is neither kept nor dropped by the map.
    """
    expected = {*label_map.classes, *label_map.dropped}
    given = emotions.dropna()
    if unknown := sorted(set(given) - expected):
        example = given.index[given == unknown[0]][0]
        raise ValueError(
            f"{label_map.corpus}: unknown emotion {unknown[0]!r} (row {example}, {len(unknown)} "
            f"unknown in all); {label_map.label_set} has {', '.join(sorted(expected))}"
        )
    index = {name: label_map.labels.index(label) for name, label in label_map.classes.items()}
    classes = emotions.map(index).astype("float64").fillna(IGNORED).astype("int64")
    dropped = given[given.isin(label_map.dropped)].value_counts()
    return Targets(
        classes,
        {str(name): int(count) for name, count in sorted(dropped.items())},
        int(emotions.isna().sum()),
    )
