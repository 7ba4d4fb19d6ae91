"""CMU-MOSEI (Zadeh et al., 2018): English videos in segments, with sentiment and six emotions.

Reads the raw data and the label file of the CMU Multimodal SDK, both as distributed::

    CMU_MOSEI_Labels.csd                               also in a folder labels
    cmu_mosei_std_folds.py                             the SDK's lists of the standard split
    Raw/Audio/Full/WAV_16000/VIDEO.wav                 whole videos: segments are slices
    Raw/Transcript/Segmented/Combined/VIDEO.txt        VIDEO___clip___start___end___words

Needs the package h5py for the labels. Segments are numbered by their begin; the text is that of the
line with the same begin and end to a tenth of a second, and missing where there is none. Without
the lists ``split`` is missing. A video is a dialogue of one speaker; nobody published who has
several videos. ``sentiment`` is the mean rating from -3 to 3.

Columns behind the contract: how strong each emotion is, 0 to 3; a segment can have several, so
``emotion`` stays empty.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.annotations import read_optional
from conversation_emotion.corpora.computational_sequences import Segment, load_segments
from conversation_emotion.settings.corpus import CorpusSource

EMOTIONS = ("happiness", "sadness", "anger", "surprise", "disgust", "fear")
"""Emotions in the order of the label file, behind the sentiment."""


def _describe_video(
    raw: Path, video: str, segments: list[Segment]
) -> Iterator[tuple[Segment, dict[str, object]]]:
    texts = _read_texts(raw / "Transcript" / "Segmented" / "Combined" / f"{video}.txt")
    audio = raw / "Audio" / "Full" / "WAV_16000"
    for order, segment in enumerate(sorted(segments)):
        _, *emotions = segment.labels
        if len(emotions) != len(EMOTIONS):
            raise ValueError(
                f"cmu-mosei: segment {order} of {video!r} has {len(segment.labels)} labels, "
                f"expected the sentiment and {', '.join(EMOTIONS)}"
            )
        yield (
            segment,
            {
                "text": texts.get(_place(segment.start, segment.end)),
                "audio": str(audio / f"{video}.wav") if audio.is_dir() else None,
                "offset": max(segment.start, 0.0),
                "duration": segment.end - max(segment.start, 0.0),
                **dict(zip(EMOTIONS, emotions, strict=True)),
            },
        )


def _read_texts(path: Path) -> dict[tuple[float, float], str]:
    """Words of each segment by its begin and end; lines of another shape have none."""
    texts = {}
    for line in read_optional(path, "cmu-mosei").splitlines():
        cells = line.split("___", maxsplit=4)
        try:
            texts[_place(float(cells[2]), float(cells[3]))] = cells[4].strip()
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"cmu-mosei: {path} has the line {line!r}, expected "
                "video___clip___start___end___words"
            ) from error
    return texts


def _place(start: float, end: float) -> tuple[float, float]:
    return round(start, 1), round(end, 1)


CORPUS = CorpusSource(
    load=partial(
        load_segments,
        corpus="cmu-mosei",
        labels="CMU_MOSEI_Labels.csd",
        sequence="All Labels",
        folds="cmu_mosei_std_folds.py",
        describe=_describe_video,
    ),
    root="the CMU-MOSEI folder, the one that holds Raw and CMU_MOSEI_Labels.csd",
)
