"""Saved models as folders: what is written, what is read back, and what is refused."""

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from conversation_emotion.inference.card import describe
from conversation_emotion.inference.saved_model import find_model, load_model, read_card
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from tests.saved_models import save_untrained

SPEECH = FeatureSettings(modality="speech", speech_pooling="mean", layer_mixture="sum")
CONVERSATION = ConversationModelSettings(horizon=0, history=3, hidden_size=8, learn_from="targets")


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_untrained(tmp_path / "model", CONVERSATION, SPEECH)


def change_card(folder: Path, change) -> None:
    card = json.loads((folder / "config.json").read_text())
    change(card)
    (folder / "config.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "settings", [CONVERSATION, UtteranceModelSettings(head="gru", hidden_size=5, dropout=0.2)]
)
def test_a_card_is_read_as_it_was_written(tmp_path, settings):
    features = FeatureSettings(modality="speech", speech_pooling="frames")
    save_untrained(tmp_path, settings, features)
    card = load_model(tmp_path).card
    assert card.model == settings
    assert card.features == features
    assert card.training.select_by == "wa"


def test_the_text_of_a_card_names_metric_and_speakers_in_whole_cells(folder):
    text = (folder / "README.md").read_text()
    assert "# Emotion of the utterance that just ended: angry, happy, neutral, sad" in text
    assert "| part | speakers | targets | wa |" in text
    assert "| test, held out | a, b\\|c | 1,234 | 50.0% |" in text


def test_the_text_of_a_card_names_the_licences_of_its_corpora_and_what_it_is_not_for(folder):
    card = read_card(folder / "config.json")
    text = describe(replace(card, corpus="emodb+ravdess+mine"))
    assert "- EmoDB (Burkhardt et al., 2005): free for research\n" in text
    assert "- RAVDESS speech (Livingstone & Russo, 2018): CC BY-NC-SA 4.0\n" in text
    assert "- mine: not known; ask whoever made it" in text
    assert "Article 5(1)(f)" in text


FORMAT_1 = {
    "format": 1,
    "task": "Emotion of the utterance just heard",
    "corpus": "demo",
    "label_set": "4-class",
    "labels": ["angry", "happy", "neutral", "sad"],
    "emotions": ["angry", "happy", "neutral", "sad"],
    "features": {
        "modality": "speech",
        "speech_encoder": "fbank",
        "speech_layers": "last",
        "speech_pooling": "mean",
        "layer_mixture": "sum",
        "standardise": "train",
    },
    "encoders": {"speech": "spectral"},
    "training": {
        "protocol": "leave-one-session-out",
        "notes": [],
        "fold": "Ses01",
        "seed": 1,
        "num_trainings": 5,
        "valid": {"speakers": ["a"], "num_judged": 10, "uar": 0.5},
        "test": {"speakers": ["b"], "num_judged": 20, "uar": 0.25},
    },
    "versions": {"torch": "2.11"},
}


def write_format_1(folder: Path, experiment: str, settings: dict[str, object]) -> None:
    data = {"data": {"corpus": "demo", "root": None}, "training": {"epochs": 50}, "register": "x"}
    card = {**FORMAT_1, "experiment": experiment, "settings": {**data, **settings}}
    (folder / "config.json").write_text(json.dumps(card))


def test_a_conversation_model_of_format_1_still_loads(folder):
    before = load_model(folder).model.state_dict()
    write_format_1(
        folder, "epc", {"horizon": 0, "history": 3, "hidden_size": 8, "learn_from": "judged"}
    )
    saved = load_model(folder)
    assert saved.card.model == CONVERSATION
    assert saved.card.training.select_by == "uar"
    assert (saved.card.training.test.num_targets, saved.card.training.test.score) == (20, 0.25)
    assert all(torch.equal(value, before[name]) for name, value in saved.model.state_dict().items())


def test_an_utterance_model_of_format_1_still_loads(tmp_path):
    save_untrained(tmp_path, UtteranceModelSettings(hidden_size=5), SPEECH)
    write_format_1(tmp_path, "ser", {"head": "superb", "hidden_size": 5, "dropout": 0.25})
    card = load_model(tmp_path).card
    assert card.model == UtteranceModelSettings(head="superb", hidden_size=5, dropout=0.25)


def test_a_card_without_a_calibration_is_read(folder):
    change_card(folder, lambda card: (card.pop("calibration"), card.pop("calibration_test")))
    card = load_model(folder).card
    assert (card.calibration, card.calibration_test) == (None, None)
    assert "Not calibrated" in describe(card)


def test_another_experiment_of_format_1_is_refused(tmp_path):
    write_format_1(tmp_path, "poetry", {})
    with pytest.raises(ValueError, match="experiment 'poetry', expected one of epc, ser"):
        read_card(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(format=0), "of format 0, expected 2 or 1"),
        (lambda card: card.pop("labels"), "labels: Field required"),
        (lambda card: card["model"].update(mood=1), "unknown setting mood; .*another version"),
        (lambda card: card["features"].update(mood=1), "unknown setting features.mood"),
        (lambda card: card["model"].update(fusion="cold"), "fusion: .* got 'cold'"),
        (lambda card: card["model"].update(history=0), "--history must be 1 or more, got 0"),
    ],
)
def test_a_folder_of_another_version_is_refused(folder, change, message):
    change_card(folder, change)
    with pytest.raises(ValueError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card["model"].update(hidden_size=1_000_000), "size mismatch"),
        (lambda card: card.update(num_members=10**12), "1000000000000 members, and"),
        (lambda card: card.update(num_members=1), "members.0.perceptions"),
    ],
)
def test_weights_that_are_not_those_of_the_card_are_named(folder, change, message):
    change_card(folder, change)
    with pytest.raises(ValueError, match=f"{folder / 'model.safetensors'}: not the .*{message}"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [("model.safetensors", "is cut or broken .*; fetch"), ("config.json", "is no card of a saved")],
)
def test_a_pointer_in_place_of_a_file_is_named(folder, name, message):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=f"{folder / name}: {message}"):
        load_model(folder)


@pytest.mark.parametrize("name", ["default", "default-text", "default-sentiment"])
def test_weights_that_come_with_the_package_are_those_that_were_saved(name):
    load_model(find_model(name))
    sums = (find_model(name) / "SHA256SUMS").read_text()
    assert sums.endswith("  model.safetensors\n")


def test_weights_of_another_model_are_not_taken_for_those_that_were_saved(folder):
    weights = load_file(folder / "model.safetensors")
    changed = {name: value + 1 for name, value in weights.items()}
    save_file(changed, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match="another than was saved, for its SHA-256 is not that in SH"
    ):
        load_model(folder)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no saved model in {tmp_path}: .* config.json"):
        load_model(tmp_path)


def test_a_name_needs_the_package_to_be_installed_but_a_folder_does_not(folder, monkeypatch):
    monkeypatch.setattr(
        "conversation_emotion.inference.saved_model.entry_points",
        lambda **wanted: metadata.EntryPoints(),
    )
    assert find_model(folder) == folder == find_model(str(folder))
    with pytest.raises(ModuleNotFoundError, match="'voices' is no folder.*pip install -e ."):
        find_model("voices")
