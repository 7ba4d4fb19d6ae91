"""Label sets and the maps onto them."""

from typing import get_args

import pandas as pd
import pytest

from conversation_emotion.settings.corpus import LabelSet, find_corpus, list_corpora
from conversation_emotion.utterances.labels import (
    FOUR_CLASSES,
    IGNORED,
    LabelMap,
    find_label_map,
    map_labels,
)


def load_map(corpus: str, label_set: str) -> LabelMap:
    maps = find_corpus(corpus).label_maps
    return find_label_map(corpus, label_set, pd.Series([], dtype=object), maps)


def test_iemocap_joins_excitement_with_happiness_and_counts_what_it_drops():
    emotions = pd.Series(["exc", "hap", "fru", None, "ang", "fru"])
    targets = map_labels(emotions, load_map("iemocap", "4-class"))
    assert targets.classes.tolist() == [1, 1, IGNORED, IGNORED, 0, IGNORED]
    assert targets.num_dropped == {"fru": 2}
    assert targets.num_unlabelled == 1


def test_every_map_of_a_corpus_is_onto_the_classes_of_its_set():
    for corpus in list_corpora():
        for label_set in find_corpus(corpus).label_maps:
            assert label_set in get_args(LabelSet)
            label_map = load_map(corpus, label_set)
            assert len(label_map.labels) == int(label_set.removesuffix("-class"))
            assert label_set != "4-class" or label_map.labels == FOUR_CLASSES


def test_classes_are_in_alphabetical_order_and_none_drops_an_emotion():
    emotions = pd.Series(["sad", "joy"])
    maps = {"2-class": {"sad": "low", "joy": "high", "awe": None}}
    label_map = find_label_map("mine", "2-class", emotions, maps)
    assert (label_map.labels, label_map.dropped) == (("high", "low"), ("awe",))


def test_unknown_emotion_is_an_error():
    emotions = pd.Series(["anger", "bored"])
    with pytest.raises(ValueError, match=r"meld: unknown emotion 'bored' \(row 1, 1 unknown"):
        map_labels(emotions, load_map("meld", "4-class"))


def test_all_takes_the_names_of_the_corpus_in_alphabetical_order():
    emotions = pd.Series(["joy", None, "anger", "joy"])
    label_map = find_label_map("mine", "all", emotions)
    assert label_map.labels == ("anger", "joy")
    assert map_labels(emotions, label_map).classes.tolist() == [1, IGNORED, 0, 1]


def test_a_table_with_the_four_names_needs_no_map_of_its_own():
    emotions = pd.Series(["happy", "sad"])
    assert find_label_map("mine", "4-class", emotions).labels == (
        "angry",
        "happy",
        "neutral",
        "sad",
    )


def test_a_label_set_that_the_corpus_lacks_is_an_error_with_the_remedy():
    with pytest.raises(ValueError, match=r"mine: no map onto the label set '4-class'.*\['glad'"):
        find_label_map("mine", "4-class", pd.Series(["glad", "sad"]))


def test_a_single_emotion_cannot_be_predicted():
    with pytest.raises(ValueError, match=r"mine: needs two emotions or more, got \['sad'\]"):
        find_label_map("mine", "all", pd.Series(["sad", None]))


def test_a_map_to_a_class_outside_its_set_is_an_error():
    with pytest.raises(ValueError, match=r"toy t: \['glad'\] are not in \('sad',\)"):
        LabelMap(corpus="toy", label_set="t", labels=("sad",), classes={"joy": "glad"})
