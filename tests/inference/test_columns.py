"""The columns that a model reads and gives are those that it is said to."""

from dataclasses import replace

import pandas as pd
import pytest
from pandas.api.types import is_numeric_dtype

from conversation_emotion.inference.columns import list_inputs, list_outputs
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.models import ConversationModelSettings
from tests.saved_models import save_untrained

ROWS = pd.DataFrame(
    {
        "text": ["I love it!", "I hate you."],
        "audio": ["nowhere.wav"] * 2,
        "speaker": ["A", "B"],
        "dialogue_id": "d",
        "order": [0, 1],
    }
)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Predictor]:
    """Models of voices, of conversations, and of the sentiment of words."""
    folder = tmp_path_factory.mktemp("turns")
    save_untrained(folder, ConversationModelSettings(hidden_size=8, horizon=0))
    return {name: Predictor.load(name) for name in ("default", "default-sentiment")} | {
        "turns": Predictor.load(folder)
    }


@pytest.mark.parametrize("name", ["default", "default-sentiment", "turns"])
def test_a_model_gives_the_columns_that_it_lists(models, name):
    predictor = models[name]
    listed = list_outputs(predictor.saved.card)
    found = predictor.predict(ROWS)
    assert list(found) == [one.name for one in listed]
    for one in listed:
        cells = found[one.name].dropna()
        assert cells.empty or is_numeric_dtype(cells.infer_objects()) == (one.kind == "number")
    bare = ROWS.assign(text=None)
    if name != "turns":
        bare = bare[["audio", "text"]]
    found = predictor.predict(bare)
    assert list(found) == [one.name for one in listed if one.is_always]


def test_a_model_lists_what_it_reads(models):
    listed = {name: list_inputs(model.saved.card) for name, model in models.items()}
    content = ["audio", "text", "offset", "duration", "channel"]
    names = {name: [one.name for one in columns] for name, columns in listed.items()}
    turns = ["dialogue_id", "order", "speaker"]
    assert names["default"] == [*content, *turns, "end", "language"]
    assert names["default-sentiment"] == content
    assert names["turns"] == [*turns, *content, "start", "end", "language"]
    needed = {
        name: [one.name for one in columns if one.is_always] for name, columns in listed.items()
    }
    assert needed == {"default": [], "default-sentiment": [], "turns": turns}
    other = replace(models["default"].saved.card, labels=("angry", "sad"))  # without a forecaster
    assert [one.name for one in list_inputs(other)] == [*content, "language"]
