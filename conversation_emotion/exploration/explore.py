"""The exploration of a corpus: all that its page shows, as data."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.corpora.check import check_copy
from conversation_emotion.corpora.facts import load_facts
from conversation_emotion.corpora.report import summarise
from conversation_emotion.datasets.inputs import extract_source
from conversation_emotion.exploration.classes import (
    Classes,
    Grouping,
    count_by,
    find_classes,
    group_classes,
)
from conversation_emotion.exploration.dialogues import (
    Dialogues,
    Transitions,
    describe_dialogues,
    find_transitions,
)
from conversation_emotion.exploration.effects import Effects, measure_effects
from conversation_emotion.exploration.measures import Measure, Odd, describe_measures, find_odd
from conversation_emotion.exploration.raters import Agreement, measure_agreement
from conversation_emotion.exploration.sound import (
    Shared,
    Sound,
    as_recordings,
    find_shared,
    measure_sound,
)
from conversation_emotion.exploration.spaces import Space, lay_out
from conversation_emotion.features.encoders import Encoder, load_encoder
from conversation_emotion.features.sources import Source
from conversation_emotion.settings.cache import cache_folder
from conversation_emotion.settings.exploration import ExploreSettings
from conversation_emotion.settings.features import ONE_LAYER
from conversation_emotion.utterances.table import has_text

EGEMAPS = "egemaps"

MOST_FAILURES = 1000
"""Recordings that cannot be read, of which the data give the reason."""

OWN_WORDS = 0.5
"""Share of the texts that differ from all others, from which on words have a space."""


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What a corpus holds.

    Attributes:
        corpus: Its name; ``root`` is where it was read.
        num_utterances: Rows of its table.
        num_with_text: Utterances with words; ``num_texts`` of these differ.
        classes: What it is explored by.
        groupings: The classes by group.
        largest: The classes of the dialogues with most turns; None without dialogues.
        num_shared: Recordings that several utterances have; ``shared`` are the first of them.
        summary: What a check of the copy finds: counts next to published ones, recordings.
        notes: What is left out, and why.
    """

    corpus: str
    root: str
    num_utterances: int
    num_speakers: int
    num_dialogues: int
    num_with_text: int
    num_texts: int
    classes: Classes
    groupings: tuple[Grouping, ...]
    sound: Sound
    measures: tuple[Measure, ...]
    dialogues: Dialogues | None
    largest: Grouping | None
    transitions: tuple[Transitions, ...]
    agreement: Agreement | None
    acoustics: Effects | None
    spaces: tuple[Space, ...]
    num_shared: int
    shared: tuple[Shared, ...]
    odd: tuple[Odd, ...]
    summary: tuple[str, ...]
    notes: tuple[str, ...]

    def describe(self) -> Iterator[str]:
        """Yields what matters most, line by line."""
        yield from self.summary
        labels = self.classes.labels
        if labels:
            pairs = zip(labels, self.classes.counts.tolist(), strict=True)
            counts = ", ".join(f"{name} {count:,}" for name, count in pairs)
            yield f"{self.classes.target}: {counts}"
        for one in self.transitions:
            whose = "their own last turn" if one.whose == "own" else "somebody else's last turn"
            yield f"{100 * one.same:.0f} % keep the {self.classes.target} of {whose}"
        if self.agreement and self.agreement.alpha is not None:
            ceiling = self.agreement.ceiling
            named = "" if ceiling is None else f"; {ceiling:.0%} name what most of the others name"
            yield f"agreement of raters: Krippendorff's alpha {self.agreement.alpha:.2f}{named}"
        if self.acoustics:
            best = self.acoustics.effects[0]
            yield f"eGeMAPS: {best.name} parts the classes most (epsilon squared {best.size:.2f})"
        if self.num_shared:
            yield f"recordings that several utterances have: {self.num_shared:,}"
        for one in self.odd:
            yield f"{one.kind} clips, far from the others: {len(one.rows):,}"
        for space in self.spaces:
            if space.doubts:
                yield f"labels that neighbours by {space.encoder} contradict: {len(space.doubts):,}"
        yield from (f"note: {note}" for note in self.notes)


def explore(utterances: pd.DataFrame, settings: ExploreSettings) -> Exploration:
    """Explores a corpus.

    Raises:
        ValueError: The target, a rater's column, or an encoder that was asked for is none.
    """
    notes, utterances = [], utterances.reset_index(drop=True)
    classes = find_classes(utterances, settings.target)
    agreement = _agree(utterances, classes, settings.raters, notes)
    encoders = list(_load_encoders(utterances, settings, notes))
    sound = measure_sound(utterances, cache_folder())
    rows = _draw(utterances, sound, settings.sample)
    spaces, acoustics = _encode(utterances, classes, encoders, rows)
    dialogues = describe_dialogues(utterances, classes)
    num_shared, shared = find_shared(utterances, sound, _columns_that_differ(settings.target))
    texts = utterances.loc[has_text(utterances), "text"].str.strip()
    return Exploration(
        corpus=settings.data.corpus,
        root=_name_root(settings),
        num_utterances=len(utterances),
        num_speakers=utterances["speaker"].nunique(),
        num_dialogues=utterances["dialogue_id"].nunique(),
        num_with_text=len(texts),
        num_texts=texts.nunique(),
        classes=classes,
        groupings=tuple(group_classes(utterances, classes)),
        sound=sound,
        measures=describe_measures(utterances, classes, sound),
        dialogues=dialogues,
        largest=None if dialogues is None else count_by(utterances, classes, "dialogue_id"),
        transitions=tuple(find_transitions(utterances, classes)),
        agreement=agreement,
        acoustics=acoustics,
        spaces=tuple(spaces),
        num_shared=num_shared,
        shared=shared,
        odd=tuple(find_odd(utterances, sound)),
        summary=tuple(_check(utterances, settings, sound)),
        notes=tuple(notes),
    )


