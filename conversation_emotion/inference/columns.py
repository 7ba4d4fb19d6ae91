"""The columns of predictions: those that a model reads, and those that it gives."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from conversation_emotion.inference.card import Card
from conversation_emotion.inference.forecast import find_forecaster
from conversation_emotion.inference.rows import CONTENT, CONVERSATION, TIMES
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.utterances.labels import SENTIMENTS
from conversation_emotion.utterances.places import AXES

_WORDS = ("audio", "text", "dialogue_id", "speaker", "language")


Kind = Literal["text", "number", "integer"]


class Column(NamedTuple):
    """A column of what `Predictor.predict` takes or returns.

    Attributes:
        name: Its name.
        kind: What its cells are, where they are not missing.
        is_always: Whether it must be there, or is.
    """

    name: str
    kind: Kind
    is_always: bool


def check_classes(card: Card, classes: Sequence[str]) -> None:
    """Checks that a model knows the classes to choose from.

    Raises:
        ValueError: It does not.
    """
    if unknown := [name for name in classes if name not in card.labels]:
        raise ValueError(
            f"classes: the model does not know {unknown[0]!r}; it has {', '.join(card.labels)}"
        )


def list_inputs(card: Card) -> list[Column]:
    """Lists what a model reads; of the content, audio or text are enough."""
    names = [*CONVERSATION, *CONTENT] if card.is_conversation else [*CONTENT]
    if card.is_conversation:
        names += TIMES
    elif find_forecaster(card.labels) is not None:
        names += [*CONVERSATION, "end"]
    if card.target == "emotion":  # what words tell depends on their language
        names.append("language")
    kinds: dict[str, Kind] = {"order": "integer"}
    kinds |= dict.fromkeys(_WORDS, "text")
    needed = CONVERSATION if card.is_conversation else ()
    return [Column(name, kinds.get(name, "number"), name in needed) for name in names]


def list_outputs(card: Card) -> list[Column]:
    """Lists what a model gives; forecasts where it is known who speaks when, the rest by words."""
    numbers = [*(f"p_{label}" for label in card.labels), "confidence"]
    axes = AXES if card.target == "emotion" else ()
    return [
        Column(card.target, "text", True),
        *(Column(name, "number", True) for name in numbers),
        Column("prediction_set", "text", True),
        *(Column("disagreement", "number", True) for _ in range(bool(card.num_members))),
        *(Column("novelty", "number", True) for _ in range(card.novelty is not None)),
        *(Column(name, "number", True) for name in axes),
        *_list_forecasts(card),
        *_list_words(card),
        Column("problem", "text", True),
    ]


def _list_forecasts(card: Card) -> Iterator[Column]:
    forecaster = None if card.is_conversation else find_forecaster(card.labels)
    if forecaster is None:
        return
    for kind in ("same", "other"):
        yield Column(f"next_{kind}", "text", False)
        for name in forecaster.outputs:
            yield Column(f"forecast_{kind}_{name}", "number", False)
    yield Column("forecast_turns", "number", False)


def _list_words(card: Card) -> Iterator[Column]:
    if card.target == "sentiment":
        return
    if isinstance(card.model, UtteranceModelSettings) and card.features.modality == "speech":
        yield Column("modality", "text", False)
    yield Column("sentiment", "text", False)
    for label in SENTIMENTS:
        yield Column(f"sentiment_{label}", "number", False)
