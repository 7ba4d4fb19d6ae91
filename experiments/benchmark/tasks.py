"""The tasks of the board: which experiment measures what, with which settings.

A task's version is raised whenever its scores are no longer comparable with those before.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from conversation_emotion.corpora import load_corpus
from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.dimensional import DimensionalSettings, RatingSettings
from conversation_emotion.settings.features import (
    EncoderSettings,
    FeatureSettings,
    SpeechEncoderSettings,
)
from conversation_emotion.settings.models import ConversationModelSettings
from conversation_emotion.settings.probes import CrossCorpusSettings
from conversation_emotion.settings.recognition import EPCSettings, SERSettings
from conversation_emotion.settings.sentiment import ModalitySettings, SentimentSettings

Modality = Literal["speech", "text", "speech+text"]

CROSSED = ("emodb", "ravdess", "iemocap", "meld", "crema-d", "esd", "savee", "m3ed")
"""Corpora with angry, happy, neutral and sad speech, which are tested on each other."""


class Encoders(NamedTuple):
    """What a row of the board is of: encoders of the modalities that it uses."""

    speech: str | None = None
    text: str | None = None

    @property
    def modality(self) -> Modality:
        """Returns the modalities."""
        return "speech+text" if self.speech and self.text else "speech" if self.speech else "text"

    @property
    def name(self) -> str:
        """Returns the name of the row: that of a checkpoint, not the folder it lies in."""
        names = [name for name in self if name]
        return " & ".join(Path(one).name if Path(one).exists() else one for one in names)


@dataclass(frozen=True, kw_only=True)
class BoardTask:
    """A task of the board.

    Attributes:
        kind: One of `conversation_emotion.settings.benchmark.KINDS`.
        corpus: What is tested on; ``train`` what is trained on, the same but across corpora.
        modalities: What it can be asked of.
        metric: The score.
        experiment: Module of the experiment.
        configure: Makes its settings.
        version: Of the task.
    """

    kind: str
    corpus: str
    train: str
    modalities: tuple[Modality, ...]
    metric: str
    experiment: str
    configure: Callable[[Encoders], Any]
    version: int = 1

    @property
    def name(self) -> str:
        """Returns the kind with the corpora, such as ``epc-demo``."""
        corpora = self.corpus if self.train == self.corpus else f"{self.train}-{self.corpus}"
        return f"{self.kind}-{corpora}"

    def run(self, encoders: Encoders) -> Any:
        """Measures encoders, and returns the table of the experiment."""
        module = import_module(f"experiments.{self.experiment}")
        return module.EXPERIMENT.run(self.configure(encoders))


def list_tasks(places: Mapping[str, Path | None]) -> Iterator[BoardTask]:
    """Yields the tasks that corpora allow, by what their utterances have."""
    tables = {name: load_corpus(name, root) for name, root in places.items()}
    spoken = [name for name, table in tables.items() if _has_sound(table)]
    for name, table in tables.items():
        modalities = _modalities(table, name in spoken)
        yield from _list_own(name, places[name], table, modalities)
    crossed = [name for name in spoken if name in CROSSED]
    for train, test in permutations(crossed, 2):
        roots = tuple(f"{name}={places[name]}" for name in (train, test))
        yield BoardTask(
            kind="cross",
            corpus=test,
            train=train,
            modalities=("speech",),
            metric="uar",
            experiment="cross_corpus",
            configure=lambda encoders, train=train, test=test, roots=roots: CrossCorpusSettings(
                roots=roots,
                train=(train,),
                test=(test,),
                features=SpeechEncoderSettings(speech_encoder=(str(encoders.speech),)),
            ),
        )


def _has_sound(table: pd.DataFrame) -> bool:
    """Returns whether the files of a corpus are there, by the first of them."""
    return any(Path(str(one)).is_file() for one in table["audio"].dropna().head(20))


def _modalities(table: pd.DataFrame, has_sound: bool) -> tuple[Modality, ...]:
    # The words of acted sentences are the same for every emotion.
    has_words = table["text"].nunique() > len(table) // 4
    if has_sound and has_words:
        return ("speech", "text", "speech+text")
    return ("speech",) if has_sound else ("text",) if has_words else ()


def _list_own(
    name: str, root: Path | None, table: pd.DataFrame, modalities: tuple[Modality, ...]
) -> Iterator[BoardTask]:
    """Yields the tasks within a corpus."""
    data = CorpusSettings(corpus=name, root=root)
    single: tuple[Modality, ...] = tuple(one for one in modalities if one != "speech+text")

    def task(kind: str, of: tuple[Modality, ...], *given: Any, metric: str = "uar") -> BoardTask:
        experiment, configure = given
        return BoardTask(
            kind=kind,
            corpus=name,
            train=name,
            modalities=of,
            metric=metric,
            experiment=experiment,
            configure=configure,
        )

    shuffled = CorpusSettings(corpus=name, root=root, split="shuffled-k-fold")
    for kind, own in (("ser", data), ("shuffled", shuffled)):
        yield task(kind, single, "ser", lambda x, own=own: SERSettings(data=own, features=_one(x)))
    if table["dialogue_id"].nunique() < len(table):
        for kind, horizon in (("erc", 0), ("epc", 1)):
            model = ConversationModelSettings(horizon=horizon)
            yield task(
                kind,
                modalities,
                "epc",
                lambda x, model=model: EPCSettings(data=data, features=_both(x), model=model),
            )
    if table["sentiment"].notna().any():
        yield task(
            "sentiment",
            modalities,
            "sentiment",
            lambda x: SentimentSettings(data=data, features=_rows(x)),
        )
    if (
        "speech" in modalities
        and table[["valence", "arousal", "dominance"]].notna().all(axis=1).any()
    ):
        yield task(
            "dimensions",
            ("speech",),
            "dimensional",
            lambda x: DimensionalSettings(
                data=data, features=RatingSettings(speech_encoder=(str(x.speech),), stride=8)
            ),
            metric="ccc_mean",
        )


def _one(encoders: Encoders) -> EncoderSettings:
    if encoders.speech:
        return EncoderSettings(speech_encoder=(encoders.speech,))
    return EncoderSettings(modality="text", text_encoder=str(encoders.text))


def _both(encoders: Encoders) -> FeatureSettings:
    named = {"speech_encoder": encoders.speech, "text_encoder": encoders.text}
    given: dict[str, Any] = {name: value for name, value in named.items() if value}
    return FeatureSettings(modality=encoders.modality, **given)


def _rows(encoders: Encoders) -> ModalitySettings:
    given: dict[str, Any] = {"modality": (encoders.modality,)}
    given |= {"speech_encoder": (encoders.speech,)} if encoders.speech else {}
    given |= {"text_encoder": encoders.text} if encoders.text else {}
    return ModalitySettings(**given)
