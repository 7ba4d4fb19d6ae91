"""CMU-MOSI (Zadeh et al., 2016): English video reviews in segments, rated from -3 to 3.

Reads the raw data and the label file of the CMU Multimodal SDK, both as distributed::

    CMU_MOSI_Opinion_Labels.csd                        also in a folder labels
    cmu_mosi_std_folds.py                              the SDK's lists of the standard split
    Raw/Audio/WAV_16000/Segmented/VIDEO_1.wav          segments count from 1
    Raw/Transcript/Segmented/VIDEO.annotprocessed      lines 1_DELIM_words

Needs the package h5py for the labels. The n-th segment of a video in the label file is taken to be
its n-th clip, as others read it. Without the lists ``split`` is missing, without a transcript
``text`` is. A video is a dialogue of one speaker; nobody published who has several videos.
``sentiment`` is the mean rating; there are no emotions.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from conversation_emotion.corpora.annotations import read_optional
from conversation_emotion.corpora.computational_sequences import Segment, load_segments
from conversation_emotion.settings.corpus import CorpusSource

_TRANSCRIPT = re.compile(r"^(\d+)_DELIM_(.*)$", re.MULTILINE)


def _describe_video(
    raw: Path, video: str, segments: list[Segment]
) -> Iterator[tuple[Segment, dict[str, object]]]:
    path = raw / "Transcript" / "Segmented" / f"{video}.annotprocessed"
    transcript = read_optional(path, "cmu-mosi")
    texts = {int(number): words.strip() for number, words in _TRANSCRIPT.findall(transcript)}
    clips = raw / "Audio" / "WAV_16000" / "Segmented"
    for number, segment in enumerate(segments, start=1):
        yield (
            segment,
            {
                "utterance_id": f"{video}_{number}",
                "text": texts.get(number),
                "audio": str(clips / f"{video}_{number}.wav") if clips.is_dir() else None,
            },
        )


CORPUS = CorpusSource(
    load=partial(
        load_segments,
        corpus="cmu-mosi",
        labels="CMU_MOSI_Opinion_Labels.csd",
        sequence="Opinion Segment Labels",
        folds="cmu_mosi_std_folds.py",
        describe=_describe_video,
    ),
    root="the CMU-MOSI folder, the one that holds Raw and CMU_MOSI_Opinion_Labels.csd",
)
