"""Which models are kept: those better on valid, by the metric that selects."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from torch import nn

from conversation_emotion.inference.best_model import FOLDER, KeepBest, locate_encoders
from conversation_emotion.inference.card import Card
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.splits.folds import Fold, Split
from conversation_emotion.tasks.emotion import UtteranceEmotion
from conversation_emotion.tracker import MemoryTracker
from conversation_emotion.training.cross_validation import Trained
from conversation_emotion.utterances.labels import LabelMap
from tests.saved_models import LABELS, save_untrained

FOLD = Fold(name="one", train=np.arange(2), valid=np.arange(2), test=np.arange(2))
FEATURES = FeatureSettings(modality="speech", speech_pooling="mean", layer_mixture="sum")


def predictions(seed: int, targets: list[int], predicted: list[int]) -> pd.DataFrame:
    """The same predictions on valid and test."""
    rows = pd.DataFrame({"target": targets, "predicted": predicted, "fold": "one", "seed": seed})
    rows = rows.assign(utterance_id=range(len(rows)), cluster="any")
    for number, label in enumerate(LABELS):
        rows[f"p_{label}"] = np.where(rows["predicted"] == number, 0.7, 0.1)
    parts = [rows.assign(part=part, speaker=part) for part in ("valid", "test")]
    return pd.concat(parts, ignore_index=True)


COMMON = predictions(0, [0, 0, 0, 1], [0, 0, 0, 0]).assign(jsd=0.3)  # UAR 50 %, WA 75 %
RARE = predictions(1, [0, 0, 0, 1], [0, 1, 1, 1]).assign(jsd=[0.1, 0.2, np.nan, 0.3] * 2)
"""UAR 67 %, WA 50 %, and nearer to the votes."""


@pytest.mark.parametrize(
    ("select_by", "best", "score"), [("uar", 1, 2 / 3), ("wa", 0, 0.75), ("jsd", 1, 0.2)]
)
def test_the_metric_that_selects_decides_which_model_is_the_best(tmp_path, select_by, best, score):
    task, model = make_task(tmp_path, select_by)
    keep = KeepBest(task)
    parent = MemoryTracker()
    for number, table in enumerate((COMMON, RARE, RARE)):
        with parent.open_child(str(number), {}) as run:
            keep(Trained(model, table, 0.0), run)
    kept = [
        name for name, run in parent.children.items() if f"{FOLDER}/config.json" in run.artifacts
    ]
    assert kept == ["0", "1"][: best + 1]
    card = read_kept(parent.children[str(best)], tmp_path)
    training = card.training
    assert card.languages == ("de", "en")
    assert (training.seed, training.select_by, training.num_trainings) == (best, select_by, 3)
    assert training.valid.score == pytest.approx(score)
    assert (training.test.speakers, training.test.num_targets) == (("test",), 4)


def test_the_card_has_the_interval_of_the_score_over_clusters(tmp_path):
    task, model = make_task(tmp_path, "wa")
    run = MemoryTracker()
    table = COMMON.assign(cluster=COMMON["utterance_id"])
    KeepBest(task)(Trained(model, table, 0.0), run)
    test = read_kept(run, tmp_path).training.test
    assert test.low is not None
    assert test.high is not None
    assert test.low < test.score == 0.75 < test.high
    assert f"| 75.0% [{test.low:.1%}, {test.high:.1%}] |" in (tmp_path / "README.md").read_text()


def make_task(folder: Path, select_by: str = "uar") -> tuple[UtteranceEmotion, nn.Module]:
    """A task of one fold and three seeds, and a model."""
    settings = UtteranceModelSettings(hidden_size=4)
    model = load_model(save_untrained(folder / "any", settings, FEATURES)).model
    named = {name: name for name in LABELS}
    dataset = SimpleNamespace(
        label_map=LabelMap(corpus="demo", label_set="4-class", labels=LABELS, classes=named),
        emotion_labels=LABELS,
        utterances=pd.DataFrame({"language": ["en", "de", None, "en"]}),
        split=Split(name="official", folds=(FOLD,), validation="as published"),
    )
    task = SimpleNamespace(
        model=settings,
        features=FEATURES,
        dataset=dataset,
        inputs=SimpleNamespace(arrays={FOLD.name: {}}),
        training=TrainingSettings(seeds=3),
        select_by=select_by,
        trainings=lambda: [(FOLD, seed) for seed in range(3)],
    )
    return cast(UtteranceEmotion, task), model


def read_kept(run: MemoryTracker, folder: Path) -> Card:
    for name, content in run.artifacts.items():
        (folder / Path(name).name).write_bytes(bytes(content))  # type: ignore[arg-type]
    return load_model(folder).card


def test_a_model_of_a_fold_is_calibrated_by_valid_and_tested_on_test(tmp_path):
    task, model = make_task(tmp_path)
    # Right in 3 of 4 on valid, with a probability of 0.7; on test in none.
    table = COMMON.assign(target=COMMON["target"].where(COMMON["part"] == "valid", 3))
    run = MemoryTracker()
    KeepBest(task, coverage=0.8)(Trained(model, table, 0.0), run)
    card = read_kept(run, tmp_path)
    assert card.calibration is not None
    assert card.calibration_test is not None
    assert (card.calibration.coverage, card.calibration.num_speakers) == (0.8, 1)
    # One more target of all classes alike: 3 1/4 of 5 are the predicted class.
    assert card.calibration_test.ece == pytest.approx(0.65, abs=1e-3)
    assert card.calibration_test.ece_before == pytest.approx(0.7)
    # 4 of 5 true classes are sought; of 4 that is the least, a class that was not predicted.
    assert card.calibration.threshold == pytest.approx(0.35 / 3, abs=1e-3)
    assert (card.calibration_test.coverage, card.calibration_test.set_size) == (1.0, 4.0)
    assert (
        "error is 65.0%, 70.0% before;\nsets hold the true class of 100.0%"
        in (tmp_path / "README.md").read_text()
    )


def test_a_model_of_all_targets_is_calibrated_by_the_tests_of_the_folds(tmp_path):
    task, model = make_task(tmp_path)
    tables = [COMMON, COMMON.assign(seed=1, speaker="other", utterance_id=COMMON.index + 9)]
    folds = pd.concat(tables, ignore_index=True)
    learnt = COMMON.assign(target=COMMON["predicted"])  # what it predicts itself is no test
    run = MemoryTracker()
    KeepBest(task).keep_on_all(folds)(Trained(model, learnt, 0.0), run)
    card = read_kept(run, tmp_path)
    assert card.calibration is not None
    assert (card.calibration.num_targets, card.calibration.num_speakers) == (8, 2)
    assert card.calibration.threshold < 0.25  # also the classes that 1 in 4 targets are
    assert "each speaker calibrated by others" in (tmp_path / "README.md").read_text()


def test_of_equal_models_the_first_is_kept_in_whatever_order_trainings_end(tmp_path):
    task, model = make_task(tmp_path, "uar")
    keep = KeepBest(task)
    kept = []
    for seed in (2, 1, 0):  # the last to end is the first in order, but worse
        table = (COMMON if seed == 0 else RARE).assign(seed=seed)
        run = MemoryTracker()
        keep(Trained(model, table, 0.0), run)
        kept.append(f"{FOLDER}/config.json" in run.artifacts)
    assert kept == [True, True, False]


def test_encoders_are_found_again_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("tuned", "family/one"):
        Path(name).mkdir(parents=True)
        Path(name, "config.json").touch()
    Path("fbank").mkdir()  # a folder of anything, not an encoder
    features = FeatureSettings(modality="speech", speech_encoder="fbank+tuned+family")
    found = locate_encoders(features, {"family": {"one": Path("family/one")}}, "one")
    assert found.speech_encoder == f"fbank+{tmp_path}/tuned+{tmp_path}/family/one"
