"""Which corpus, which classes, which split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

CorpusName = Literal[
    "aesdd",
    "audformat",
    "baum-1",
    "cafe",
    "casia",
    "cmu-mosei",
    "cmu-mosi",
    "crema-d",
    "demo",
    "emodb",
    "emovo",
    "enterface",
    "esd",
    "huggingface",
    "iemocap",
    "jl-corpus",
    "m3ed",
    "manifest",
    "mead",
    "meld",
    "msp-improv",
    "msp-podcast",
    "ravdess",
    "ravdess-song",
    "resd",
    "savee",
    "shemo",
    "subesco",
    "tess",
    "urdu",
]
"""The corpora that can be read, those of `conversation_emotion.corpora.CORPORA`."""


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Which data, which classes, which protocol."""

    corpus: CorpusName = "demo"
    """Corpus to train and test on; demo is built in, manifest is a table of your own."""

    root: Path | None = None
    """Folder of the corpus as distributed, or the manifest file; demo needs none."""

    labels: Literal["auto", "4-class", "5-class", "6-class", "7-class", "8-class", "all"] = "auto"
    """Classes to judge; all takes every emotion that the corpus names. auto is 4-class for demo,
    iemocap, manifest, meld and msp-improv, 5-class for jl-corpus, 7-class for emodb, 8-class for
    msp-podcast, else all."""

    scenario: Literal["all", "improvised", "scripted"] = "all"
    """Which dialogues of IEMOCAP to use."""

    split: Literal[
        "auto",
        "official",
        "leave-one-session-out",
        "leave-one-speaker-out",
        "speaker-k-fold",
        "superb",
        "emotion2vec-session",
        "emotion2vec-speaker",
        "emobox",
        "recording-prefix",
    ] = "auto"
    """Protocol; the last five are those of single utterances, as published. auto is
    leave-one-speaker-out for iemocap and for corpora of up to ten speakers, leave-one-session-out
    for demo and msp-improv, and the official split where there is one; else, and for esd,
    speaker-k-fold."""

    valid: Literal["auto", "share", "speaker", "fold"] = "auto"
    """What selects the epoch where the protocol leaves it open: a fifth of the train dialogues, all
    those of one train speaker, or the fold after the tested, which is not learnt from; auto is
    speaker for emodb, else share."""

    num_folds: int = 5
    """Folds of speaker-k-fold."""

    superb_folds: Path | None = None
    """s3prl's downstream/emotion/meta_data folder, which the split superb reads."""

    emobox_folds: Path | None = None
    """EmoBox's data/CORPUS folder, which the split emobox reads; without it the folds are drawn by
    EmoBox's rule."""

    speeds: tuple[float, ...] = ()
    """Learn also from copies of all that trains, played so many times as fast, such as 0.9 1.1."""

    strict: bool = False
    """Stop at a clip that is missing or broken, instead of naming it and masking its speech."""

    def __post_init__(self) -> None:
        if self.num_folds < 2:
            raise ValueError(f"--num-folds must be 2 or more, got {self.num_folds}")
        if not all(0.5 <= x <= 2 and x != 1 and self.speeds.count(x) == 1 for x in self.speeds):
            raise ValueError(f"--speeds must differ, lie in [0.5, 2], not be 1; got {self.speeds}")
        if self.corpus != "demo" and self.root is None:
            raise ValueError(f"--corpus {self.corpus} needs --root")
        if self.split == "superb" and self.superb_folds is None:
            raise ValueError("--split superb needs --superb-folds")
        if self.scenario != "all" and self.corpus != "iemocap":
            raise ValueError(f"--scenario {self.scenario} is for iemocap, not {self.corpus}")


def parse_places(
    flag: str, places: Sequence[str], known: Sequence[str] = get_args(CorpusName)
) -> dict[CorpusName, Path]:
    """Reads NAME=PATH pairs.

    Args:
        flag: The flag they were given with, for the error.
        places: The pairs.
        known: Corpora that may be named.

    Raises:
        ValueError: A pair is none, or names no known corpus, or one is named twice.
    """
    found: dict[CorpusName, Path] = {}
    for place in places:
        name, is_pair, path = place.partition("=")
        if not is_pair or not path:
            raise ValueError(f"{flag} takes NAME=PATH, got {place!r}; such as emodb=EmoDB")
        if name not in known:
            raise ValueError(f"{flag}: no corpus {name!r} here; choose from {', '.join(known)}")
        if name in found:
            raise ValueError(f"{flag} names {name} more than once")
        found[cast(CorpusName, name)] = Path(path)
    return found