def _name_root(settings: ExploreSettings) -> str:
    return str(settings.data.root or "in the package")


def _check(utterances: pd.DataFrame, settings: ExploreSettings, sound: Sound) -> Iterator[str]:
    """Yields what `experiments.corpora check` says of the copy."""
    corpus, recordings = settings.data.corpus, as_recordings(utterances, sound)
    facts, root = load_facts().get(corpus), _name_root(settings)
    found = check_copy(utterances, facts, corpus=corpus, root=root, recordings=recordings)
    yield from summarise(found, facts)


def _agree(
    utterances: pd.DataFrame, classes: Classes, raters: Sequence[str], notes: list[str]
) -> Agreement | None:
    """Measures agreement; a column that only has the name of the votes is noted."""
    try:
        return measure_agreement(utterances, classes, raters)
    except ValueError as error:
        if raters:
            raise
        notes.append(f"no agreement of raters: {error}")
        return None


def _encode(
    utterances: pd.DataFrame,
    classes: Classes,
    encoders: Sequence[tuple[Source, Encoder]],
    rows: dict[str, NDArray[np.int64]],
) -> tuple[list[Space], Effects | None]:
    """Lays out the spaces of encoders, and compares the features of one that names them."""
    spaces, acoustics = [], None
    for source, encoder in encoders:
        given = rows[source.modality]
        features = extract_source(utterances.iloc[given], source, encoder, strict=False)
        found = np.flatnonzero(features.is_present())
        if not len(found):
            continue
        states = np.stack([np.asarray(features.states[int(n)]).reshape(-1) for n in found])
        some = given[found]
        seen, numbers = utterances.iloc[some], classes.numbers[some]
        speakers, texts = seen["speaker"].tolist(), seen["text"].where(has_text(seen)).tolist()
        if names := getattr(encoder, "feature_names", None):
            acoustics = measure_effects(states, names, numbers, classes.labels, speakers)
        space = lay_out(source.encoder, states, some.tolist(), numbers, speakers, texts)
        spaces += [] if space is None else [space]
    return spaces, acoustics


def to_json(found: Exploration, most: int) -> str:
    """Writes an exploration as JSON; lists of odd clips have up to ``most`` items."""
    data = dataclasses.asdict(found)
    data["classes"] = {
        "target": found.classes.target,
        "labels": found.classes.labels,
        "counts": found.classes.counts.tolist(),
    }
    failures = found.sound.failures
    data["sound"] = {
        "num_named": found.sound.num_named,
        "num_failed": len(failures),
        "failures": dict([*failures.items()][:MOST_FAILURES]),
    }
    for one in data["odd"]:
        one |= {
            "count": len(one["rows"]),
            "rows": one["rows"][:most],
            "values": one["values"][:most],
        }
    for one in data["spaces"]:
        one |= {"num_doubts": len(one["doubts"]), "doubts": one["doubts"][:most]}
    return json.dumps(_without_nan(data), indent=1, ensure_ascii=False, allow_nan=False)


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _columns_that_differ(target: str) -> list[str]:
    """Returns the columns in which utterances with one recording should not differ."""
    return list(dict.fromkeys((target, "split", "speaker", "text")))


def _load_encoders(
    utterances: pd.DataFrame, settings: ExploreSettings, notes: list[str]
) -> Iterator[tuple[Source, Encoder]]:
    """Yields what is to be encoded; notes what is not installed, unless it was asked for."""
    usual = ExploreSettings()
    asked = [
        *(("speech", name) for name in dict.fromkeys((EGEMAPS, *settings.speech_encoder))),
        *(("text", name) for name in settings.text_encoder),
    ]
    texts = utterances.loc[has_text(utterances), "text"]
    has_words = len(texts) > 0 and texts.nunique() >= OWN_WORDS * len(texts)
    if len(texts) and not has_words:
        notes.append(
            f"words have no space: {texts.nunique():,} different texts of {len(texts):,} utterances"
        )
    given = {"speech": utterances["audio"].notna().any(), "text": has_words}
    for modality, name in asked:
        if not given[modality]:
            continue
        layers = "last" if modality == "text" or name in ONE_LAYER else settings.speech_layers
        try:
            encoder = load_encoder(modality, name)
        except (ImportError, OSError) as error:
            if name not in (EGEMAPS, *usual.speech_encoder, *usual.text_encoder):
                raise
            notes.append(f"{name} is left out: {error}")
            continue
        yield Source(modality, name, layers, "mean", False), encoder


def _draw(utterances: pd.DataFrame, sound: Sound, most: int) -> dict[str, NDArray[np.int64]]:
    """Draws the rows that encoders of speech and of text see."""
    has = {
        "speech": sound.levels["seconds"].notna().to_numpy(),
        "text": has_text(utterances).to_numpy(),
    }
    drawn = {}
    for modality, present in has.items():
        rows = np.flatnonzero(present).astype(np.int64)
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
        drawn[modality] = rows
    return drawn
