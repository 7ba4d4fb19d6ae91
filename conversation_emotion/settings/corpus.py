"""Which corpora there are, and the choice of one: its classes, its split."""

import difflib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typing_extensions import Doc

from conversation_emotion.settings.flags import check_at_least

if TYPE_CHECKING:
    import pandas as pd

LabelSet = Literal["4-class", "5-class", "6-class", "7-class", "8-class", "all"]
"""Names of sets of classes; what each corpus maps onto them is in its module."""

SplitName = Literal[
    "official", "leave-one-session-out", "leave-one-speaker-out", "speaker-k-fold",
    "shuffled-k-fold", "superb", "emotion2vec-session", "emotion2vec-speaker", "emobox",
    "recording-prefix",
]  # fmt: skip
"""Protocols, those of `conversation_emotion.splits.protocols.SPLITS`."""

ValidPart = Literal["share", "speaker", "fold"]
"""What selects the epoch where a protocol leaves it open."""

NUM_FOLDS = 5
"""Default number of folds of speaker-k-fold."""

GROUP = "conversation_emotion.corpora"
"""Group of entry points by which another package brings a corpus."""


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """Options that only one corpus has are the fields of a subclass; most corpora have none."""


@dataclass(frozen=True, kw_only=True)
class CorpusSource:
    """How a corpus is read, and its defaults.

    Attributes:
        load: Reads the utterance table from the root, an absolute path without links (None where
            none is given), and the fields of `options` as keyword arguments.
        root: What ``--root`` is, in words.
        needs_root: False for a corpus that comes with its package.
        labels: The label set.
        split: The protocol; None is the official split where the table has one, else
            speaker-k-fold.
        valid: What selects the epoch where the protocol leaves it open.
        label_maps: Class of each emotion by label set; None drops the emotion.
        options: Defaults of the options that only this corpus has.
    """

    load: "Callable[..., pd.DataFrame]"
    root: str
    needs_root: bool = True
    labels: LabelSet = "all"
    split: SplitName | None = None
    valid: ValidPart = "share"
    label_maps: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    options: CorpusOptions = field(default_factory=CorpusOptions)


@cache
def list_corpora() -> dict[str, list[EntryPoint]]:
    """Returns where each corpus is defined, in alphabetical order, without importing any.

    Built-in corpora are the modules of `conversation_emotion.corpora` that define ``CORPUS``, with
    hyphens for underscores; others come by entry points of `GROUP`.
    """
    folder = Path(__file__).parents[1] / "corpora"
    found: defaultdict[str, list[EntryPoint]] = defaultdict(list)
    for path in (*folder.glob("*.py"), *folder.glob("*/__init__.py")):
        if "\nCORPUS = " in path.read_text("utf-8"):
            module = path.parent.name if path.stem == "__init__" else path.stem
            name = module.replace("_", "-")
            found[name].append(EntryPoint(name, f"{GROUP}.{module}:CORPUS", GROUP))
    for entry in entry_points(group=GROUP):
        found[entry.name].append(entry)
    return dict(sorted(found.items()))


def find_corpus(name: str) -> CorpusSource:
    """Imports the source of a corpus; a plain function from a root to a table becomes one.

    Raises:
        ValueError: No corpus has this name, or two have, or its module cannot be imported.
    """
    corpora = list_corpora()
    if name not in corpora:
        close = difflib.get_close_matches(name, corpora, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown corpus {name!r}, known are {', '.join(corpora)}{hint}")
    entry, *others = corpora[name]
    if others:
        places = " and ".join(place.value for place in corpora[name])
        raise ValueError(f"two corpora are named {name!r}: {places}; uninstall or rename one")
    try:
        source = entry.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"corpus {name!r}: {entry.value} cannot be imported: {error}") from error
    if isinstance(source, CorpusSource):
        return source
    return CorpusSource(load=source, root=f"what {entry.value} reads")


CorpusName = Annotated[
    str,
    Doc(
        "Name of the corpus; demo is built in, manifest is a table of your own. One of "
        f"{', '.join(list_corpora())}."
    ),
]


