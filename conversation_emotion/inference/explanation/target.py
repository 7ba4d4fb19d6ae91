"""The pieces that the prediction of one target rests on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from conversation_emotion.datasets.batches import Batch, gather_batch
from conversation_emotion.datasets.group_statistics import Statistics
from conversation_emotion.datasets.windows import PADDING, Windows
from conversation_emotion.features.encoders import SpeechEncoder
from conversation_emotion.inference.explanation.explained import Explained, find_spans
from conversation_emotion.inference.explanation.gradients import (
    TOLERANCE,
    attribute_frames,
    integrate,
    share_frames,
)
from conversation_emotion.inference.explanation.material import Material
from conversation_emotion.inference.explanation.pieces import (
    Piece,
    PieceKind,
    find_words,
    leave_out_word,
    sum_moments,
    sum_words,
)
from conversation_emotion.inference.explanation.removal import lose_utterances, share_sources
from conversation_emotion.inference.explanation.scoring import Scorer, WindowCase
from conversation_emotion.utterances.labels import IGNORED

_NOTHING: dict[PieceKind, str] = {
    "time": "no sound to point at",
    "word": "no words to point at",
    "turn": "no utterance of the context is used",
}
"""Why there is no piece of a kind."""

_UNFINISHED = "not used, since it ends after the target begins"


class ExplainedTarget:
    """One target of a material.

    Args:
        model: The model that is explained.
        material: What it reads.
        windows: Targets with their contexts.
        number: Which of them.
        failures: Why sound was left out, by utterance id.
    """

    def __init__(
        self,
        model: Explained,
        material: Material,
        windows: Windows,
        number: int,
        failures: Mapping[str, str],
    ) -> None:
        self.model, self.material, self.failures = model, material, failures
        unknown = np.full(len(material.utterances), IGNORED)
        batch = gather_batch(windows, material.arrays, unknown, np.array([number]))
        voice = self._find_voice(int(windows.target_rows[number]))
        network = model.saved.voices.get(voice, model.saved.model)
        scorer = model.scorer._replace(model=network)
        self.case = _make_case(scorer, model.label, batch, windows.rows[number])
        masked = windows.rows[number][windows.masked[number]]
        is_masked = np.isin(self.case.rows, masked)
        self.used = np.flatnonzero(~is_masked).tolist()
        self.unfinished = self.case.rows[is_masked].tolist()

    def explain(self) -> Iterator[Piece]:
        """Yields the pieces of each kind that is asked for; of one without any, why."""
        model = self.model
        found = [*self._point()] if {"time", "word"} & {*model.kinds} else []
        if "turn" in model.kinds:
            found += self._leave_utterances_out()
        if "modality" in model.kinds:
            found += [
                Piece("modality", name, attribution=value, method="Shapley value")
                for name, value in share_sources(self.case).items()
            ]
        for kind in model.kinds:
            own = [piece for piece in found if piece.kind == kind]
            yield from own or [Piece(kind, problem=_NOTHING[kind])]

    def _point(self) -> Iterator[Piece]:
        """Yields moments and words of all utterances that are used."""
        model, gradients, missed = self.model, {}, ""
        if model.framed:
            gradients, gap, difference = integrate(self.case, model.baselines)
            if abs(gap) > TOLERANCE * max(abs(difference), 1.0):
                missed = f"adds up to {difference + gap:.3f}, expected {difference:.3f}"
        for name, source in model.sources.items():
            kind: PieceKind = "time" if source.modality == "speech" else "word"
            if kind not in model.kinds:
                continue
            for place in self.used:
                row = int(self.case.rows[place])
                if why := self._find_failure(name, row):
                    yield Piece(kind, name, row, problem=why)
                elif name in gradients:
                    for piece in self._share(name, row, gradients[name][place]):
                        yield piece._replace(problem=missed)
                elif name in model.shortened:
                    yield from self._leave_words_out(name, place)

    def _find_failure(self, name: str, row: int) -> str:
        """Returns why an utterance lacks a source that was given."""
        utterance_id = str(self.material.utterances["utterance_id"].iloc[row])
        failures = self.material.features[name].failures
        is_speech = self.model.sources[name].modality == "speech"
        left_out = self.failures.get(utterance_id, "") if is_speech else ""
        return left_out or failures.get(utterance_id, "")

    def _share(self, name: str, row: int, gradients: Tensor) -> Iterator[Piece]:
        """Yields the moments or words of an utterance, by what their frames have."""
        source, encoder = self.model.sources[name], self.model.encoders[name]
        frames = self.material.framed[name].states[row]
        if frames is None:
            return
        shares = share_frames(
            frames,
            source.pooling,
            self.model.baselines[name].numpy(),
            normalise_clips=self.model.saved.card.features.standardise == "clip",
            statistics=self._find_statistics(name, row),
        )
        values = attribute_frames(gradients, shares)
        method = "integrated gradients"
        if source.modality == "speech":
            rate = cast(SpeechEncoder, encoder).frame_rate
            seconds, offset = self._read("seconds", row), self._read("offset", row) or 0.0
            for start, end, value in sum_moments(values, rate, seconds or 0.0):
                start, end = round(offset + start, 6), round(offset + end, 6)
                yield Piece("time", name, row, start, end, attribution=value, method=method)
            return
        text = str(self.material.utterances["text"].iloc[row])
        for word, value in sum_words(values, find_spans(encoder, text) or [], text):
            yield Piece("word", name, row, text=word, attribution=value, method=method)

    def _leave_words_out(self, name: str, place: int) -> Iterator[Piece]:
        """Yields the words of an utterance, by what is lost without each."""
        row = int(self.case.rows[place])
        if not self.case.batch.frames[name][place].any():
            return
        text, whole = str(self.material.utterances["text"].iloc[row]), self.case.score()
        for number, (start, end) in enumerate(find_words(text)):
            rest = leave_out_word(text, number)
            states = self.material.shortened[name].read(rest, self._find_voice(row))
            piece = Piece("word", name, row, text=text[start:end], method="leave one out")
            if states is not None and not states.size(1):
                yield piece._replace(problem=f"the encoder fails on what is left, {rest!r}")
                continue
            lost = whole - self.case.with_states(name, place, states).score()
            yield piece._replace(attribution=lost)

    def _leave_utterances_out(self) -> Iterator[Piece]:
        """Yields the utterances of the context, by what is lost without each."""
        batch = self.case.batch
        has_any = torch.stack([one.any(dim=-1) for one in batch.frames.values()]).any(dim=0)
        places = [place for place in self.used if has_any[place]]
        for place, lost in zip(places, lose_utterances(self.case, places), strict=True):
            piece = self._name_utterance(int(self.case.rows[place]))
            yield piece._replace(attribution=lost, method="leave one out")
        for row in self.unfinished:
            yield self._name_utterance(row)._replace(problem=_UNFINISHED)

    def _name_utterance(self, row: int) -> Piece:
        text = self.material.utterances["text"].iloc[row]
        return Piece(
            "turn",
            turn=row,
            start=self._read("start", row),
            end=self._read("end", row),
            text=text if isinstance(text, str) else None,
        )

    def _find_voice(self, row: int) -> str:
        """Returns who speaks an utterance, as it was given."""
        utterances = self.material.utterances
        voice = utterances["voice"].iloc[row] if "voice" in utterances else None
        return voice if isinstance(voice, str) else ""

    def _find_statistics(self, name: str, row: int) -> Statistics | None:
        """Returns what an utterance is standardised by, where that is its group's."""
        found = self.material.arrays[name].statistics
        if found is None:
            return None
        place = found.places[row]
        return Statistics(found.centres[place], found.scales[place])

    def _read(self, name: str, row: int) -> float | None:
        """Returns a number of the utterance table, None if it is unknown."""
        value = self.material.utterances[name].iloc[row]
        return None if pd.isna(value) else float(value)


def _make_case(
    scorer: Scorer, label: int | None, batch: Batch, context: NDArray[np.int64]
) -> WindowCase:
    """Returns a window of which each utterance is known by its row; context (U,)."""
    places = batch.places[0].numpy()
    is_real = places != PADDING
    rows = np.zeros(int(is_real.sum()), dtype=np.int64)
    rows[places[is_real]] = context[: len(places)][is_real]
    case = WindowCase(scorer=scorer, batch=batch, rows=rows, label=0)
    if label is not None:
        return replace(case, label=label)
    with torch.no_grad():
        return replace(case, label=int(scorer(batch)[0].argmax()))
