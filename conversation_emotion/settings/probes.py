"""Settings of the experiments that probe frozen encoders on several corpora."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from conversation_emotion.settings.corpus import (
    CorpusName,
    CorpusSettings,
    SplitName,
    parse_places,
)
from conversation_emotion.settings.features import (
    EncoderSettings,
    Layers,
    SpeechEncoderSettings,
    StorageSettings,
    check_encoders,
)
from conversation_emotion.settings.flags import (
    change,
    check_at_least,
    check_share,
    check_unique,
    pick,
)
from conversation_emotion.settings.models import LinearModelSettings, UtteranceModelSettings
from conversation_emotion.settings.recognition import SERSettings, probe_training
from conversation_emotion.settings.training import TrainingSettings

TABLES: dict[str, tuple[CorpusName, ...]] = {
    "languages": (
        "aesdd", "cafe", "resd", "emodb", "emovo", "m3ed", "subesco", "shemo", "urdu",
    ),
    "english": ("meld", "ravdess", "savee"),
    "song": ("ravdess-song",),
}  # fmt: skip
"""The corpora of each table of emotion2vec (Ma et al., 2024), in the published order."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(LinearModelSettings):
    """A linear probe of frozen encoders, on the corpora of ``--roots``."""

    roots: tuple[str, ...] = ()
    """Corpora with their folders, such as emodb=EmoDB ravdess=RAVDESS."""

    features: SpeechEncoderSettings = field(default_factory=SpeechEncoderSettings)

    training: TrainingSettings = field(default_factory=probe_training)

    strict: bool = False
    """Stop at a clip that is missing or broken, instead of naming it and masking its speech."""

    def probe(self, data: CorpusSettings) -> SERSettings:
        """Returns the same probe as `experiments.ser` takes it, on one corpus."""
        own = {
            "features": pick(EncoderSettings, self.features),
            "model": pick(UtteranceModelSettings, self),
        }
        return pick(SERSettings, self, data=data, **own)


