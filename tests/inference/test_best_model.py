"""Which models are kept: those better on valid, by the metric that selects."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from torch import nn

from conversation_emotion.inference.best_model import FOLDER, KeepBest, locate_encoders
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
    parts = [rows.assign(part=part, speaker=part) for part in ("valid", "test")]
    return pd.concat(parts, ignore_index=True)


COMMON = predictions(0, [0, 0, 0, 1], [0, 0, 0, 0])  # UAR 50 %, WA 75 %
RARE = predictions(1, [0, 0, 0, 1], [0, 1, 1, 1])  # UAR 67 %, WA 50 %


def make_keeper(folder: Path, select_by: str) -> tuple[KeepBest, nn.Module]:
    """Makes what keeps the best of three seeds, and a model to keep."""
    settings = UtteranceModelSettings(hidden_size=4)
    model = load_model(save_untrained(folder / "any", settings, FEATURES)).model
    named = {name: name for name in LABELS}
    dataset = SimpleNamespace(
        label_map=LabelMap(corpus="demo", label_set="4-class", labels=LABELS, classes=named),
        emotion_labels=LABELS,
        utterances=(),
        split=Split(name="official", folds=(FOLD,), validation="as published"),
    )
    task = SimpleNamespace(
        model=settings,
        features=FEATURES,
        dataset=dataset,
        training=TrainingSettings(seeds=3),
        select_by=select_by,
        trainings=lambda: [(FOLD, seed) for seed in range(3)],
    )
    return KeepBest(cast(UtteranceEmotion, task)), model


@pytest.mark.parametrize(("select_by", "best", "score"), [("uar", 1, 2 / 3), ("wa", 0, 0.75)])
def test_the_metric_that_selects_decides_which_model_is_the_best(tmp_path, select_by, best, score):
    keep, model = make_keeper(tmp_path, select_by)
    parent = MemoryTracker()
    for number, table in enumerate((COMMON, RARE, RARE)):
        with parent.open_child(str(number), {}) as run:
            keep(Trained(model, table, 0.0), run)
    kept = [
        name for name, run in parent.children.items() if f"{FOLDER}/config.json" in run.artifacts
    ]
    assert kept == ["0", "1"][: best + 1]
    for name, content in parent.children[str(best)].artifacts.items():
        (tmp_path / Path(name).name).write_bytes(bytes(content))  # type: ignore[arg-type]
    training = load_model(tmp_path).card.training
    assert (training.seed, training.select_by, training.num_trainings) == (best, select_by, 3)
    assert training.valid.score == pytest.approx(score)
    assert (training.test.speakers, training.test.num_targets) == (("test",), 4)


def test_of_equal_models_the_first_is_kept_in_whatever_order_trainings_end(tmp_path):
    keep, model = make_keeper(tmp_path, "uar")
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
