"""Predicts emotions with a saved model: rows in, the probability of each class out.

A row is an utterance: ``audio`` (a path) or ``text`` or both, and for a conversation
``dialogue_id``, ``order`` and ``speaker``, if known also ``start`` and ``end``. ``offset``,
``duration`` and ``channel`` choose a part of the audio as in the utterance table. A model of coming
turns reads the turns before its target, never the target: the turn to come is a row that only names
who will speak, and if known its ``start``.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.features.clips import AudioBar
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.extract import Features
from conversation_emotion.features.sources import (
    encode,
    encode_waveforms,
    list_sources,
    load_encoders,
)
from conversation_emotion.inference.adaptation import adapt
from conversation_emotion.inference.card import check_identity
from conversation_emotion.inference.certainty import (
    Sums,
    add_up,
    arrange,
    list_certainty,
    run_by_voice,
)
from conversation_emotion.inference.columns import check_classes
from conversation_emotion.inference.explanation import PieceKind, explain
from conversation_emotion.inference.forecast import find_forecaster
from conversation_emotion.inference.rows import (
    CONVERSATION,
    as_table,
    cut_into_pieces,
    find_windows,
    has_input,
    measure_rows,
    tabulate_rows,
)
from conversation_emotion.inference.saved_model import SavedModel, find_model, load_model
from conversation_emotion.inference.words import BETWEEN, SHIPPED, WordModels, complete
from conversation_emotion.models.committees import ThinnedNetworks
from conversation_emotion.settings.cache import writable_cache
from conversation_emotion.settings.prediction import AdaptationMethod
from conversation_emotion.settings.turns import TurnSettings
from conversation_emotion.utterances.places import AXES, place_emotions

if TYPE_CHECKING:
    from conversation_emotion.inference.stream import TurnStream


class _Found(NamedTuple):
    """Probabilities of utterances (N, C), NaN where there is nothing to predict; why, (N,).

    ``certainty`` is as of `Ran`, (N,) of each column, side by side: (N, columns).
    """

    probabilities: NDArray[np.floating]
    problems: NDArray[np.object_]
    certainty: NDArray[np.floating]


class Predictor:
    """A saved model with its encoders.

    Args:
        saved: The model.
        encoders: The encoder of each source of its features.
        words: What gives the sentiment of words, and the emotion of words without sound; None
            passes over words that the model itself does not read.

    Raises:
        ValueError: An encoder is not the one of the training.
    """

    def __init__(
        self, saved: SavedModel, encoders: Mapping[str, Encoder], words: WordModels | None = None
    ) -> None:
        for source, identity in saved.card.encoders.items():
            check_identity(source, encoders[source].identity, identity)
        self.saved = saved
        self.encoders = dict(encoders)
        self.words = words
        card = saved.card
        self._certainty = list_certainty(saved)
        self._forecaster = None if card.is_conversation else find_forecaster(card.labels)

    @classmethod
    def load(
        cls,
        source: str | Path,
        device: str | None = None,
        *,
        sentiment: str | None = SHIPPED["sentiment"],
        text_model: str | None = SHIPPED["emotion"],
        mc_dropout: int = 0,
    ) -> "Predictor":
        """Loads a model with its encoders.

        Args:
            source: ``default``, ``default-text`` or ``default-sentiment``, which come with the
                package; or the folder of a saved model; or a registered model, as ``voices``,
                ``voices/1`` or ``models:/voices/1``; or the id of a run that kept one, also as
                ``runs:/ID``.
            device: Where the encoders compute; None takes a GPU if there is one.
            sentiment: Model of the sentiment of words, as ``source``; None for none.
            text_model: Model of the emotion of words without sound, as ``source``; None for none.
            mc_dropout: Thinned networks whose mean predicts and whose ``disagreement`` is a column,
                see `ThinnedNetworks`; 0 asks the model itself.

        Raises:
            FileNotFoundError: There is no such model.
            ValueError: It is of another version of this package, or an encoder is another; a model
                of words predicts something else.
        """
        saved = load_model(find_model(source))
        if mc_dropout:
            saved = saved.map_models(lambda model: ThinnedNetworks(model, mc_dropout).eval())
        load = partial(cls.load, device=device, sentiment=None, text_model=None)
        words = WordModels(load, sentiment, text_model)
        return cls(saved, load_encoders(saved.card.features, device), words)

    def adapt(
        self, rows: pd.DataFrame, method: AdaptationMethod = "classes", *, by_speaker: bool = False
    ) -> "Predictor":
        """Returns a predictor that is adapted to labelled rows; this one stays as it is.

        See `conversation_emotion.inference.adaptation.adapt` for the arguments and errors.
        """
        adapted = adapt(self.saved, self.encoders, rows, method, by_speaker=by_speaker)
        return Predictor(adapted, self.encoders, self.words)

    def predict(
        self,
        rows: pd.DataFrame | Sequence[str | Path] | str | Path,
        *,
        classes: Sequence[str] = (),
        min_confidence: float = 0.0,
    ) -> pd.DataFrame:
        """Predicts the emotion of each row.

        Features are kept in the cache, see `cache_folder`, so that what was encoded once, of a call
        that was interrupted too, is not encoded again. Memory does not grow with the sound.

        Args:
            rows: A table of utterances, or paths of recordings, or one, of one utterance each.
            classes: Emotions to choose from, whose probabilities then add up to one; all if empty.
            min_confidence: Probability below which no emotion is named.

        Returns:
            A row for each of them, in their order and under their index: ``emotion``, the most
            probable class; the probability of each class as ``p_`` and its name, calibrated as the
            card says; ``confidence``, that of ``emotion``; ``prediction_set``, the classes that
            hold the true one with the coverage in the card, the most probable first, with `BETWEEN`
            them, None of a model without calibration and where ``classes`` are chosen; if the model
            has these, ``disagreement`` of its members, 0 to 1, and ``novelty``, how far features
            lie from those it learned from, at most 1 of most people who were held out; ``valence``,
            ``activation`` and ``dominance`` from -1 to 1, by where the classes lie, see
            `place_emotions`; where rows have words, what those tell, see
            `conversation_emotion.inference.words.complete`; where they tell who speaks when,
            forecasts of the next turns, see `Forecaster.forecast`; and ``problem``, which says why
            a row has no emotion or its clip is not used, and is empty elsewhere. A model of
            sentiment gives ``sentiment`` in place of ``emotion`` and its place.

        Raises:
            ValueError: A column is missing, or the rows make no conversation, or the model does not
                know a class.
        """
        rows = as_table(rows)
        utterances = tabulate_rows(rows, is_conversation=self.saved.card.is_conversation)
        check_classes(self.saved.card, classes)
        found = self._encode_and_predict(utterances)
        return self._finish(rows, utterances, found, classes, min_confidence)

    def explain(
        self,
        rows: pd.DataFrame | Sequence[str | Path] | str | Path,
        *,
        target: str | None = None,
        classes: Sequence[str] = (),
        kinds: Sequence[PieceKind] = (),
    ) -> pd.DataFrame:
        """Returns what each prediction rests on, a row for each moment, word, turn and modality.

        See `conversation_emotion.inference.explanation.explain` for the arguments and
        errors; docs/explanations/explanation.md tells how far it can be trusted.
        """
        return explain(self, rows, target=target, classes=classes, kinds=kinds)

    def encode_waveforms(
        self, waveforms: Sequence[NDArray[np.float32] | None]
    ) -> dict[str, Features]:
        """Encodes mono speech at 16 kHz, (S,) each, for `predict_encoded`."""
        return encode_waveforms(waveforms, self.saved.card.features, self.encoders)

    def predict_encoded(
        self,
        rows: pd.DataFrame,
        features: Mapping[str, Features],
        *,
        classes: Sequence[str] = (),
        min_confidence: float = 0.0,
    ) -> pd.DataFrame:
        """Predicts rows whose features are at hand, see `predict`; there may be no row.

        Args:
            rows: A table of utterances, whose ``audio`` is not read.
            features: Of each row, by source, as of `encode_waveforms`.
            classes: As of `predict`.
            min_confidence: As of `predict`.
        """
        check_classes(self.saved.card, classes)
        if rows.empty:
            nothing = np.empty((0, len(self.saved.card.labels)))
            unknown = np.empty((0, len(self._certainty)))
            return self._name_columns(rows, nothing, classes, unknown).assign(problem="")
        utterances = tabulate_rows(rows, is_conversation=self.saved.card.is_conversation)
        order = utterances["utterance_id"].astype(int).tolist()
        sorted_features = {
            name: found._replace(states=[found.states[row] for row in order])
            for name, found in features.items()
        }
        sums = add_up(self.saved, [(utterances, sorted_features)])
        found = self.predict_utterances(utterances, sorted_features, sums)
        return self._finish(rows, utterances, found, classes, min_confidence)

    def stream(
        self,
        sample_rate: int,
        *,
        settings: TurnSettings | None = None,
        recording: str | None = None,
        classes: Sequence[str] = (),
        min_confidence: float = 0.0,
    ) -> "TurnStream":
        """Returns a stream that takes samples as they come and gives turns as they end.

        Args:
            sample_rate: Samples per second of a channel.
            settings: Where turns begin and end; with ``speakers="channels"`` each channel is a
                speaker, else channels are mixed and speakers are unknown.
            recording: Name of the recording that the rows get.
            classes: As of `predict`.
            min_confidence: As of `predict`.

        Raises:
            ValueError: The rate is none, or speakers are to be clustered, or the model reads words,
                or conversations and channels are no speakers.
        """
        from conversation_emotion.inference.stream import TurnStream

        return TurnStream(
            self,
            sample_rate,
            settings=settings,
            recording=recording,
            classes=classes,
            min_confidence=min_confidence,
        )

    def _encode_and_predict(self, utterances: pd.DataFrame) -> _Found:
        """Predicts each utterance, a piece at a time, from features that are kept in the cache."""
        utterances, too_long = measure_rows(utterances)
        settings = self.saved.card.features
        num_sources = sum(one.modality == "speech" for one in list_sources(settings).values())
        found, done = [], 0.0
        with writable_cache() as cache, AudioBar(utterances["seconds"].sum()) as bar:

            def advance(seconds: float) -> None:
                bar.update(seconds / num_sources)

            read = partial(encode, settings=settings, encoders=self.encoders, cache=cache)
            # Those of whole groups need all features, which the cache then gives once more.
            first = ((piece, read(piece, advance=advance)) for piece in cut_into_pieces(utterances))
            sums = add_up(self.saved, first)
            for piece in cut_into_pieces(utterances):
                features = read(piece, advance=advance)
                found.append(self.predict_utterances(piece, features, sums, too_long))
                done += piece["seconds"].sum()
                bar.update(done - bar.n)  # what was in the cache, or is broken
        return _Found._make(map(np.concatenate, zip(*found, strict=True)))

    def _finish(
        self,
        rows: pd.DataFrame,
        utterances: pd.DataFrame,
        found: _Found,
        classes: Sequence[str],
        min_confidence: float,
    ) -> pd.DataFrame:
        """Returns a row for each given one, from what was found of its utterance."""
        places = utterances["utterance_id"].astype(int).argsort().to_numpy()
        probabilities, problems = found.probabilities[places], found.problems[places]
        table = self._name_columns(rows, probabilities, classes, found.certainty[places])
        is_unsure = (table["confidence"] < min_confidence).to_numpy()
        problems[is_unsure] = f"no emotion reaches the probability {min_confidence:g}"
        emotions = table["emotion"].where(~is_unsure, None)
        table = table.assign(emotion=emotions, problem=problems).set_axis(rows.index)
        if self.saved.card.target == "sentiment":
            return table.drop(columns=list(AXES)).rename(columns={"emotion": "sentiment"})
        if self.words is None:
            return table
        chosen = {"classes": classes, "min_confidence": min_confidence}
        return complete(self.words, self.saved.card, rows, table, **chosen)

    def predict_utterances(
        self,
        utterances: pd.DataFrame,
        features: Mapping[str, Features],
        sums: Sums,
        left_out: Mapping[str, str] | None = None,
    ) -> _Found:
        """Predicts each utterance, whose features these are; why sound was left out, by id."""
        windows = find_windows(utterances, self.saved.card.model)
        probabilities = np.full((len(utterances), len(self.saved.card.labels)), np.nan)
        certainty = np.full((len(utterances), len(self._certainty)), np.nan)
        problems = np.full(
            len(utterances),
            "too few turns before it, or not the first utterance of its turn",
            dtype=object,
        )
        problems[windows.target_rows] = ""
        usable = windows.select(windows.target_rows[has_input(windows, features)])
        problems[np.setdiff1d(windows.target_rows, usable.target_rows)] = "no audio or text to use"
        arrays = arrange(self.saved, features, utterances, sums)
        for rows, ran in run_by_voice(self.saved, usable, arrays, utterances):
            probabilities[rows] = ran.probabilities
            for number, name in enumerate(self._certainty):
                certainty[rows, number] = ran.certainty[name]
        for failures in (left_out or {}, *(found.failures for found in features.values())):
            for utterance_id, why in failures.items():
                problems[utterances.index[utterances["utterance_id"] == utterance_id]] = why
        is_missing = np.isnan(probabilities[:, 0])
        problems[is_missing] = "not predicted: " + problems[is_missing]
        return _Found(probabilities, problems, certainty)

    def _name_columns(
        self,
        rows: pd.DataFrame,
        probabilities: NDArray[np.floating],
        classes: Sequence[str],
        certainty: NDArray[np.floating],
    ) -> pd.DataFrame:
        """Calibrates the model's probabilities, NaN where there are none: N rows, (N, C)."""
        labels, calibration = self.saved.card.labels, self.saved.card.calibration
        is_there = ~np.isnan(probabilities[:, 0])
        sets = np.full(len(probabilities), None, dtype=object)
        if calibration is not None:
            tempered = calibration.temper(probabilities[is_there])
            probabilities[is_there] = tempered
            ranks = (-tempered).argsort(axis=1, kind="stable")
            if not classes:
                sets[is_there] = [
                    BETWEEN.join(labels[number] for number in ranked if members[number])
                    for ranked, members in zip(ranks, calibration.find_sets(tempered), strict=True)
                ]
        forecasts = self._forecast(rows, probabilities, classes)
        probabilities = self._restrict(probabilities, classes)
        emotions = [None if np.isnan(row[0]) else labels[row.argmax()] for row in probabilities]
        columns = {f"p_{label}": probabilities[:, number] for number, label in enumerate(labels)}
        return pd.DataFrame(
            {
                "emotion": emotions,
                **columns,
                "confidence": probabilities.max(axis=1),
                "prediction_set": sets,
                **dict(zip(self._certainty, certainty.T, strict=True)),
                **place_emotions(labels, probabilities).to_dict("list"),
                **forecasts,
            }
        )

    def _forecast(
        self, rows: pd.DataFrame, probabilities: NDArray[np.floating], classes: Sequence[str]
    ) -> dict[str, NDArray[np.generic]]:
        """Forecasts where it is known who speaks when: N rows, (N, C) -> columns."""
        if self._forecaster is None or not {*CONVERSATION} <= {*rows.columns}:
            return {}
        return self._forecaster.forecast(rows, probabilities, classes)

    def _restrict(
        self, probabilities: NDArray[np.floating], classes: Sequence[str]
    ) -> NDArray[np.floating]:
        """Leaves the probability to some of the classes: (N, C) -> (N, C)."""
        if not classes:
            return probabilities
        kept = probabilities * np.isin(self.saved.card.labels, classes)
        return kept / np.maximum(kept.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