@dataclass(frozen=True, kw_only=True)
class LanguagesSettings(ProbeSettings):
    """Settings of one table of corpora."""

    table: Literal["languages", "english", "song"] = "languages"
    """Greek, French, Russian, German, Italian, Mandarin, Bangla, Persian and Urdu; English; or
    song, 23 actors of RAVDESS in five folds, of which one tests and one further selects."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not parse_places("--roots", self.roots, TABLES[self.table]):
            raise ValueError(
                f"--roots names the folders of the corpora; --table {self.table} has "
                f"{', '.join(TABLES[self.table])}"
            )

    def row(self) -> SERSettings:
        """Returns the probe of settings that name one corpus."""
        ((name, root),) = parse_places("--roots", self.roots).items()
        is_song = name == "ravdess-song"
        data = CorpusSettings(
            corpus=name,
            root=root,
            labels="7-class" if name == "meld" else "auto",
            split="speaker-k-fold" if is_song else "auto",
            valid="fold" if is_song else "auto",
            strict=self.strict,
        )
        return self.probe(data)


@dataclass(frozen=True, kw_only=True)
class CrossCorpusSettings(ProbeSettings):
    """Settings of one table across corpora."""

    train: tuple[CorpusName, ...] = ()
    """Corpora to train on, pooled; without any, each corpus by itself."""

    test: tuple[CorpusName, ...] = ()
    """Corpora to test on; without any, all that a row is not trained on."""

    test_lists: tuple[str, ...] = ()
    """EmoBox's lists of test utterances, by corpus, such as savee=SAVEE_selected_balenced.jsonl."""

    features: SpeechEncoderSettings = field(
        default_factory=lambda: SpeechEncoderSettings(
            speech_encoder=("emotion2vec-mini", "fbank", "mfcc")
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.training.max_folds is not None:
            raise ValueError("--max-folds has no effect across corpora, which are a single fold")
        roots = parse_places("--roots", self.roots)
        if len(roots) < 2:
            raise ValueError(
                "--roots needs two corpora or more with their folders, such as emodb=EmoDB "
                f"ravdess=RAVDESS; got {len(roots)}"
            )
        for flag, names in (("--train", self.train), ("--test", self.test)):
            if strange := [name for name in names if name not in roots]:
                raise ValueError(f"{flag} {strange[0]}: --roots does not name its folder")
            check_unique(flag, names)
        if both := sorted(set(self.train) & set(self.test)):
            raise ValueError(f"{both[0]} is in --train and in --test; a test corpus stays unseen")
        if len(self.train) == len(roots):
            raise ValueError("--train names every corpus of --roots; one has to be left to test on")
        parse_places("--test-lists", self.test_lists, tuple(roots))

    def rows(self) -> Iterator["CrossCorpusSettings"]:
        """Yields the settings of each run: one encoder, its train corpora, its test corpora."""
        names = tuple(parse_places("--roots", self.roots))
        for encoder in self.features.speech_encoder:
            for train in [self.train] if self.train else [(name,) for name in names]:
                test = tuple(name for name in self.test or names if name not in train)
                if test:
                    yield change(self, speech_encoder=(encoder,), train=train, test=test)


@dataclass(frozen=True, kw_only=True)
class LayersSettings(StorageSettings):
    """Settings of one comparison of layers."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    speech_encoder: tuple[str, ...] = ("emotion2vec-mini", "fbank", "mfcc")
    """Encoders to look into, named as in experiments.ser."""

    layers: tuple[str, ...] = ()
    """What to probe: numbers of layers, sum and last-4; nothing probes all that an encoder has."""

    also: tuple[str, ...] = ()
    """Further corpora as NAME=ROOT, each with its own classes and protocol."""

    output: Path | None = None
    """Folder for table and pictures; without it, mlruns/layers/ and the names of the corpora."""

    training: TrainingSettings = field(default_factory=probe_training)

    hidden_size: int = 256
    """Units between the probe's two linear maps."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "hidden_size")
        check_encoders(self.speech_encoder, concatenated=False)
        for name in self.layers:
            if name not in ("sum", "last-4") and not name.isdecimal():
                raise ValueError(f"--layers takes numbers, sum and last-4, got {name!r}")
        parse_places("--also", self.also)

    @property
    def encoder(self) -> str:
        """The first encoder, of a run the only one."""
        return self.speech_encoder[0]

    def rows(self) -> Iterator["LayersSettings"]:
        """Yields the settings of each run: one corpus, one encoder; --also has the defaults."""
        also = parse_places("--also", self.also)
        for data in (self.data, *(CorpusSettings(corpus=n, root=also[n]) for n in also)):
            for encoder in self.speech_encoder:
                yield replace(self, data=data, speech_encoder=(encoder,), also=(), output=None)

    def probe(self) -> SERSettings:
        """Returns the linear probe, which sums layers where it gets several."""
        features = pick(EncoderSettings, self, speech_layers="all")
        return pick(SERSettings, self, features=features, model=pick(UtteranceModelSettings, self))


@dataclass(frozen=True, kw_only=True)
class StageSettings(StorageSettings):
    """Which encoders, and the stage of training at which each probe is drawn."""

    speech_encoder: tuple[str, ...] = ("emotion2vec-mini", "fbank", "mfcc")
    """Encoders to compare, named as in experiments.ser."""

    speech_layers: Layers = "last"
    """Layer to use: the last, the mean of the last four, a number, or a learned sum of all."""

    epochs: int = 50
    """Passes over train, for every encoder: none stops earlier, and the last weights are shown."""

    learning_rate: float = 1e-3
    """Step size of AdamW."""

    weight_decay: float = 1e-2
    """Weight decay of AdamW."""

    hidden_size: int = 256
    """Units of the layer that is shown."""

    seeds: int = 1
    """How many times each fold is trained for the table; the picture is of seed 0."""

    def __post_init__(self) -> None:
        check_encoders(self.speech_encoder)
        check_at_least(self, 1, "epochs", "hidden_size", "seeds")
        check_share(self, "learning_rate", within="(0, 1)")
        check_share(self, "weight_decay")


@dataclass(frozen=True, kw_only=True)
class PictureSettings:
    """What is drawn, and where to."""

    fold: str | None = None
    """Fold whose test part is shown, by name; without it, the first."""

    neighbors: int = 15
    """Neighbours of a point that UMAP keeps near; more show the whole, fewer the details."""

    audio_mib: float = 20.0
    """Size of the sound in the page at most; further points stay silent, and 0 leaves all so."""

    output: Path | None = None
    """Folder for the pictures; without it, mlruns/visualise/ and the corpus' name."""

    def __post_init__(self) -> None:
        check_at_least(self, 2, "neighbors")
        check_at_least(self, 0, "audio_mib")


@dataclass(frozen=True, kw_only=True)
class VisualiseSettings:
    """Settings of one comparison of pictures."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    stage: StageSettings = field(default_factory=StageSettings)

    picture: PictureSettings = field(default_factory=PictureSettings)

    @property
    def auto_split(self) -> SplitName | None:
        """The split where --split is auto and that of the corpus shows too few utterances.

        It is that of the published pictures: sessions of IEMOCAP, eight of EmoDB's ten speakers
        against two. None leaves it to the corpus.
        """
        pictured: dict[str, SplitName] = {
            "emodb": "speaker-k-fold",
            "iemocap": "leave-one-session-out",
        }
        return pictured.get(self.data.corpus)

    def probe(self) -> SERSettings:
        """Returns the linear probe: all epochs, the last weights, the protocol of a picture."""
        stage, data = self.stage, self.data
        if data.split == "auto":
            data = replace(data, split=self.auto_split or "auto")
        return SERSettings(
            data=data,
            features=pick(EncoderSettings, stage),
            training=pick(TrainingSettings, stage, average_best=0),
            model=pick(UtteranceModelSettings, stage),
        )
