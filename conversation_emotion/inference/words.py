"""What the words of turns tell: their sentiment, and the emotion of turns without usable sound."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.features.encoders import Encoder
from conversation_emotion.inference.card import Card
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.utterances.labels import name_by_noun
from conversation_emotion.utterances.languages import code_language
from conversation_emotion.utterances.places import place_emotions
from conversation_emotion.utterances.table import has_text

if TYPE_CHECKING:
    from conversation_emotion.inference.predictor import Predictor

SHIPPED = {"sentiment": "default-sentiment", "emotion": "default-text"}
"""Models of words that come with the package; their encoder is a package of its own."""

BETWEEN = "|"
"""Stands between the classes of a prediction set, whose names may have spaces."""


class WordModels:
    """Models of single texts, loaded when the first words come.

    Where one of the package cannot be loaded, such as without its encoder, a line says so and the
    rest goes on without.

    Args:
        load: Loads a model by name.
        sentiment: Name of the model of sentiment; None for none.
        emotion: Name of the model of emotion; None for none.

    Raises:
        FileNotFoundError: There is no model of that name, if it is not of the package.
        ValueError: One predicts something else, or from sound, or in conversations.
    """

    def __init__(
        self, load: "Callable[[str], Predictor]", sentiment: str | None, emotion: str | None
    ) -> None:
        self._load = load
        self._names = {"sentiment": sentiment, "emotion": emotion}
        self._encoders: dict[str, Encoder] = {}
        for target, name in self._names.items():
            if name not in (SHIPPED[target], None):  # what a user chose is checked before any work
                getattr(self, target)

    @cached_property
    def sentiment(self) -> "Predictor | None":
        """The model of sentiment, None if there is none."""
        return self._find("sentiment")

    @cached_property
    def emotion(self) -> "Predictor | None":
        """The model of emotion, None if there is none."""
        return self._find("emotion")

    def _find(self, target: str) -> "Predictor | None":
        name = self._names[target]
        if name is None:
            return None
        try:
            found = self._load(name)
        except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
            if name != SHIPPED[target]:
                raise
            print(f"words give no {target}, {name} cannot be loaded: {error}")
            return None
        for source, encoder in found.encoders.items():  # both models may have the same
            found.encoders[source] = self._encoders.setdefault(encoder.identity, encoder)
        card = found.saved.card
        is_of_text = card.features.modality == "text" and not card.is_conversation
        if card.target != target or not is_of_text:
            raise ValueError(
                f"{name}: {card.task} from {card.features.modality}, expected a model of the "
                f"{target} of single utterances from text"
            )
        return found


def complete(
    models: WordModels,
    card: Card,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    *,
    classes: Sequence[str] = (),
    min_confidence: float = 0.0,
) -> pd.DataFrame:
    """Adds what words tell to the predictions of a model of emotion.

    A row with words, at least a letter or digit, gets ``sentiment`` and the probability of each
    polarity, ``sentiment_negative`` and so on. Where a model of single voices finds no emotion, the
    words give it, in the classes that both models have; ``modality`` is then ``text``, elsewhere
    ``speech``. Words in a language that the model of words did not learn, where both are known, are
    left out, counted and named.

    Args:
        models: The models of words.
        card: That of the model of the predictions.
        rows: What was predicted, maybe with the columns ``text`` and ``language``.
        table: The predictions, a row for each.
        classes: Emotions to choose from; all if empty.
        min_confidence: Probability below which no emotion is named.

    Returns:
        The predictions; as they are where no row has words.
    """
    has_any = mark_words(rows)
    if not has_any.any():
        return table
    index, table = table.index, table.reset_index(drop=True)
    rows = rows.reset_index(drop=True)
    problems = table.pop("problem")
    table["problem"] = problems  # stays the last column
    if isinstance(card.model, UtteranceModelSettings) and card.features.modality == "speech":
        table = _fill_emotions(models, card.labels, rows, table, classes)
        is_unsure = (table["modality"] == "text") & (table["confidence"] < min_confidence)
        table.loc[is_unsure, "emotion"] = None
        table.loc[is_unsure, "problem"] = f"no emotion reaches the probability {min_confidence:g}"
    return _add_sentiment(models, rows, table).set_axis(index)


def mark_words(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Marks the rows whose text has a letter or digit, so that emoji and notes alone are none."""
    if "text" not in rows:
        return np.zeros(len(rows), dtype=bool)
    return np.array(
        [isinstance(text, str) and any(map(str.isalnum, text)) for text in rows["text"]], dtype=bool
    )


