"""Fine-tuning from the command line to encoders that experiments take, or refuse."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from conversation_emotion.datasets.encoder_families import HEAD
from conversation_emotion.models.fine_tuned import read_tuned
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings
from conversation_emotion.settings.fine_tuning import FinetuneSettings, TunableSettings
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import FineTuningSettings, TrainingSettings
from conversation_emotion.splits.folds import LeakageError
from conversation_emotion.tasks.prepare import prepare_recognition
from conversation_emotion.tracker import Memory, MemoryTracker
from conversation_emotion.training import fit
from conversation_emotion.training.checkpoints import StoredCheckpoints
from conversation_emotion.training.cross_validation import cross_validate
from conversation_emotion.utterances.audio import read_audio
from experiments import ser
from experiments.finetune import EXPERIMENT
from experiments.models.tuned import prepare_fine_tuning
from speech_encoders import load_speech_encoder
from speech_encoders.tuning import load_tunable
from tests.emotion2vec_models import make_model
from tests.layouts import write_emodb
from tests.text_encoders.test_text_encoders import save_model as save_bert
from tests.tracked import find_runs

SPEAKERS = ("03", "08", "16")
LETTERS = "WLEAFTN"
QUICK = FineTuningSettings(epochs=2, average_best=2, learning_rate=1e-2)


def write_corpus(root: Path) -> CorpusSettings:
    """Three speakers of EmoDB, each emotion a hum of its own."""
    names = [
        f"{speaker}{sentence}{letter}a"
        for speaker in SPEAKERS
        for sentence in ("a01", "b10")
        for letter in LETTERS
    ]
    write_emodb(root, *names)
    for name in names:
        hertz = 150 + 300 * LETTERS.index(name[5]) + 20 * SPEAKERS.index(name[:2])
        hum = 0.3 * np.sin(2 * np.pi * hertz * np.arange(2_400) / 16_000)
        soundfile.write(root / "wav" / f"{name}.wav", hum, 16_000)
    return CorpusSettings(corpus="emodb", root=root)


def write_encoder(folder: Path) -> str:
    """A small emotion2vec with random weights."""
    make_model(num_hidden_layers=2).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def config(tmp_path) -> FinetuneSettings:
    return FinetuneSettings(
        data=write_corpus(tmp_path / "EmoDB"),
        tuned=TunableSettings(speech_encoder=write_encoder(tmp_path / "encoder")),
        training=QUICK,
        output=tmp_path / "tuned",
    )


def probe(config: FinetuneSettings, encoder: Path | str) -> None:
    """Runs another experiment with an encoder."""
    training = TrainingSettings(epochs=1)
    features = EncoderSettings(speech_encoder=(str(encoder),))
    ser.EXPERIMENT.run(SERSettings(data=config.data, features=features, training=training))


def test_every_fold_gets_an_encoder_that_experiments_take_or_refuse(workplace, config, capsys):
    table = EXPERIMENT.run(config)
    assert [row.name for row in table.rows] == [
        "frozen, the same head",
        "tuned, best single checkpoint",
        "tuned, mean of the best 2",
        "majority",
    ]
    assert table.rows[-1].metrics["uar"].score == pytest.approx(1 / 7)
    assert {row.n for row in table.rows} == {42}
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"majority 14\.3", printed)
    assert re.search(r"over 3 folds x 1 seed .*n = 42", printed)
    assert "checkpoints ranked by valid wa" in printed
    assert sorted(path.name for path in config.output.iterdir()) == list(SPEAKERS)
    settings = json.loads((config.output / "08" / "config.json").read_text())
    assert settings["tuned_on"]["speakers"] == ["03", "16"]
    assert settings["tuned_on"]["corpus"] == "emodb"
    assert settings["id2label"]["0"] == "anger"
    probe(config, config.output)  # the family: each fold has its own
    with pytest.raises(LeakageError, match="08: was tuned on speaker '03' of emodb .fold '08'"):
        probe(config, config.output / "08")
    with pytest.raises(LeakageError, match="was tuned on speaker '03'"):
        EXPERIMENT.run(
            FinetuneSettings(
                data=config.data, tuned=TunableSettings(speech_encoder=str(config.output / "08"))
            )
        )
    tracked = find_runs("finetune")
    assert [parent.info.status for parent in tracked.parents] == ["FINISHED"]
    assert {"test/wa", "test/uar", "baseline_frozen/wa", "baseline_single/wa"} < set(
        tracked.parents[0].data.metrics
    )


@pytest.fixture
def family(config) -> Path:
    """Encoders of all folds, tuned without MLflow."""
    assert config.output is not None
    task = prepare_fine_tuning(config, Memory())
    task.folder = config.output
    cross_validate(task, MemoryTracker())
    return config.output


def test_a_family_that_lacks_a_fold_or_swaps_two_is_refused(workplace, config, family):
    (family / "08").rename(family / "kept")
    with pytest.raises(
        ValueError, match="no encoder for fold '08' of leave-one-speaker-out, found"
    ):
        probe(config, family)
    shutil.copytree(family / "16", family / "08")
    with pytest.raises(ValueError, match="08: was tuned on .* '16', expected .* '08'; features of"):
        probe(config, family)


def test_a_fold_of_a_family_gets_the_features_of_its_own_encoder(workplace, config, family):
    features = EncoderSettings(speech_encoder=(str(family),), speech_layers="last")
    task = prepare_recognition(SERSettings(data=config.data, features=features), Memory())
    row = torch.tensor([0])
    found = {fold: one["speech"].gather(row)[0] for fold, one in task.inputs.arrays.items()}
    assert set(found) == set(SPEAKERS)
    alone = load_speech_encoder(str(family / "08"))
    clip = torch.from_numpy(read_audio(task.dataset.utterances["audio"][0]))[None]
    states, _ = alone(clip, torch.tensor([clip.size(1)]))
    torch.testing.assert_close(
        found["08"][0, 0, 0], states[0, -1].mean(dim=0), atol=1e-4, rtol=1e-3
    )
    assert not torch.allclose(found["03"], found["08"], atol=1e-3)


def test_a_head_without_its_label_map_is_an_error(workplace, config, family):
    folder = family / "03"
    settings = json.loads((folder / "config.json").read_text())
    del settings["tuned_on"]["labels"]
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="03: the record .* lacks its label map; tune it again"):
        read_tuned(folder, cast(Any, load_tunable))
    with pytest.raises(ValueError, match="lacks its label map"):
        probe(config, folder)
    with pytest.raises(ValueError, match="encoder: the checkpoint has no label map"):
        read_tuned(Path(config.tuned.speech_encoder), cast(Any, load_tunable))


def test_a_command_that_was_killed_goes_on_within_the_fold(workplace, config, monkeypatch, capsys):
    real, trained = fit._train_epoch, []

    def train_until(last):
        def train(model, batches, loss, optimisation, checkpoints, *rest):
            if isinstance(checkpoints, StoredCheckpoints):
                if len(trained) == last:
                    raise KeyboardInterrupt
                trained.append((checkpoints.folder.name, checkpoints.epoch))
            return real(model, batches, loss, optimisation, checkpoints, *rest)

        return train

    monkeypatch.setattr(fit, "_train_epoch", train_until(3))
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(config)
    monkeypatch.setattr(fit, "_train_epoch", train_until(None))
    EXPERIMENT.run(config)
    assert "resuming run" in capsys.readouterr().out
    assert trained == [(speaker, epoch) for speaker in SPEAKERS for epoch in (0, 1)]


def test_all_that_can_be_chosen_works_together(workplace, config, tmp_path):
    pytest.importorskip("peft")
    tuned = TunableSettings(
        speech_encoder=config.tuned.speech_encoder,
        freeze="nothing",
        blocks=1,
        lora_rank=2,
        gradient_checkpointing=True,
        precision="bf16",
    )
    training = FineTuningSettings(
        epochs=2,
        average="greedy",
        layer_decay=0.5,
        select_by="uar",
        accumulate=2,
        class_weights="none",
        max_folds=1,
    )
    EXPERIMENT.run(
        FinetuneSettings(data=config.data, tuned=tuned, training=training, output=tmp_path / "lora")
    )
    saved = load_file(tmp_path / "lora" / "03" / "model.safetensors")
    assert not any("lora" in name for name in saved)
    assert {"head.weight", "head.bias"} == set(load_file(tmp_path / "lora" / "03" / HEAD))


def test_text_is_tuned_too(workplace, tmp_path):
    save_bert(tmp_path / "bert")
    rows = [
        {
            "utterance_id": f"u{number}",
            "dialogue_id": f"d{number % 9}",
            "speaker": f"p{number % 3}",
            "text": "i am happy" if number % 2 else "so sad today",
            "emotion": "up" if number % 2 else "down",
        }
        for number in range(36)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    data = CorpusSettings(
        corpus="manifest", root=tmp_path / "table.csv", labels="all", split="leave-one-speaker-out"
    )
    training = FineTuningSettings(
        epochs=15, patience=15, learning_rate=1e-2, batch_size=4, max_folds=1
    )
    bert = str(tmp_path / "bert")
    settings = FinetuneSettings(data=data, modality="text", text_encoder=bert, training=training)
    EXPERIMENT.run(settings)
    assert find_runs("finetune").parents[0].data.metrics["test/wa"] == 1.0


def write_table(path: Path, **changes: object) -> CorpusSettings:
    """A table of six speakers without speech."""
    rows = [
        {
            "utterance_id": f"u{number}",
            "dialogue_id": f"d{number % 6}",
            "speaker": f"p{number % 6}",
            "text": "so happy",
            "emotion": "up" if number % 2 else "down",
        }
        for number in range(12)
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    pd.DataFrame({**columns, **changes}).to_csv(path, index=False)
    return CorpusSettings(corpus="manifest", root=path, labels="all", num_folds=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": [None] * 11 + ["!"], "audio": "a.wav"}, "fold '1': nothing usable with a class"),
        ({"emotion": ["up"] * 11 + ["down"]}, "fold '1': the train part has no example of down"),
        ({"emotion": None}, r"needs two emotions or more, got \[\]"),
    ],
)
def test_what_a_fold_lacks_is_named_before_any_training(workplace, tmp_path, changes, message):
    save_bert(tmp_path / "bert")
    data, bert = write_table(tmp_path / "t.csv", **changes), str(tmp_path / "bert")
    with pytest.raises(ValueError, match=message):
        EXPERIMENT.run(FinetuneSettings(data=data, modality="text", text_encoder=bert))
    assert not (tmp_path / "mlruns").exists()


def test_more_blocks_than_there_are_is_an_error(workplace, config):
    tuned = TunableSettings(speech_encoder=config.tuned.speech_encoder, blocks=3)
    with pytest.raises(ValueError, match="--blocks 3: .*encoder has 2 blocks"):
        EXPERIMENT.run(FinetuneSettings(data=config.data, tuned=tuned))
