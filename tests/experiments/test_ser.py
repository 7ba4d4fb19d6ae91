"""The probe of encoders from the command line to one table, and one tracked run per encoder."""

import dataclasses
import re
import shutil
import sys
from typing import get_args, get_type_hints

import numpy as np
import optuna
import pandas as pd
import pytest
import soundfile

from conversation_emotion.datasets import inputs
from conversation_emotion.evaluation.metrics import METRICS
from conversation_emotion.features import key
from conversation_emotion.models import perception
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.protocols import PROTOCOLS
from conversation_emotion.settings.recognition import SERSettings
from conversation_emotion.settings.training import Schedule, TrainingSettings
from conversation_emotion.splits.protocols import SPLITS, SplitOptions
from conversation_emotion.training import cross_validation, optimisation
from experiments.framework import commandline
from experiments.ser import EXPERIMENT
from tests.command_line import choices, squeeze, usage_error
from tests.layouts import write_emodb
from tests.tracked import find_runs

QUICK = TrainingSettings(epochs=2)
FBANK = EncoderSettings(speech_encoder=("fbank",))
LETTERS = "WLEAFTN"


def test_flags_reach_the_config():
    flags = [
        "--speech-encoder",
        "mfcc",
        "a/b",
        "--speech-layers",
        "all",
        "--seeds",
        "2",
        "--dropout",
        ".5",
    ]
    assert commandline.parse(SERSettings, flags) == SERSettings(
        features=EncoderSettings(speech_encoder=("mfcc", "a/b"), speech_layers="all"),
        training=TrainingSettings(epochs=100, patience=20, seeds=2),
        model=UtteranceModelSettings(head="auto", dropout=0.5),
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden-size", "0"], "--hidden-size must be 1 or more, got 0"),
        (["--dropout", "1"], r"--dropout must lie in \[0, 1\), got 1.0"),
        (["--speech-encoder"], "--speech-encoder needs one encoder or more"),
        (["--head", "gru", "--speech-pooling", "mean"], "--head gru needs --speech-pooling frames"),
        (["--aggregator-size", "8"], "--aggregator-size is for ecapa and attention, not for mean"),
        (["--aggregator", "ecapa", "--aggregator-size", "9"], "ecapa must be a multiple of 8: 9"),
        (
            ["--speech-encoder", "mfcc", "fbank", "mfcc"],
            "--speech-encoder names mfcc more than once",
        ),
        (["--corpus", "emodb"], "--corpus emodb needs --root"),
        (["--speech-components", "0"], "--speech-components must be 1 or more, got 0"),
        (
            ["--speech-components", "4", "--standardise", "clip"],
            "--speech-components needs --standardise train, got clip",
        ),
        (["--speeds", "0.9", "0.9"], "--speeds must differ"),
        (["--speeds", "1"], "--speeds must differ, lie in .* not be 1"),
        (["--speeds", "3"], r"--speeds must .* lie in \[0.5, 2\]"),
    ],
)
def test_a_rejected_value_is_a_usage_error(flags, message, capsys):
    assert re.search(message, usage_error(SERSettings, flags, capsys))


def test_the_choices_on_the_command_line_are_those_that_exist():
    assert choices(EncoderSettings, "layer_mixture") == {"auto", *perception.LAYER_MIXTURES}
    assert choices(EncoderSettings, "aggregator") == set(perception.AGGREGATORS)
    assert choices(EncoderSettings, "speech_pooling") == {"auto", *get_args(key.Pooling)}
    assert choices(UtteranceModelSettings, "head") == {
        "auto",
        "superb",
        "linear",
        "logistic",
        "lda",
        "svm",
        *perception.FRAME_MAPS,
    }
    assert choices(SERSettings, "protocol") == {"auto", *PROTOCOLS, *SPLITS}
    assert choices(TrainingSettings, "optimizer") == set(optimisation.OPTIMIZERS)
    assert choices(TrainingSettings, "schedule") == set(get_args(Schedule))
    assert choices(CorpusSettings, "valid") == {"auto", *choices(SplitOptions, "valid")}


def test_every_setting_of_an_encoder_reaches_its_features():
    changed = {
        "speech_layers": 3,
        "speech_pooling": "frames",
        "layer_mixture": "join",
        "aggregator": "attention",
        "aggregator_size": 7,
        "standardise": "clip",
        "half_precision": True,
        "speech_components": None,
    }
    words = {"modality", "text_encoder", "text_layers"}
    assert set(changed) | words == set(get_type_hints(EncoderSettings)) - {"speech_encoder"}
    assert EncoderSettings(speech_encoder=("x", "y"), **changed).for_encoder(
        "y"
    ) == FeatureSettings(modality="speech", speech_encoder="y", **changed)