def _fill_emotions(
    models: WordModels,
    labels: Sequence[str],
    rows: pd.DataFrame,
    table: pd.DataFrame,
    classes: Sequence[str],
) -> pd.DataFrame:
    """Predicts the emotion of rows without one from their words, among the classes ``labels``."""
    is_missing = table[f"p_{labels[0]}"].isna().to_numpy()
    modality = np.full(len(table), "speech", dtype=object)
    modality[is_missing] = None
    table.insert(len(table.columns) - 1, "modality", modality)
    has_sound = rows["audio"].notna() if "audio" in rows else pd.Series(False, index=rows.index)
    is_text_alone = is_missing & has_text(rows) & ~has_sound
    why = "not predicted: no sound, and no words that a model knows"
    table["problem"] = table["problem"].mask(is_text_alone, why)
    chosen = is_missing & mark_words(rows)
    if not chosen.any() or models.emotion is None:
        return table
    chosen &= _knows_language(models.emotion, rows, chosen)
    found = models.emotion.predict(rows.loc[chosen, ["text"]]) if chosen.any() else None
    filled = None if found is None else _translate(found, models.emotion, labels, classes)
    if filled is None:
        return table
    for column in filled.columns.intersection(table.columns):
        mixed = table[column].astype(object).mask(chosen, filled[column].astype(object))
        table[column] = mixed.infer_objects()
    named = "its words alone: " + table["problem"].str.removeprefix("not predicted: ")
    table["problem"] = table["problem"].mask(chosen, named.where(has_sound, ""))
    table.loc[chosen, "modality"] = "text"
    return table


def _translate(
    found: pd.DataFrame, model: "Predictor", labels: Sequence[str], classes: Sequence[str]
) -> pd.DataFrame | None:
    """Returns predictions in the classes of another model, None if they have none in common."""
    places = {name_by_noun(label): label for label in labels if label in (classes or labels)}
    names = {label: places.get(name_by_noun(label)) for label in model.saved.card.labels}
    if not any(names.values()):
        return None
    probabilities = np.zeros((len(found), len(labels)))
    for own, other in names.items():
        if other is not None:
            probabilities[:, list(labels).index(other)] += found[f"p_{own}"]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    sets = None
    if all(names.values()) and found["prediction_set"].notna().all():
        sets = [
            BETWEEN.join(str(names[own]) for own in members.split(BETWEEN))
            for members in found["prediction_set"]
        ]
    columns = {
        "emotion": [labels[number] for number in probabilities.argmax(axis=1)],
        **{f"p_{label}": probabilities[:, number] for number, label in enumerate(labels)},
        "confidence": probabilities.max(axis=1),
        "prediction_set": sets,
        **place_emotions(labels, probabilities).to_dict("list"),
    }
    return pd.DataFrame(columns, index=found.index)


def _add_sentiment(models: WordModels, rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Adds the sentiment of the rows with words, before the problem."""
    chosen = mark_words(rows)
    if models.sentiment is None:
        return table
    chosen &= _knows_language(models.sentiment, rows, chosen)
    labels = models.sentiment.saved.card.labels
    columns = {"sentiment": "sentiment", **{f"p_{label}": f"sentiment_{label}" for label in labels}}
    found = pd.DataFrame(columns=list(columns), index=rows.index[:0])
    if chosen.any():
        found = models.sentiment.predict(rows.loc[chosen, ["text"]])
    found = found[list(columns)].rename(columns=columns).reindex(table.index)
    problems = table.pop("problem")
    return pd.concat([table, found, problems], axis=1)


def _knows_language(
    model: "Predictor", rows: pd.DataFrame, chosen: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Marks the rows in a language of the model, or in an unknown one; names the others."""
    known = model.saved.card.languages
    if not known or "language" not in rows:
        return np.ones(len(rows), dtype=bool)
    codes = rows["language"].map(code_language, na_action="ignore")
    is_known = (codes.isna() | codes.isin([code_language(one) for one in known])).to_numpy()
    others = codes[chosen & ~is_known]
    if len(others):
        print(
            f"words give no {model.saved.card.target} in {len(others):,} rows: they are in "
            f"{', '.join(sorted(others.unique()))}, its model knows {', '.join(known)}"
        )
    return is_known
