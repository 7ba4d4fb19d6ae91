"""Copies of recordings at other speeds: trained on, never tested on, at the speed they name."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from conversation_emotion.datasets.dataset import make_dataset
from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.tasks.prepare import prepare_prediction, prepare_recognition
from conversation_emotion.tracker import Memory
from conversation_emotion.utterances.table import validate_utterances
from experiments.ser import EXPERIMENT
from tests.small_corpus import write_corpus

SPEEDS = (0.9, 1.1)


@pytest.fixture(scope="module")
def plain():
    return make_dataset(CorpusSettings())


@pytest.fixture(scope="module")
def longer():
    return make_dataset(CorpusSettings(speeds=SPEEDS))


def test_copies_are_trained_on_and_never_tested_on(plain, longer):
    size = len(plain.utterances)
    ids = longer.utterances["utterance_id"]
    for before, after in zip(plain.split.folds, longer.split.folds, strict=True):
        assert after.valid.tolist() == before.valid.tolist()
        assert after.test.tolist() == before.test.tolist()
        assert after.train[after.train < size].tolist() == before.train.tolist()
        expected = {f"{ids[row]}@{speed:g}" for row in before.train for speed in SPEEDS}
        assert set(ids[after.train[after.train >= size]]) == expected
    assert "train also holds copies at speeds 0.9, 1.1" in longer.split.notes


def test_a_copy_is_its_original_but_for_names_and_speed(plain, longer):
    size = len(plain.utterances)
    validate_utterances(longer.utterances, "demo")
    pd.testing.assert_frame_equal(
        longer.utterances[:size].drop(columns="speed"), plain.utterances, check_dtype=False
    )
    assert (longer.utterances["speed"][:size] == 1).all()
    copies = longer.utterances[size:]
    by_id = plain.utterances.set_index("utterance_id")
    originals = by_id.loc[copies["utterance_id"].str.split("@").str[0]]
    for column in ("audio", "text", "speaker", "order", "emotion", "valence"):
        assert copies[column].tolist() == originals[column].tolist(), column
    assert copies["dialogue_id"].tolist() == [
        f"{dialogue}@{speed:g}"
        for dialogue, speed in zip(originals["dialogue_id"], copies["speed"], strict=True)
    ]
    classes = pd.Series(plain.classes(), index=plain.utterances["utterance_id"])
    assert longer.classes()[size:].tolist() == classes[originals.index].tolist()


def test_what_is_in_no_train_part_is_not_copied(tmp_path):
    rows = [
        {
            "utterance_id": f"u{number}",
            "dialogue_id": f"d{number}",
            "speaker": f"s{number}",
            "text": "so",
            "emotion": ("angry", "sad")[number % 2],
            "split": split,
        }
        for number, split in enumerate(["train", "train", "valid", "valid", "test", "test"])
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    settings = CorpusSettings(
        corpus="manifest", root=tmp_path / "manifest.csv", labels="all", speeds=(1.2,)
    )
    dataset = make_dataset(settings)
    assert dataset.utterances["utterance_id"].tolist()[6:] == ["u0@1.2", "u1@1.2"]


def test_the_features_of_each_copy_are_those_of_its_speed(workplace):
    write_corpus(workplace, num_train=1)
    data = CorpusSettings(corpus="manifest", root=workplace, speeds=SPEEDS)
    features = EncoderSettings(speech_encoder=("mfcc",))
    task = prepare_recognition(SERSettings(data=data, features=features), Memory())
    table, (fold,) = task.dataset.utterances, task.dataset.split.folds
    names = table["utterance_id"].str.split("@").str[0]
    same = np.flatnonzero(names == names[fold.train[0]])
    assert table["speed"][same].tolist() == [1, 0.9, 1.1]
    states, _ = task.inputs.arrays[fold.name]["speech"].gather(torch.from_numpy(same))
    for one, other in combinations(states, 2):
        assert not torch.allclose(one, other, rtol=1e-2)


def test_a_conversation_is_copied_whole():
    def windows_of(data: CorpusSettings) -> dict[str, Windows]:
        features, model = FeatureSettings(modality="text"), ConversationModelSettings()
        task = prepare_prediction(data, features, model, TrainingSettings(), Memory())
        (fold, *_), windows = task.dataset.split.folds, task.inputs.windows
        return {"train": windows.select(fold.train), "test": windows.select(fold.test)}

    before, after = windows_of(CorpusSettings()), windows_of(CorpusSettings(speeds=(1.1,)))
    assert len(after["test"]) == len(before["test"])
    train = after["train"]
    assert len(train) == 2 * len(before["train"])
    is_copy = train.rows >= len(make_dataset(CorpusSettings()).utterances)
    assert (is_copy == (is_copy[:, :1] & (train.rows != PADDING))).all()  # one speed in a window


def test_the_table_reports_that_train_holds_copies(workplace, capsys):
    table = write_corpus(workplace, num_train=1)
    data = CorpusSettings(corpus="manifest", root=workplace, speeds=(1.1,))
    features = EncoderSettings(speech_encoder=("mfcc",))
    EXPERIMENT.run(SERSettings(data=data, features=features, training=TrainingSettings(epochs=1)))
    printed = capsys.readouterr().out
    assert "note: train also holds copies at speeds 1.1" in printed
    count = len(table) + (table["split"] == "train").sum()
    assert f"{count} of {count} utterances have it" in printed


def test_a_trimmed_copy_leaves_out_the_silence_before_and_after(workplace):
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    sound = np.concatenate([np.zeros(8_000), tone, np.zeros(12_000)])
    rows = []
    for number in range(4):
        soundfile.write(f"{number}.wav", sound, 16_000)
        emotion = ("angry", "sad")[number % 2]
        rows.append({"utterance_id": f"u{number}", "audio": f"{number}.wav", "emotion": emotion})
        rows[-1]["split"] = ("train", "train", "valid", "test")[number]
    rows[1]["offset"] = 0.3
    pd.DataFrame(rows).to_csv("manifest.csv", index=False)
    settings = CorpusSettings(corpus="manifest", root=Path("manifest.csv"), labels="all")
    trimmed = make_dataset(replace(settings, trimmed=True))
    copies = trimmed.utterances[4:]
    assert copies["utterance_id"].tolist() == ["u0@trimmed", "u1@trimmed"]
    assert copies["offset"].tolist() == pytest.approx([0.4, 0.4])  # 0.1 s before the tone
    assert copies["duration"].tolist() == pytest.approx([1.2, 1.2])
    (fold,) = trimmed.split.folds
    assert (fold.train.tolist(), fold.valid.tolist(), fold.test.tolist()) == (
        [0, 1, 4, 5],
        [2],
        [3],
    )
    assert trimmed.split.notes[-1] == "train also holds copies without the silence around the sound"