def test_words_are_one_row_of_their_own_encoder():
    features = EncoderSettings(modality="text", text_encoder="a", text_layers=2, standardise="clip")
    settings = SERSettings(features=features).settle()
    assert list(EXPERIMENT.rows(settings)) == ["a"]
    assert settings.model.head == "logistic"
    found = settings.features_of("any")
    assert (found.modality, found.text_encoder, found.text_layers) == ("text", "a", 2)
    assert (found.standardise, found.layer_mixture) == ("clip", "join")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"modality": "text", "speech_layers": 1}, "--speech-layers has no effect with --modality"),
        ({"modality": "text", "speech_encoder": ("x",)}, "--speech-encoder has no effect with"),
        ({"modality": "text", "aggregator": "ecapa"}, "--aggregator has no effect with --modality"),
        ({"text_encoder": "x"}, "--text-encoder has no effect with --modality speech"),
    ],
)
def test_settings_of_the_other_modality_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        EncoderSettings(**features)


def test_a_head_on_frames_is_refused_for_words():
    model = UtteranceModelSettings(head="gru")
    with pytest.raises(ValueError, match="--head gru reads frames, which --modality text has not"):
        SERSettings(features=EncoderSettings(modality="text"), model=model)


def test_search_leaves_the_rest_of_the_config_alone():
    training = {"learning_rate": 1e-3, "weight_decay": 0.1, "optimizer": "rmsprop"}
    proposed = {"hidden_size": 64, "dropout": 0.25, "aggregator": "attention", **training}
    config = SERSettings(features=FBANK, training=QUICK)
    found = EXPERIMENT.search_space(optuna.trial.FixedTrial(proposed), config)
    assert found == SERSettings(
        features=dataclasses.replace(FBANK, aggregator="attention"),
        model=UtteranceModelSettings(hidden_size=64, dropout=0.25),
        training=dataclasses.replace(QUICK, **training),  # type: ignore[arg-type]
    )


@pytest.fixture
def emodb(tmp_path) -> CorpusSettings:
    """Three speakers of EmoDB whose anger hums lowest and whose neutral hums highest."""
    names = [
        f"{speaker}{sentence}{letter}a"
        for speaker in ("03", "08", "16")
        for sentence in ("a01", "a02", "b10")
        for letter in LETTERS
    ]
    root = write_emodb(tmp_path / "EmoDB", *names)
    generator = np.random.default_rng(0)
    for name in names:
        hertz = 150 + 300 * LETTERS.index(name[5])
        hum = 0.3 * np.sin(2 * np.pi * hertz * np.arange(3_200) / 16_000)
        noise = 0.01 * generator.normal(size=3_200)
        soundfile.write(root / "wav" / f"{name}.wav", hum + noise, 16_000)
    return CorpusSettings(corpus="emodb", root=root)


def test_a_table_compares_encoders_each_with_a_run_of_its_own(workplace, emodb, capsys):
    features = EncoderSettings(speech_encoder=("fbank", "mfcc"))
    training = TrainingSettings(epochs=30, seeds=2)
    EXPERIMENT.run(SERSettings(data=emodb, features=features, training=training))
    printed = capsys.readouterr().out
    for expected in (
        r"\nfbank +(9\d|100)\.\d ±",
        r"\nmfcc +(9\d|100)\.\d ±",
        r"\nmajority +14\.3 ± 0\.0",
        r"published: emotion2vec +84\.85 +84\.34 +84\.32",
        "its split of EmoDB is not published",
        r"3 folds x 2 seeds \[95 % interval over 3 speakers\], n = 63",
        "pooled UAR",
        "protocol leave-one-speaker-out; valid: the dialogues of one train speaker",
        "classes: anger, boredom, disgust, fear, happiness, neutral, sadness",
    ):
        assert re.search(expected, printed) or expected in squeeze(printed), expected
    assert "that train holds too" not in printed
    tracked = find_runs("ser")
    assert {parent.data.params["speech_encoder"] for parent in tracked.parents} == {"fbank", "mfcc"}
    for parent in tracked.parents:
        assert parent.info.status == "FINISHED"
        assert parent.info.run_name == f"emodb-speech-{parent.data.params['speech_encoder']}"
        assert {f"{part}/{name}" for part in ("test", "valid") for name in METRICS} < set(
            parent.data.metrics
        )
        assert parent.data.metrics["baseline_majority/uar"] == pytest.approx(1 / 7)
        assert sorted(
            str(child.info.run_name)
            for child in tracked.children
            if child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        ) == [f"{fold}-seed{seed}" for fold in ("03", "08", "16") for seed in (0, 1)]


def test_a_recording_on_both_sides_of_a_split_is_noted(workplace, emodb, capsys):
    # Speaker 03 trains where 08 is tested; where 03 is, it is 16.
    shutil.copy(emodb.root / "wav" / "03a01Wa.wav", emodb.root / "wav" / "08b10Na.wav")
    EXPERIMENT.run(SERSettings(data=emodb, features=FBANK, training=QUICK))
    printed = squeeze(capsys.readouterr().out)
    assert "note: 1 of 63 test utterances have a recording that train holds too" in printed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--aggregator", "ecapa", "--aggregator-size", "8"], "superb head, ECAPA-TDNN aggregator"),
        (["--head", "gru", "--hidden-size", "4"], "gru head, mean aggregator"),
        (["--standardise", "clip", "--head", "emotion2vec"], "emotion2vec head, mean aggregator"),
    ],
)
def test_heads_and_aggregators_are_trained_on_the_frames(workplace, emodb, capsys, flags, said):
    short = ["--corpus=emodb", f"--root={emodb.root}", "--epochs=1", "--speech-encoder=fbank"]
    EXPERIMENT.run(
        commandline.parse(SERSettings, [*short, "--protocol", "leave-one-speaker-out", *flags])
    )
    printed = capsys.readouterr().out
    assert said in printed
    assert "frames kept" in printed
    assert re.search(r"\nfbank +\d", printed)


