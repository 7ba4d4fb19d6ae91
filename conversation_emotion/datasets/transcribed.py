"""The words of a dataset's recordings as an ASR writes them down, in place of the corpus' own."""

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.features.encoders import load_transcriber
from conversation_emotion.features.transcription import write_words
from conversation_emotion.settings.words import WordSettings
from conversation_emotion.utterances.table import has_text


def transcribe_dataset(dataset: Dataset, words: WordSettings) -> Dataset:
    """Replaces the text of every utterance, train and test alike, by what the ASR writes down.

    One without sound, or of which the ASR writes nothing, has no text. What was written down once
    is kept, see `write_words`.

    Raises:
        ValueError: No utterance has sound, the ASR lacks a language, or it writes nothing at all.
    """
    if words.asr is None:
        return dataset
    given = dataset.utterances
    corpus = dataset.label_map.corpus
    if not (has_sound := given["audio"].notna()).any():
        raise ValueError(f"--asr {words.asr}: no utterance of {corpus} names a recording")
    silent = given.assign(text=None)
    written = write_words(silent, load_transcriber(words.asr), words.asr_language)["text"]
    written = written.astype(given["text"].dtype)
    utterances = given.assign(text=written)
    has_words = has_text(utterances)
    if not has_words.any():
        raise ValueError(
            f"--asr {words.asr}: it writes nothing down of {has_sound.sum():,} recordings of "
            f"{corpus}"
        )
    return dataset._replace(utterances=utterances).add_note(
        f"words by ASR: {words.asr}, of {has_words.sum():,} of {len(given):,} utterances; the "
        f"corpus has words of {has_text(given).sum():,}"
    )
