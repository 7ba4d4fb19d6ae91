"""Published figures against the papers' tables, and errors in a file of them."""

import re

import pytest

from conversation_emotion.evaluation.published import (
    FILE,
    describe_pretraining,
    find_published,
    read_figures,
)


@pytest.mark.parametrize(
    ("task", "keys", "place", "values"),
    [
        ("epc", {"corpus": "iemocap", "modality": "speech"}, 0, {"uar": 56.78, "macro_f1": 55.11}),
        ("epc", {"corpus": "iemocap", "modality": "speech"}, 3, {"uar": 77.19, "macro_f1": 76.71}),
        ("epc", {"corpus": "meld", "modality": "text"}, 2, {"uar": 45.44, "macro_f1": 45.13}),
        (
            "ser",
            {"corpus": "emodb", "label_set": "7-class"},
            3,
            {"uar": 84.85, "wa": 84.34, "weighted_f1": 84.32},
        ),
        ("ser", {"corpus": "meld"}, 0, {"wa": 46.95}),
        ("ser", {"corpus": "savee"}, 2, {"wa": 84.38, "weighted_f1": 84.45}),
        ("finetune", {"corpus": "iemocap"}, 1, {"uar": 73.45, "wa": 72.99}),
        ("multitask", {"alpha": 0.01}, 0, {"wa": 76.34, "wer": 20.07}),
        ("sentiment", {"corpus": "cmu-mosei"}, 0, {"weighted_f1": 74.75}),
        ("cross_corpus", {"train": "ravdess", "corpus": "meld"}, 1, {"wa": 23.06}),
        ("cross_corpus", {"train": "savee", "corpus": "iemocap"}, 2, {"wa": 46.12}),
        ("fusion", {"row": 11}, 0, {"uar": 71.46, "wa": 70.56}),
    ],
)
def test_figures_are_those_of_the_papers(task, keys, place, values):
    row = find_published(task, **keys)[place]
    assert {name: float(row.cell(name).score) for name in row.values} == values
    assert row.kind == "published"


def test_concordance_is_no_share():
    (row,) = find_published("dimensional", corpus="iemocap")
    assert row.name == "published: pre-trained CPC, five-fold"
    assert list(row.values.items()) == [
        ("ccc_mean", 0.731),
        ("ccc_arousal", 0.752),
        ("ccc_valence", 0.752),
        ("ccc_dominance", 0.691),
    ]


def test_every_figure_has_a_source_and_what_nobody_published_is_not_found():
    assert all(row.source and row.corpus and row.values for row in read_figures())
    assert len(find_published("epc", corpus="iemocap", modality="speech")) == 4
    assert find_published("epc", corpus="demo") == []
    with pytest.raises(ValueError, match="task 'song'; choose from cross_corpus, dimensional, epc"):
        find_published("song")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metrics = { uar =", "metrics = { ua =", "no metric 'ua'; choose from uar, macro_f1"),
        ('source = "shi-2023"', 'source = "shi"', "no source 'shi'; choose from shi-2023"),
        ('modality = "text"', 'modelity = "text"', "modelity"),
    ],
)
def test_an_unknown_key_is_an_error(tmp_path, old, new, message):
    broken = tmp_path / "published.toml"
    broken.write_text(FILE.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_figures(broken)


def test_pre_training_on_a_corpus_is_described_once_for_each_encoder():
    (found,) = describe_pretraining(["/models/emotion2vec_base"], ["meld", "ravdess"])
    assert found == "/models/emotion2vec_base was pre-trained on meld: without labels"
    encoders = ["mfcc+emotion2vec-mini", "emotion2vec-mini"]
    assert list(describe_pretraining(encoders, ["ravdess", "emodb"])) == [
        "emotion2vec-mini was pre-trained on ravdess: its 720 clips of actors 01 to 12, without "
        "labels"
    ]
