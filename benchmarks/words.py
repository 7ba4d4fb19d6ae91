"""Measures the words that Whisper writes down, against the known sentences of corpora.

    python -m benchmarks.words --roots emodb=EmoDB ravdess=RAVDESS --asr openai/whisper-base

Clips are drawn at random, as many of each corpus. Two ways to read them are compared: padded with
silence to 30 s, as `predict` does and Whisper was trained, one language per clip; and tight, the
frames of the clip alone, clip by clip, since the decoder attends to whatever pads a batch. Shown
are errors (words replaced, left out or put in) over words, clips in whose language the words are,
and processor seconds per second of sound, reading the files not included. Last come sounds without
words, and what is written down of them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutput

from conversation_emotion.corpora import load_corpus
from conversation_emotion.evaluation.word_errors import count_word_errors, normalise
from conversation_emotion.settings.corpus import parse_places
from conversation_emotion.utterances.audio import SAMPLE_RATE, read_audio
from speech_encoders.whisper.modeling import contextualise, convolve
from speech_encoders.whisper.transcription import Transcriber, Transcript, load

Clips = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class WordSettings:
    """Which clips, and which model."""

    roots: tuple[str, ...]
    """Corpora with transcripts, such as emodb=EmoDB ravdess=RAVDESS."""

    asr: str = "openai/whisper-base"
    """Hub id or folder of the model."""

    clips: int = 20
    """Clips of each corpus."""


class TightTranscriber(Transcriber):
    """Reads the frames of a clip alone."""

    def _encode(self, waveforms: Tensor, lengths: Tensor) -> BaseModelOutput:
        frames, sizes = convolve(self._encoder, waveforms, lengths)
        states = contextualise(self._encoder, frames, sizes)[-1]
        return BaseModelOutput(last_hidden_state=states)  # pyright: ignore[reportArgumentType]


def main(settings: WordSettings) -> None:
    """Prints a row for each corpus and way to read it, then sounds without words."""
    padded = load(settings.asr, "cpu")
    tight = TightTranscriber(padded._model, padded._tokenizer, padded.name, "tight")
    threads = torch.get_num_threads()
    print(f"{settings.asr}, {threads} threads, torch {torch.__version__}, ", end="")
    print(f"transformers {version('transformers')}, jiwer {version('jiwer')}")
    print("| corpus | clips | read | word error rate | language right | CPU s per s |")
    print("|---|---|---|---|---|---|")
    for corpus, root in parse_places("--roots", settings.roots).items():
        table = load_corpus(corpus, root)
        chosen = np.random.default_rng(0).permutation(len(table))[: settings.clips]
        rows = table.iloc[np.sort(chosen)].to_dict("list")
        read = zip(map(read_audio, rows["audio"]), map(str, rows["text"]), strict=True)
        pairs = sorted(read, key=lambda pair: len(pair[0]))
        clips, texts = [clip for clip, _ in pairs], [normalise(text) for _, text in pairs]
        for name, transcriber, at_once in (("padded", padded, 4), ("tight", tight, 1)):
            began = time.process_time()
            found = write_down(transcriber, clips, at_once)
            cost = time.process_time() - began
            errors = count_word_errors(texts, [normalise(one.text) for one in found])
            wrong, words = errors.sum(axis=0)
            right = sum(one.language == rows["language"][0] for one in found)
            cost /= sum(map(len, clips)) / SAMPLE_RATE
            print(
                f"| {corpus} | {len(clips)} | {name} | {wrong / words:.1%} ({wrong} of {words}) | "
                f"{right} | {cost:.2f} |",
                flush=True,
            )
    for name, clip in make_sounds().items():
        (found,) = write_down(padded, [clip], 1)
        print(f"{name}: {found.text!r} {found.problem}", flush=True)


def write_down(transcriber: Transcriber, clips: Clips, at_once: int) -> list[Transcript]:
    """Writes down clips, so many at once."""
    found = []
    for first in range(0, len(clips), at_once):
        batch = [torch.from_numpy(clip) for clip in clips[first : first + at_once]]
        lengths = torch.tensor([len(clip) for clip in batch])
        found += transcriber(pad_sequence(batch, batch_first=True), lengths, [None] * len(batch))
    return found


def make_sounds() -> dict[str, NDArray[np.float32]]:
    """Returns five seconds each of sounds without words."""
    seconds = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(size=len(seconds))
    tones = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in (220, 277.2, 329.6))
    sounds = {
        "silence": 0 * noise,
        "soft noise": 1e-3 * noise,
        "loud noise": 0.2 * noise,
        "hum of 50 Hz": 0.3 * np.sin(2 * np.pi * 50 * seconds),
        "chord that swells": 0.1 * tones * np.sin(2 * np.pi * seconds) ** 2,
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}


if __name__ == "__main__":
    main(tyro.cli(WordSettings))