def training_of(**changed) -> TrainingSettings:
    return dataclasses.replace(SERSettings().training, **changed)


def test_a_published_protocol_says_what_is_wrong_with_it(workplace, emodb, capsys, monkeypatch):
    settings = {**PROTOCOLS["emobox"].settings, "epochs": 1}
    short = PROTOCOLS["emobox"]._replace(settings=settings)
    monkeypatch.setitem(PROTOCOLS, "emobox", short)
    EXPERIMENT.run(
        SERSettings(data=emodb, features=FBANK, protocol="emobox", training=training_of())
    )
    printed = squeeze(capsys.readouterr().out)
    assert (
        "protocol emobox; valid: 20 % of train by utterance, seed 0; a quarter of each" in printed
    )
    assert "3 of 3 test speakers also speak in train (as published)" in printed
    assert "where EmoBox ignores speakers" in printed


def test_an_utterance_of_a_conversation_is_predicted_from_itself_alone(
    workplace, emodb, monkeypatch
):
    assert emodb.root is not None
    clips = sorted((emodb.root / "wav").glob("[01]*.wav"))
    rows = [
        {
            "utterance_id": clip.stem,
            "dialogue_id": f"d{number // 9}",
            "speaker": f"p{number // 9}{number % 2}",
            "audio": f"wav/{clip.name}",
            "emotion": ["low", "high", None][number % 3],
        }
        for number, clip in enumerate(clips)
    ]
    pd.DataFrame(rows).to_csv(emodb.root / "manifest.csv", index=False)
    given, real = [], inputs.WindowLoader

    def watch(windows, *args, **kwargs):
        given.append(windows)
        return real(windows, *args, **kwargs)

    monkeypatch.setattr(inputs, "WindowLoader", watch)
    data = CorpusSettings(corpus="manifest", root=emodb.root, labels="all", num_folds=2)
    EXPERIMENT.run(SERSettings(data=data, features=FBANK, training=QUICK))
    assert len(given) == 2 * 4  # folds and parts
    for windows in given:
        assert windows.rows.tolist() == windows.target_rows[:, None].tolist()
    # Of 63 utterances every third has no emotion.
    assert find_runs("ser").parents[0].data.metrics["test/num_targets"] == 42


def test_an_interrupted_comparison_goes_on_where_it_stopped(workplace, emodb, capsys, monkeypatch):
    features = EncoderSettings(speech_encoder=("fbank", "mfcc"))
    settings = SERSettings(data=emodb, features=features, training=QUICK)
    real, trained = cross_validation.train_fold, []

    def train_until(last):
        def train_fold(*args, **kwargs):
            if len(trained) == last:
                raise KeyboardInterrupt
            trained.append(1)
            return real(*args, **kwargs)

        return train_fold

    monkeypatch.setattr(cross_validation, "train_fold", train_until(4))
    with pytest.raises(KeyboardInterrupt):
        EXPERIMENT.run(settings)
    assert [parent.info.status for parent in find_runs("ser").parents] == ["KILLED"] * 2
    monkeypatch.setattr(cross_validation, "train_fold", train_until(None))
    EXPERIMENT.run(settings)
    assert capsys.readouterr().out.count("resuming run") == 2
    assert len(trained) == 6
    assert [parent.info.status for parent in find_runs("ser").parents] == ["FINISHED"] * 2


def test_other_weights_of_the_same_name_begin_a_run_of_their_own(workplace, emodb, monkeypatch):
    import speech_encoders
    from speech_encoders.spectral import fbank

    first = EXPERIMENT.prepare(SERSettings(data=emodb, features=FBANK))
    monkeypatch.setitem(
        speech_encoders.BUILDERS, "fbank", lambda name, device: fbank(num_deltas=1, device=device)
    )
    changed = EXPERIMENT.prepare(SERSettings(data=emodb, features=FBANK))
    assert changed != first


def test_a_missing_package_ends_with_the_remedy(workplace, emodb, monkeypatch):
    flags = ["--corpus", "emodb", "--root", str(emodb.root), "--speech-encoder", "egemaps"]
    monkeypatch.setattr("sys.argv", ["ser", *flags])
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(SystemExit, match=r"error: egemaps: .*'conversation-emotion\[egemaps\]'"):
        EXPERIMENT.main()


def test_an_encoder_that_cannot_be_had_ends_before_anything_is_trained(workplace, emodb):
    features = EncoderSettings(speech_encoder=("fbank", "untrained:nowhere"))
    with pytest.raises(FileNotFoundError, match="untrained:nowhere: no config.json"):
        EXPERIMENT.run(SERSettings(data=emodb, features=features, training=QUICK))
    assert not (workplace / "mlruns").exists()
