"""Does the column novelty tell noise, music and other recordings from speech of further speakers?

    python -m benchmarks.novelty --roots emodb=EMODB ravdess=RAVDESS --other ljspeech=FOLDER

For each corpus the domain of features (`conversation_emotion.models.domain`) is fitted on four
fifths of the speakers. The table has the area under the ROC curve with which it tells utterances of
the fifth from others: white and pink noise, hum, near silence, chords and melodies made by rules,
the other corpora, and recordings of any folder; mean over the five fifths, and the share of each
that has a novelty above 1. Next to it are two scores of the classifier itself, logistic regression
on the same features: one less its confidence (Hendrycks and Gimpel, 2017), and its energy (Liu et
al., 2020). Other corpora differ in language, but in rooms and microphones as well.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from conversation_emotion.corpora import load_corpus
from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.datasets.inputs import extract_source
from conversation_emotion.features.encoders import Encoder
from conversation_emotion.features.sources import encode_waveforms, list_sources, load_encoders
from conversation_emotion.models.conversation import fit_logistic
from conversation_emotion.models.domain import Domain, average_frames, fit_domain
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.utterances.audio import SAMPLE_RATE, read_audio
from conversation_emotion.utterances.sound_files import find_sound

NUM_CLIPS, NUM_PARTS, COST = 40, 5, 0.01

Clip = NDArray[np.float32]
Vectors = NDArray[np.float32]


def make_sounds(seed: int = 0) -> dict[str, list[Clip]]:
    """Makes clips of one to four seconds of each kind."""
    generator = np.random.default_rng(seed)
    kinds = {
        "white noise": lambda size: generator.normal(size=size),
        "pink noise": lambda size: _pink(size, generator),
        "hum": lambda size: np.sin(2 * np.pi * 50 * np.arange(size) / SAMPLE_RATE),
        "chords": lambda size: _play(size, generator, (0, 4, 7)),
        "melodies": lambda size: _play(size, generator, (0,)),
    }
    clips: dict[str, list[Clip]] = {name: [] for name in (*kinds, "near silence")}
    for name in clips:
        for _ in range(NUM_CLIPS):
            size = int(generator.uniform(1, 4) * SAMPLE_RATE)
            loudness = generator.uniform(0.1, 0.8)
            made = kinds.get(name, kinds["white noise"])(size)
            loudness = 1e-4 if name == "near silence" else loudness
            clips[name].append((made / np.abs(made).max() * loudness).astype(np.float32))
    return clips


def _pink(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(generator.normal(size=size))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), size)


def _play(
    size: int, generator: np.random.Generator, intervals: tuple[int, ...]
) -> NDArray[np.float64]:
    """Plays notes of a major scale, or chords on them, that decay, with five partials each."""
    sound, beat = np.zeros(size), int(generator.uniform(0.2, 0.5) * SAMPLE_RATE)
    key = generator.integers(45, 65)
    for first in range(0, size, beat):
        times = np.arange(min(2 * beat, size - first)) / SAMPLE_RATE
        root = key + generator.choice([0, 2, 4, 5, 7, 9, 11])
        for interval in intervals:
            hertz = 440 * 2 ** ((root + interval - 69) / 12)
            for partial in range(1, 6):
                wave = np.sin(2 * np.pi * hertz * partial * times) / partial
                sound[first : first + len(times)] += wave * np.exp(-3 * times)
    return sound


def encode_clips(
    clips: list[Clip], settings: FeatureSettings, encoders: Mapping[str, Encoder]
) -> Vectors:
    """Encodes clips: -> (N, D)."""
    found = encode_waveforms(clips, settings, encoders)["speech"]
    return average_frames(ModalityArrays(found, "speech"), np.arange(len(clips)))


def read_folder(folder: Path) -> list[Clip]:
    """Reads recordings of a folder, evenly spread, up to four seconds of each."""
    files = find_sound(folder).sound
    chosen = np.linspace(0, len(files) - 1, min(NUM_CLIPS, len(files))).astype(int)
    return [read_audio(Path(files[number]))[: 4 * SAMPLE_RATE] for number in chosen]


class Classifier(NamedTuple):
    """Logistic regression on standardised features, and their domain."""

    domain: Domain
    centre: Vectors
    scale: Vectors
    weights: Vectors
    biases: Vectors


def score(some: Vectors, given: Classifier) -> tuple[NDArray[np.floating], ...]:
    """Returns novelty, one less the confidence, and the energy: (N, D) -> (N,) each."""
    logits = (some - given.centre) / given.scale @ given.weights.T + given.biases
    total = np.asarray(logsumexp(logits, axis=1))
    return given.domain.measure(some), 1 - np.exp(logits.max(axis=1) - total), -total


def compare(table: pd.DataFrame, vectors: Vectors, others: Mapping[str, Vectors]) -> pd.DataFrame:
    """Returns the AUC of each score for each kind of others, a row for each part of speakers."""
    classes, labels = pd.factorize(table["emotion"], sort=True)
    parts = pd.factorize(table["speaker"], sort=True)[0] % NUM_PARTS
    rows = []
    for part in range(NUM_PARTS):
        train, test = vectors[parts != part], vectors[parts == part]
        domain = fit_domain(train, table["speaker"][parts != part])
        assert domain is not None
        centre, scale = train.mean(axis=0), train.std(axis=0) + 1e-5
        weights, biases = fit_logistic(
            (train - centre) / scale, classes[parts != part], len(labels),
            is_balanced=True, cost=COST,
        )  # fmt: skip
        classifier = Classifier(domain, centre, scale, weights, biases)
        inside = score(test, classifier)
        for name, some in {"held-out speakers": test, **others}.items():
            outside = score(some, classifier)
            is_other = np.repeat([0, 1], [len(test), len(some)])
            areas = [
                roc_auc_score(is_other, np.concatenate(pair))
                for pair in zip(inside, outside, strict=True)
            ]
            rows.append([name, len(some), *areas, (outside[0] > 1).mean()])
    return pd.DataFrame(rows, columns=["others", "n", "novelty", "confidence", "energy", "above"])


def main() -> None:
    """Prints a table for each corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--roots", nargs="+", required=True, metavar="NAME=PATH")
    parser.add_argument("--other", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--speech-encoder", default="whisper-base-lower")
    given = parser.parse_args()
    name = given.speech_encoder
    settings = EncoderSettings(speech_encoder=(name,)).for_encoder(name)
    (source,), encoders = list_sources(settings).values(), load_encoders(settings)
    tables, vectors = {}, {}
    for corpus, root in (pair.split("=", 1) for pair in given.roots):
        tables[corpus] = load_corpus(corpus, Path(root))
        found = extract_source(tables[corpus], source, encoders["speech"], strict=True)
        arrays = ModalityArrays(found, "speech")
        vectors[corpus] = average_frames(arrays, np.arange(len(tables[corpus])))
    clips = make_sounds()
    clips |= {n: read_folder(Path(path)) for n, path in (one.split("=", 1) for one in given.other)}
    others = {kind: encode_clips(some, settings, encoders) for kind, some in clips.items()}
    for corpus, table in tables.items():
        rest = {other: one for other, one in vectors.items() if other != corpus}
        found = compare(table, vectors[corpus], {**others, **rest})
        print(f"\n{corpus}, {len(table):,} utterances of {table['speaker'].nunique()} speakers\n")
        print("| against held-out speakers | n | novelty | 1 - confidence | energy | above 1 |")
        print("|---|---|---|---|---|---|")
        for kind, some in found.groupby("others", sort=False):
            areas = [f"{some[one].mean():.3f}" for one in ("novelty", "confidence", "energy")]
            areas = ["", "", ""] if kind == "held-out speakers" else areas
            count = "" if kind == "held-out speakers" else f"{some['n'].iloc[0]}"
            print(f"| {kind} | {count} | {' | '.join(areas)} | {some['above'].mean():.0%} |")


if __name__ == "__main__":
    main()
