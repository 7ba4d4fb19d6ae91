"""The model that is explained, and what can be asked of it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.sources import Source, list_sources
from conversation_emotion.inference.card import Card
from conversation_emotion.inference.explanation.gradients import find_baselines
from conversation_emotion.inference.explanation.pieces import KINDS, PieceKind
from conversation_emotion.inference.explanation.scoring import Scorer
from conversation_emotion.inference.saved_model import SavedModel
from conversation_emotion.settings.features import ONE_VECTOR


class Explained(NamedTuple):
    """A model that is explained.

    Attributes:
        saved: The model.
        scorer: What it gives a batch.
        encoders: The encoder of each source.
        sources: The sources.
        baselines: Of the sources whose frames or tokens can be pointed at: (L, D') each.
        kinds: What is asked for.
        label: Number of the class that is explained; None takes the predicted one.
    """

    saved: SavedModel
    scorer: Scorer
    encoders: Mapping[str, Encoder]
    sources: dict[str, Source]
    baselines: dict[str, Tensor]
    kinds: tuple[PieceKind, ...]
    label: int | None

    @property
    def framed(self) -> tuple[str, ...]:
        """Sources whose frames or tokens are asked for."""
        return tuple(self.baselines) if {"time", "word"} & {*self.kinds} else ()

    @property
    def shortened(self) -> tuple[str, ...]:
        """Sources of text without tokens, whose words are left out in turn."""
        if "word" not in self.kinds:
            return ()
        texts = [name for name, one in self.sources.items() if one.modality == "text"]
        return tuple(name for name in texts if name not in self.baselines)


def prepare(
    saved: SavedModel,
    encoders: Mapping[str, Encoder],
    *,
    target: str | None = None,
    classes: Sequence[str] = (),
    kinds: Sequence[PieceKind] = (),
) -> Explained:
    """Checks what is asked of a model.

    Args:
        saved: The model.
        encoders: The encoder of each source.
        target: Class to explain; None takes the predicted one.
        classes: As of `Predictor.predict`.
        kinds: What to explain; all that there is if empty.

    Raises:
        ValueError: The model does not predict the class, or has nothing of a kind.
    """
    card, sources = saved.card, list_sources(saved.card.features)
    allowed = tuple(classes) or card.labels
    if target is not None and target not in allowed:
        raise ValueError(
            f"target: the model does not predict {target!r}; it has {', '.join(allowed)}"
        )
    check_kinds(card, kinds)
    framed = [name for name, one in sources.items() if _has_frames(one, encoders[name])]
    temperature = 1.0 if card.calibration is None else card.calibration.temperature
    return Explained(
        saved,
        Scorer(saved.model, temperature, torch.tensor([one in allowed for one in card.labels])),
        encoders,
        sources,
        find_baselines(saved.model, framed),
        tuple(kinds) or list_kinds(card),
        None if target is None else card.labels.index(target),
    )


def list_kinds(card: Card) -> tuple[PieceKind, ...]:
    """Lists what predictions of a model can be split into."""
    sources = list_sources(card.features).values()
    has = {
        "time": any(one.modality == "speech" and one.encoder not in ONE_VECTOR for one in sources),
        "word": any(one.modality == "text" for one in sources),
        "turn": card.is_conversation,
        "modality": len(sources) > 1,
    }
    return tuple(kind for kind in KINDS if has[kind])


def check_kinds(card: Card, kinds: Sequence[PieceKind] = ()) -> None:
    """Checks that a model has what is to be explained.

    Raises:
        ValueError: It has nothing of a kind, or nothing at all.
    """
    possible, encoders = list_kinds(card), list_sources(card.features).values()
    names = ", ".join(one.encoder for one in encoders)
    if not possible:
        raise ValueError(
            f"a model of {names} alone cannot be explained: a clip is one vector, which has "
            "neither moments nor words; take a --model of another encoder"
        )
    if unknown := [kind for kind in kinds if kind not in possible]:
        raise ValueError(
            f"kinds: {unknown[0]!r} is nothing that a prediction of {card.task!r} from {names} "
            f"rests on; it has {', '.join(possible)}"
        )


def find_spans(encoder: Encoder, text: str) -> list[tuple[int, int]] | None:
    """Returns where each token lies in a text; None of an encoder without tokens."""
    find = getattr(encoder, "find_spans", None)
    return None if find is None else find(text)


def _has_frames(source: Source, encoder: Encoder) -> bool:
    """Whether an encoder gives frames of time, or tokens whose places in a text it knows."""
    if source.modality == "speech":
        return source.encoder not in ONE_VECTOR
    return find_spans(encoder, "a") is not None
