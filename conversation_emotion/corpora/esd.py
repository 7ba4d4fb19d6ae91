"""ESD (Zhou et al., 2022): 350 sentences in five emotions by ten Mandarin and ten English speakers.

Reads the release as distributed::

    0011/0011.txt                             id, text and emotion, with tabs between them
    0011/Angry/0011_000351.wav
    0011/Angry/train/0011_000351.wav          the release with its parts

Where the parts ``train``, ``evaluation`` and ``test`` are folders, they are the official split; all
speakers speak in all of them. The text files of the Mandarin speakers name emotions in Chinese and
some are not UTF-8, so the emotion is taken from the folder, and the text from files in UTF-8,
UTF-16 or GB 18030. Speakers 0001 to 0010 speak Mandarin, 0011 to 0020 English. Which of them are
women is not in the files; ``gender`` is missing.
"""

import codecs
from pathlib import Path

from conversation_emotion.corpora.recordings import Describe, Layout, name_emotions

EMOTIONS = name_emotions("Angry", "Happy", "Neutral", "Sad", "Surprise")


def _read_tables(root: Path) -> Describe:
    """Returns the language and text of a recording; a line without tabs has no text."""
    texts = {}
    for pattern in ("00[0-2][0-9]/*.txt", "*/00[0-2][0-9]/*.txt"):
        for path in sorted(root.glob(pattern)):
            if path.stem == path.parent.name:
                lines = [line.strip().split("\t") for line in _decode(path).splitlines()]
                texts |= {line[0].strip(): line[1].strip() for line in lines if len(line) > 1}
    return lambda name, path: {
        "language": "zh" if int(name["speaker"]) <= 10 else "en",
        "text": texts.get(path.stem),
    }


def _decode(path: Path) -> str:
    encoded = path.read_bytes()
    is_utf_16 = encoded.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if is_utf_16 else ("utf-8-sig", "gb18030"):
        try:
            return encoded.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError(f"esd: {path} is neither UTF-8, UTF-16 nor GB 18030; fetch it again")


CORPUS = Layout(
    corpus="esd",
    root="the ESD folder, the one that holds 0001 to 0020",
    places=("00[0-2][0-9]/*/**/*.wav", "*/00[0-2][0-9]/*/**/*.wav"),
    name=r"<emotion>/(?:<split>/)?(?P<speaker>00[01]\d|0020)_\d{6}",
    example="Angry/0011_000351",
    language="en",
    emotions=EMOTIONS,
    codes={"split": {"train": "train", "evaluation": "valid", "test": "test"}},
    read_tables=_read_tables,
).source(split="speaker-k-fold")
