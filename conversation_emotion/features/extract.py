"""Extraction: every utterance's hidden states, from the store or from the encoder."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from conversation_emotion.features.clips import (
    BAR,
    Advance,
    Clip,
    count_seconds,
    cut_by_length,
    list_clips,
    measure_clips,
)
from conversation_emotion.features.encoders import Encoder, SpeechEncoder, TextEncoder
from conversation_emotion.features.hidden_states import HiddenStates
from conversation_emotion.features.key import (
    FeatureKey,
    FileDigests,
    Layers,
    Pooling,
    text_digest,
)
from conversation_emotion.features.store import FeatureStore, StoreFullError
from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, read_audio
from conversation_emotion.utterances.sound_files import printable
from conversation_emotion.utterances.table import has_text

Item = TypeVar("Item")
Encoded = tuple[Tensor, Tensor]

BATCH_SECONDS = 60.0
"""Audio in one batch of the encoder, padding included."""


class Features(NamedTuple):
    """The hidden states of one modality, a row per utterance of a table.

    Attributes:
        states: Arrays of shape (L, T, D); None where the utterance lacks the modality.
        failures: Why a clip that the table names could not be used, by utterance id.
        key: Digest of what the states depend on besides the content, see `FeatureKey`.
        folds: Features by fold where each has an encoder of its own; ``states`` is then empty.
        recordings: Identity of the sound of each utterance, the same for the same sound, None where
            there is none; empty for text.
    """

    states: Sequence[NDArray[np.floating] | None]
    failures: dict[str, str]
    key: str = ""
    folds: Mapping[str, "Features"] = {}
    recordings: Sequence[str | None] = ()

    def is_present(self) -> NDArray[np.bool_]:
        """Marks the utterances that have the modality: (rows,)."""
        if isinstance(self.states, HiddenStates):
            return self.states.numbers >= 0
        return np.array([states is not None for states in self.states])


def extract_speech(
    utterances: pd.DataFrame,
    encoder: SpeechEncoder,
    store: FeatureStore,
    digests: FileDigests,
    *,
    strict: bool = False,
    advance: Advance | None = None,
) -> Features:
    """Encodes the clips that the store does not hold yet and returns those of all utterances.

    A clip that is missing, broken, too short or not finite, or on which the encoder fails, is named
    in the result and keeps its utterance as context without speech. An interrupted extraction keeps
    what was encoded.

    Args:
        utterances: An utterance table; ``seconds`` are lengths of sound, measured where it has no
            such column.
        encoder: Encodes clips.
        store: Where hidden states are kept.
        digests: Tells sound by its content.
        strict: Whether to raise at clips that cannot be used.
        advance: Takes the seconds of audio as they are done; None shows a bar.

    Raises:
        AudioError: With ``strict``, at the first clip that cannot be used.
        StoreFullError: The disk has no room.
    """
    failures: dict[str, str] = {}
    clips = list(list_clips(utterances, digests, failures))
    new = {clip.content: clip for clip in clips if clip.content not in store}
    broken: dict[str, str] = {}
    if new:
        seconds = measure_clips(utterances, {clip.utterance_id for clip in new.values()})
        num_frames = int(sum(seconds.values()) * encoder.frame_rate)
        _announce(store, len(new), num_frames, encoder, is_said=advance is None)
        ordered = sorted(new.values(), key=lambda clip: seconds[clip.utterance_id])
        try:
            with count_seconds(sum(seconds.values()), advance) as count:
                lists = cut_by_length(ordered, seconds)
                for some, waveforms in _decode_ahead(lists, encoder, broken):
                    for contents, encoded in _encode_readable(waveforms, encoder, broken):
                        for content, one in zip(contents, _keep(*encoded, store.key), strict=True):
                            store.add(content, one)
                    count(sum(seconds[clip.utterance_id] for clip in some))
        finally:
            store.flush()
    for clip in clips:  # two utterances may hold the same broken sound
        if why := broken.get(clip.content):
            failures[clip.utterance_id] = f"{printable(clip.path)}: {why}"
    if strict and failures:
        utterance_id, why = next(iter(failures.items()))
        raise AudioError(f"--strict: {len(failures)} clips fail, first {utterance_id!r}: {why}")
    content_of = {clip.utterance_id: clip.content for clip in clips}
    recordings = [content_of.get(utterance_id) for utterance_id in utterances["utterance_id"]]
    return Features(store.read(recordings), failures, store.key.digest(), recordings=recordings)


def extract_waveforms(
    waveforms: Sequence[NDArray[np.float32] | None], encoder: SpeechEncoder, key: FeatureKey
) -> Features:
    """Encodes waveforms that are at hand, a row for each, and stores nothing.

    Those that are too short, or on which the encoder fails, are named by their number.

    Args:
        waveforms: Mono speech at 16 kHz, (S,) each; None where there is none.
        encoder: Encodes them.
        key: Which of the hidden states are kept; its encoder is not read.
    """
    broken: dict[str, str] = {}
    readable = {}
    for number, waveform in enumerate(waveforms):
        if waveform is None:
            continue
        if why := _is_too_short(waveform, encoder):
            broken[str(number)] = why
        else:
            readable[str(number)] = waveform
    states: list[NDArray[np.floating] | None] = [None] * len(waveforms)
    kind = np.float16 if key.half_precision else np.float32
    for numbers, encoded in _encode_readable(readable, encoder, broken):
        for number, kept in zip(numbers, _keep(*encoded, key), strict=True):
            states[int(number)] = kept.astype(kind)
    return Features(states, broken, key.digest())


def extract_text(utterances: pd.DataFrame, encoder: TextEncoder, store: FeatureStore) -> Features:
    """Encodes the texts that the store does not hold yet and returns those of all utterances.

    A text on which the encoder fails is named in the result.

    Raises:
        StoreFullError: The disk has no room.
    """
    texts = utterances["text"].where(has_text(utterances))
    contents = texts.map(text_digest, na_action="ignore")
    new = [text for text in texts.dropna().unique() if text_digest(text) not in store]
    broken: dict[str, str] = {}
    if new:
        _announce(store, len(new), sum(len(text) // 4 + 2 for text in new), encoder)
        try:
            for some in _chunks(new, 256):
                for batch, (states, lengths) in _encode_each(some, encoder, broken):
                    for text, kept in zip(batch, _keep(states, lengths, store.key), strict=True):
                        store.add(text_digest(text), kept)
        finally:
            store.flush()
    rows = zip(utterances["utterance_id"], texts, strict=True)
    failures = {str(name): broken[text] for name, text in rows if text in broken}
    return Features(store.read(contents), failures, store.key.digest())


def _encode_each(
    items: Sequence[Item],
    encode: Callable[[Sequence[Item]], Encoded],
    broken: dict[Item, str],
) -> Iterator[tuple[Sequence[Item], Encoded]]:
    """Encodes a batch, or its items one by one where that fails, and notes those that fail alone.

    Encoders are libraries' code on users' data: what they raise on one item must not end the rest.
    """
    try:
        encoded = encode(items)
    except Exception as error:
        if len(items) == 1:
            broken[items[0]] = f"the encoder fails on it ({type(error).__name__}: {error})"
            return
    else:
        yield items, encoded
        return
    for item in items:
        yield from _encode_each([item], encode, broken)


def select_layers(states: Tensor, layers: Layers) -> Tensor:
    """Selects layers: (B, L, T, D) -> (B, L', T, D).

    Raises:
        ValueError: The encoder has no such layer, or fewer than four.
    """
    num_layers = states.size(1)
    if layers == "all":
        return states
    if layers == "last":
        return states[:, -1:]
    if layers == "last-4":
        if num_layers < 4:
            raise ValueError(f"the last four layers of an encoder that has {num_layers}")
        return states[:, -4:].mean(dim=1, keepdim=True)
    if not -num_layers <= layers < num_layers:
        raise ValueError(f"layer {layers} of an encoder that has layers 0 to {num_layers - 1}")
    return states[:, [layers]]


def pool_frames(states: Tensor, lengths: Tensor, pooling: Pooling) -> list[Tensor]:
    """Pools the real frames of each clip: (B, L, T, D), (B,) -> B x (L, T', D').

    ``mean`` gives T' = 1; ``statistics`` gives the mean and the deviation, concatenated,
    T' = 1 and D' = 2 D; ``frames`` gives T' real frames.
    """
    clips = [clip[:, :length] for clip, length in zip(states, lengths.tolist(), strict=True)]
    if pooling == "frames":
        return clips
    means = [clip.mean(dim=1, keepdim=True) for clip in clips]
    if pooling == "mean":
        return means
    deviations = [clip.std(dim=1, keepdim=True, correction=0) for clip in clips]
    return [torch.cat(pair, dim=-1) for pair in zip(means, deviations, strict=True)]


def _decode_ahead(
    lists: Iterable[Sequence[Clip]], encoder: SpeechEncoder, broken: dict[str, str]
) -> Iterator[tuple[Sequence[Clip], dict[str, NDArray[np.float32]]]]:
    """Yields lists of clips with their waveforms by content, while the next list is decoded.

    Why those that fail do is noted by their content.
    """

    def read(clip: Clip) -> NDArray[np.float32] | None:
        try:
            waveform = read_audio(clip.path, **clip.place)
        except AudioError as error:
            broken[clip.content] = str(error).removeprefix(f"{printable(clip.path)}: ")
            return None
        if why := _is_too_short(waveform, encoder):
            broken[clip.content] = why
            return None
        return waveform

    def collect(
        clips: Sequence[Clip], waveforms: Iterable[NDArray[np.float32] | None]
    ) -> dict[str, NDArray[np.float32]]:
        decoded = zip(clips, waveforms, strict=True)
        return {clip.content: waveform for clip, waveform in decoded if waveform is not None}

    readers, before = ThreadPoolExecutor(2), None
    try:
        for clips in lists:
            ahead = clips, readers.map(read, clips)  # all of them are on their way at once
            if before is not None:
                yield before[0], collect(*before)
            before = ahead
        if before is not None:
            yield before[0], collect(*before)
    finally:
        readers.shutdown(cancel_futures=True)


def _is_too_short(waveform: NDArray[np.float32], encoder: SpeechEncoder) -> str:
    """Returns why a waveform gives no frame, nothing if it does."""
    if len(waveform) >= encoder.min_samples:
        return ""
    return (
        f"{len(waveform) / SAMPLE_RATE * 1000:.0f} ms, the encoder needs "
        f"{encoder.min_samples / SAMPLE_RATE * 1000:.0f} ms or more"
    )


def _encode_readable(
    waveforms: Mapping[str, NDArray[np.float32]], encoder: SpeechEncoder, broken: dict[str, str]
) -> Iterator[tuple[Sequence[str], Encoded]]:
    """Encodes waveforms by length in batches, and notes why those that fail do, by their name."""
    ordered = dict(sorted(waveforms.items(), key=lambda pair: len(pair[1])))

    def encode(names: Sequence[str]) -> Encoded:
        batch = [torch.from_numpy(ordered[name]) for name in names]
        lengths = torch.tensor([len(waveform) for waveform in batch])
        return encoder(pad_sequence(batch, batch_first=True), lengths)

    for names in _batches_of_equal_cost(ordered):
        yield from _encode_each(names, encode, broken)


def _keep(states: Tensor, lengths: Tensor, key: FeatureKey) -> list[NDArray[np.floating]]:
    chosen = select_layers(states, key.layers)
    return [kept.cpu().numpy() for kept in pool_frames(chosen, lengths, key.pooling)]


def _batches_of_equal_cost(clips: Mapping[str, NDArray[np.float32]]) -> Iterator[list[str]]:
    """Cuts clips sorted by length so that no padded batch exceeds the seconds allowed."""
    batch: list[str] = []
    for content, waveform in clips.items():
        if batch and (len(batch) + 1) * len(waveform) > BATCH_SECONDS * SAMPLE_RATE:
            yield batch
            batch = []
        batch.append(content)
    if batch:
        yield batch


def _announce(
    store: FeatureStore, num_new: int, num_frames: int, encoder: Encoder, *, is_said: bool = True
) -> None:
    """Prints how much will be written, and refuses what cannot fit."""
    key = store.key
    num_layers = encoder.num_layers if key.layers == "all" else 1
    size = encoder.hidden_size * (2 if key.pooling == "statistics" else 1)
    frames = num_frames if key.pooling == "frames" else num_new
    num_bytes = frames * num_layers * size * (2 if key.half_precision else 4)
    existing = next(folder for folder in (store.folder, *store.folder.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if is_said:
        tqdm.write(
            f"features: {num_new} new, {len(store)} stored, about {num_bytes / 2**20:.1f} MiB to "
            f"write under {store.folder}"
        )
    if num_bytes > free:
        raise StoreFullError(
            28,
            f"about {num_bytes / 2**20:.0f} MiB of features do not fit into the "
            f"{free / 2**20:.0f} MiB free under {existing}; free some space, set "
            "CONVERSATION_EMOTION_CACHE to a larger disk, or keep fewer layers or frames",
        )


def _chunks(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    with tqdm(total=len(texts), unit=" texts", **BAR) as bar:
        for first in range(0, len(texts), size):
            some = texts[first : first + size]
            yield some
            bar.update(len(some))
