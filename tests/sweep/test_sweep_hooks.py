"""What experiments report to a sweep: the scores on valid that their own runs reach, never test."""

import dataclasses
from collections.abc import Iterator

import pandas as pd
import pytest

from conversation_emotion.evaluation.metrics import count_confusions, unweighted_average_recall
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.dimensional import DimensionalSettings, RatingSettings
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.fine_tuning import MultitaskSettings
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.pretraining import AudioSettings, LoopSettings, ProbeSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.training import FitSettings, TrainingSettings
from conversation_emotion.tasks import prepare
from conversation_emotion.tasks.emotion import TurnEmotion
from conversation_emotion.tracker import Memory, Validation
from experiments.dimensional import EXPERIMENT as DIMENSIONAL
from experiments.epc import EXPERIMENT as EPC
from experiments.multitask import EXPERIMENT as MULTITASK
from experiments.pretrain_cpc import EXPERIMENT as PRETRAIN_CPC
from experiments.pretrain_cpc import PretrainCpcSettings
from experiments.ser import EXPERIMENT as SER
from speech_encoders import load_speech_encoder
from tests.small_corpus import write_corpus
from tests.tracked import find_runs

QUICK = TrainingSettings(epochs=1)
TWO_FOLDS = CorpusSettings(split="speaker-k-fold", num_folds=2)
SMALL = EPCSettings(
    data=TWO_FOLDS,
    features=FeatureSettings(modality="speech"),
    training=QUICK,
    model=ConversationModelSettings(hidden_size=8),
)


def test_a_trial_of_epc_scores_on_valid_as_its_run_does(workplace):
    scores = {found.name: found.score for found in EPC.validate(SMALL, Memory())}
    EPC.run(SMALL)
    tracked = find_runs("epc")
    file = tracked.client.download_artifacts(tracked.parents[0].info.run_id, "predictions.parquet")
    table = pd.read_parquet(file)
    valid = table[table["part"] == "valid"]
    expected = {
        f"{fold}-seed0": float(
            unweighted_average_recall(
                count_confusions(
                    part["target"].to_numpy(), part["predicted"].to_numpy(), num_classes=4
                )
            )
        )
        for fold, part in valid.groupby("fold")
    }
    assert scores == pytest.approx(expected)
    assert len(scores) == 2


class Untouchable:
    """Batches that must not be read."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} of the test part was read")

    def __iter__(self) -> Iterator[object]:
        raise AssertionError("the test part was read")


def test_a_trial_never_touches_the_test_part(workplace, monkeypatch):
    real = TurnEmotion.batches
    monkeypatch.setattr(
        TurnEmotion,
        "batches",
        lambda self, fold, seed: real(self, fold, seed)._replace(test=Untouchable()),
    )
    assert next(iter(EPC.validate(SMALL, Memory()))).score > 0
    with pytest.raises(AssertionError, match="the test part was read"):
        EPC.run(SMALL)


def test_a_corpus_is_prepared_once_for_trials_that_share_it(workplace, monkeypatch):
    calls, real = [], prepare.join_features

    def join(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(prepare, "join_features", join)
    memory = Memory()
    mean = FeatureSettings(modality="speech", speech_pooling="mean")
    for hidden_size, features in ((8, mean), (4, mean), (4, SMALL.features)):
        model = ConversationModelSettings(hidden_size=hidden_size)
        settings = dataclasses.replace(SMALL, features=features, model=model)
        found = next(iter(EPC.validate(settings, memory)))
        assert found.num_parameters > 0
        assert found.curves["valid/uar"]
    assert [args[2].speech_pooling for args in calls] == ["mean", "statistics"]


def test_a_memory_forgets_what_was_not_used_for_longest():
    memory, made = Memory(most=2), []
    for key in (1, 2, 1, 3, 1, 2):
        memory.recall(key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2]


def test_a_trial_of_ser_and_of_dimensional_yields_each_fold(workplace):
    write_corpus(workplace, num_train=6)
    manifest = CorpusSettings(corpus="manifest", root=workplace)
    probe = SERSettings(
        data=dataclasses.replace(manifest, split="speaker-k-fold", num_folds=2),
        features=EncoderSettings(speech_encoder=("fbank",)),
        training=TrainingSettings(epochs=5),
        model=UtteranceModelSettings(hidden_size=8),
    )
    found = list(SER.validate(probe, Memory()))
    assert len({one.name for one in found}) == 2
    assert all(0 < one.score <= 1 for one in found)
    ratings = DimensionalSettings(
        data=manifest,
        features=RatingSettings(stride=64),
        training=FitSettings(epochs=1, batch_size=256),
    )
    first = next(iter(DIMENSIONAL.validate(ratings, Memory())))
    assert -1 <= first.score <= 1
    assert first.curves["valid/ccc_mean"] == [pytest.approx(first.score, abs=1e-5)]


def test_a_pretraining_is_scored_by_a_probe_and_not_done_twice(workplace, monkeypatch):
    settings = PretrainCpcSettings(
        audio=AudioSettings(crop_seconds=1.0, batch_samples=64_000),
        training=LoopSettings(steps=1),
        probe=ProbeSettings(probe_seeds=1),
    )
    probed: list[str] = []

    def keep(probe: SERSettings, memory: Memory) -> Iterator[Validation]:
        probed.extend(probe.features.speech_encoder)
        yield Validation("fold-seed0", 0.5, 1, {})

    monkeypatch.setattr(SER, "validate", keep)
    for _ in range(2):
        assert [found.score for found in PRETRAIN_CPC.validate(settings, Memory())] == [0.5]
    assert len(find_runs("pretrain_cpc").parents) == 1
    assert len(probed) == 2
    assert load_speech_encoder(probed[0]).identity == load_speech_encoder(probed[1]).identity


def test_a_sweep_of_pretrainings_needs_an_end(workplace):
    with pytest.raises(ValueError, match="needs --steps or --max-minutes"):
        PRETRAIN_CPC.prepare(PretrainCpcSettings())


def test_a_sweep_of_multitask_takes_one_alpha():
    from optuna.trial import FixedTrial

    drawn = {"alpha": 0.01, "pooling": "sum", "learning_rate": 1e-4, "dropout": 0.1}
    settings = MULTITASK.search_space(FixedTrial(drawn), MultitaskSettings())
    assert settings.alphas == (0.01,)