@dataclass(frozen=True, kw_only=True)
class OneCorpusSettings:
    """Which data."""

    corpus: CorpusName = "demo"

    root: Path | None = None
    """Folder of the corpus as distributed, or the manifest file; demo needs none."""

    options: CorpusOptions = field(default_factory=CorpusOptions)

    def __post_init__(self) -> None:
        source = find_corpus(self.corpus)
        if source.needs_root and self.root is None:
            raise ValueError(f"--corpus {self.corpus} needs --root, {source.root}")
        if type(self.options) not in (CorpusOptions, type(source.options)):
            raise ValueError(f"{self.options} is not for --corpus {self.corpus}")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(OneCorpusSettings):
    """Which data, which classes, which protocol."""

    labels: Literal["auto", LabelSet] = "auto"
    """Classes to predict; all takes every emotion that the corpus names, auto what
    `experiments.corpora` lists for the corpus."""

    split: Literal["auto", SplitName] = "auto"
    """Protocol; the last five are those of single utterances, as published. auto is what
    `experiments.corpora` lists for the corpus, else the official split where there is one, else
    speaker-k-fold."""

    valid: Literal["auto", ValidPart] = "auto"
    """What selects the epoch where the protocol leaves it open: a fifth of the train dialogues, all
    those of one train speaker, or the fold after the tested, which is not trained on; auto is
    speaker for emodb, else share."""

    num_folds: int = NUM_FOLDS
    """Folds of speaker-k-fold and shuffled-k-fold."""

    superb_folds: Path | None = None
    """s3prl's downstream/emotion/meta_data folder, which the split superb reads."""

    emobox_folds: Path | None = None
    """EmoBox's data/CORPUS folder, which the split emobox reads; without it the folds are drawn by
    EmoBox's rule."""

    speeds: tuple[float, ...] = ()
    """Train also on copies of the train part, played so many times as fast, such as 0.9 1.1."""

    trimmed: bool = False
    """Train also on copies of the train part without the silence before and after their sound, so
    that a model predicts turns of long recordings as well as clips."""

    strict: bool = False
    """Stop at a clip that is missing or broken, instead of naming it and masking its speech."""

    def __post_init__(self) -> None:
        check_at_least(self, 2, "num_folds")
        if not all(0.5 <= x <= 2 and x != 1 and self.speeds.count(x) == 1 for x in self.speeds):
            raise ValueError(f"--speeds must differ, lie in [0.5, 2], not be 1; got {self.speeds}")
        super().__post_init__()
        if self.split == "superb" and self.superb_folds is None:
            raise ValueError("--split superb needs --superb-folds")
        if self.split != "auto":
            self.check_split(self.split)

    def check_split(self, split: str) -> None:
        """Raises a `ValueError` where an option of another protocol than this one is set."""
        for flag, owners, is_set in (
            ("--num-folds", ("speaker-k-fold", "shuffled-k-fold"), self.num_folds != NUM_FOLDS),
            ("--superb-folds", ("superb",), self.superb_folds is not None),
            ("--emobox-folds", ("emobox",), self.emobox_folds is not None),
        ):
            if is_set and split not in owners:
                raise ValueError(f"{flag} is for --split {' or '.join(owners)}, not {split}")


def parse_places(
    flag: str, places: Sequence[str], known: Collection[str] | None = None
) -> dict[str, Path]:
    """Reads NAME=PATH pairs of a flag, such as --roots emodb=EmoDB ravdess=RAVDESS.

    Those of ``known`` corpora may be named, of all that there are if None.

    Raises:
        ValueError: A pair is none, or names no known corpus, or one is named twice.
    """
    known = list_corpora() if known is None else known
    found: dict[str, Path] = {}
    for place in places:
        name, is_pair, path = place.partition("=")
        if not is_pair or not path:
            raise ValueError(f"{flag} takes NAME=PATH, got {place!r}; such as emodb=EmoDB")
        if name not in known:
            raise ValueError(f"{flag}: no corpus {name!r} here; choose from {', '.join(known)}")
        if name in found:
            raise ValueError(f"{flag} names {name} more than once")
        found[name] = Path(path)
    return found
