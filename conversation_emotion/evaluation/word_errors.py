"""Transcripts for spelling: normalised to 32 characters, decoded, and scored by word errors.

The characters are those of the wav2vec 2.0 checkpoints, as in Cai et al. (2021): four special ones,
of which the first is the blank, the border between words, the letters of English, the apostrophe.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import jiwer
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conversation_emotion.evaluation.jackknife import Numbers, jackknife
from conversation_emotion.evaluation.metrics import Interval, count_targets, summarise

CHARACTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""By index; the first is CTC's blank."""

_INDEX = {character: index for index, character in enumerate(CHARACTERS)}
_INDEX[" "] = _INDEX["|"]
_UNKNOWN, _BORDER = _INDEX["<unk>"], _INDEX["|"]
_EVENT = re.compile(r"\[[^\]]*\]|<[^>]*>|\([^)]*\)")


class Spellings(NamedTuple):
    """The transcripts of a corpus in characters.

    Attributes:
        texts: Normalised transcripts; empty where there is nothing to spell.
        indices: Their characters, by index.
        num_characters: Characters in all, borders of words left out.
        num_unknown: Those of them that are none of `CHARACTERS`, such as digits.
    """

    texts: list[str]
    indices: list[NDArray[np.int64]]
    num_characters: int
    num_unknown: int


def normalise(text: str) -> str:
    """Writes a transcript in capital letters, apostrophes and single spaces.

    Accents, punctuation and what stands in brackets, such as ``[LAUGHTER]``, are left out; all else
    stays and is unknown.
    """
    text = _EVENT.sub(" ", text).replace("\u2019", "'").upper()
    letters = unicodedata.normalize("NFKD", text)
    kept = [
        " " if unicodedata.category(sign)[0] in "PZSC" and sign != "'" else sign
        for sign in letters
        if not unicodedata.combining(sign)
    ]
    words = ("".join(kept)).split()
    return " ".join(word for word in words if word.strip("'"))


def spell(utterances: pd.DataFrame) -> Spellings:
    """Spells every transcript of a table; one that is missing gives no characters.

    Raises:
        ValueError: A transcript has unknown characters alone, so that it trains nothing.
    """
    texts, indices, unknown = [], [], 0
    for utterance_id, text in zip(utterances["utterance_id"], utterances["text"], strict=True):
        written = normalise(text) if isinstance(text, str) else ""
        spelt = np.array([_INDEX.get(sign, _UNKNOWN) for sign in written], dtype=np.int64)
        num_unknown = int((spelt == _UNKNOWN).sum())
        if len(spelt) and num_unknown == int((spelt != _BORDER).sum()):
            raise ValueError(
                f"the transcript of {utterance_id!r}, {text!r}, has none of the characters A to Z "
                "and the apostrophe; write it in them, or leave it empty"
            )
        texts.append(written)
        indices.append(spelt)
        unknown += num_unknown
    total = sum(len(text.replace(" ", "")) for text in texts)
    return Spellings(texts, indices, total, unknown)


def decode(frames: NDArray[np.int64]) -> str:
    """Reads the most probable characters of all frames: repeats are one, blanks nothing (greedy).

    Args:
        frames: Index of a character for each frame, (T,).
    """
    changes = np.flatnonzero(np.diff(frames, prepend=-1))
    signs = [CHARACTERS[index] for index in frames[changes]]
    text = "".join(" " if sign == "|" else sign for sign in signs if not sign.startswith("<"))
    return " ".join(text.split())


def count_word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.int64]:
    """Counts errors and words of each transcript: N, N -> (N, 2).

    Errors are words replaced, left out, or put in.
    """
    counts = []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        found = jiwer.process_words(reference, hypothesis)
        errors = found.substitutions + found.deletions + found.insertions
        counts.append((errors, len(reference.split())))
    return np.array(counts, dtype=np.int64).reshape(-1, 2)


def score_transcripts(tested: pd.DataFrame, given: pd.Series, written: pd.Series) -> Interval:
    """Scores words that were written down against those of the corpus, both normalised.

    Args:
        tested: Predictions, of which `score_word_errors` takes fold, seed and cluster; those of
            utterances without words of the corpus do not count.
        given: Texts of the corpus by utterance id, missing where there is none.
        written: Those that were written down.
    """
    ids = tested["utterance_id"]
    texts = [ids.map(one.map(normalise, na_action="ignore")).fillna("") for one in (given, written)]
    has_words = texts[0] != ""
    counted = pd.DataFrame(
        count_word_errors(*(one[has_words].tolist() for one in texts)),
        columns=["errors", "words"],
        index=tested.index[has_words],
    )
    return score_word_errors(tested[has_words].join(counted))


def score_word_errors(spelt: pd.DataFrame) -> Interval:
    """Scores the word error rate: errors over words of a fold and seed, with its 95 % interval.

    Args:
        spelt: Columns ``fold``, ``seed``, ``dialogue_id``, ``utterance_id``, ``errors`` and
            ``words``, a row per transcript, and ``cluster`` where that is not the dialogue.
    """
    found = jackknife(spelt, lambda part: part[["errors", "words"]].to_numpy(), word_error_rate)
    return summarise(found, {"wer": count_targets(spelt)})["wer"]


def word_error_rate(sums: Numbers) -> Numbers:
    """Divides errors by words, 0 without words: (..., 2) -> (1, ...)."""
    return (sums[..., 0] / np.maximum(sums[..., 1], 1e-9))[np.newaxis]
