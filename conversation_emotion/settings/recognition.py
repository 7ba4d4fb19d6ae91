"""Settings of emotion recognition, of single utterances, and of prediction in a conversation."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from conversation_emotion.settings.corpus import CorpusSettings, SplitName
from conversation_emotion.settings.features import EncoderSettings, FeatureSettings
from conversation_emotion.settings.flags import (
    change,
    check_share,
    flag_of,
    flatten,
    format_setting,
    refuse_given,
)
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.training import TrainingSettings
from conversation_emotion.settings.votes import VoteSettings
from conversation_emotion.settings.words import WordSettings


def probe_training() -> TrainingSettings:
    """Returns how a probe is trained by default: long, since an epoch takes milliseconds."""
    return TrainingSettings(epochs=100, patience=20)


def choose_head() -> UtteranceModelSettings:
    """Returns the model of a recognition by default, whose head follows the other settings."""
    return UtteranceModelSettings(head="auto")


SHIPPED = ("default", "default-text", "default-sentiment")
"""Names of the models that come with the package."""

_ANY_HEAD = (
    "head", "select_by", "class_weights", "reweight_groups", "max_folds", "workers", "by",
    "certainty",
)  # fmt: skip
"""Settings of model and training that have an effect on a head that is solved."""


@dataclass(frozen=True, kw_only=True)
class RegistrySettings:
    """What an experiment has whose best model can be registered."""

    register: str | None = None
    """Name in MLflow's model registry under which to register the model of the training that is
    best on valid; experiments.predict uses it."""

    train_on_all: bool = False
    """Register a model that is trained on all folds' data once the folds are scored, as many epochs
    as they took; its card has their scores."""

    ensemble: bool = False
    """Register the mean of all trainings' models, one for each fold and seed, with their
    disagreement as a column."""

    coverage: float = 0.9
    """Share of the targets of a further speaker whose emotion the prediction sets of the registered
    model are made to hold."""

    sets: Literal["speaker", "class"] = "speaker"
    """Whether that is a share of the targets of each speaker, or of each class, so that sets hold
    rare and hard classes as often as the others, and are larger."""

    def __post_init__(self) -> None:
        check_share(self, "coverage", within="(0, 1)")
        if self.register is None:
            why = "is that of a model to use: give it a name with --register"
            refuse_given(self, why, "coverage", "sets")
        if self.train_on_all and self.register is None:
            raise ValueError("--train-on-all makes a model to use: give it a name with --register")
        if self.ensemble and (self.register is None or self.train_on_all):
            raise ValueError("--ensemble needs --register NAME, without --train-on-all")
        name = self.register  # refused here, before any training, and not by the registry after it
        if name is not None and (not name.strip() or set(name) & set("/:")):
            raise ValueError(f"--register must be a name without / and :, got {name!r}")
        if name in SHIPPED:
            raise ValueError(f"--register {name}: has the name of a model of the package")


@dataclass(frozen=True, kw_only=True)
class SERSettings(RegistrySettings):
    """Settings of one comparison of encoders."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: EncoderSettings = field(default_factory=EncoderSettings)

    model: UtteranceModelSettings = field(default_factory=choose_head)

    training: TrainingSettings = field(default_factory=probe_training)

    votes: VoteSettings = field(default_factory=VoteSettings)

    words: WordSettings = field(default_factory=WordSettings)

    protocol: Literal["auto", "naturalistic", SplitName] = "auto"
    """superb, emotion2vec-session, emotion2vec-speaker and emobox fix everything as published:
    split, layers, head, optimizer, selection; naturalistic fixes classes, parts and targets of
    MSP-Podcast's challenge. The others are --split by another name; auto leaves all to the other
    flags."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.votes.check_learning(self.training)
        self.votes.check_selection(self.training.select_by)
        encoders = self.features.speech_encoder
        if self.register is not None and len(encoders) > 1:
            raise ValueError(f"--register needs one --speech-encoder, got {len(encoders)}")
        if self.register is not None:
            self.votes.check_one("--register")
            self.words.check_one("--register")
        if self.model.needs_frames and self.features.speech_pooling in ("mean", "statistics"):
            raise ValueError(f"--head {self.model.head} needs --speech-pooling frames")
        if self.model.needs_frames and self.features.modality == "text":
            raise ValueError(
                f"--head {self.model.head} reads frames, which --modality text has not"
            )
        self.words.check(reads_text=self.features.modality == "text")
        if self.model.is_solved:
            self._check_solved()

    @property
    def auto_split(self) -> SplitName | None:
        """The split of the protocol, where --split is auto; None leaves it to the corpus."""
        if self.protocol == "auto":
            return None
        return "official" if self.protocol == "naturalistic" else self.protocol

    def settle(self) -> "SERSettings":
        """Returns the settings with the head that ``auto`` stands for."""
        if self.model.head != "auto":
            return self
        # A solved head knows nothing of classes that one of several corpora lacks.
        if next(self._list_trained(), None) or self.data.corpus == "joint":
            return change(self, head="superb")
        mixture = self.features.layer_mixture
        return change(self, head="logistic", layer_mixture="join" if mixture == "auto" else mixture)

    def _list_trained(self) -> Iterator[str]:
        """Yields the flags that are given and only have an effect on a head that is trained."""
        if self.votes.is_voted:
            yield f"--targets {format_setting(self.votes.targets)}"
        if self.features.aggregator in ("attention", "ecapa"):
            yield f"--aggregator {self.features.aggregator}"
        values = flatten(self.training) | flatten(replace(self.model, head="auto"))
        defaults = [flatten(x) for x in (probe_training(), TrainingSettings(), choose_head())]
        for name, value in values.items():
            if name not in _ANY_HEAD and value not in [x[name] for x in defaults if name in x]:
                yield f"{flag_of(name)} {value}"

    def _check_solved(self) -> None:
        """Raises a `ValueError` where something would be trained, or left to chance."""
        if self.model.head == "lda" and self.training.reweight_groups:
            raise ValueError("--head lda takes no --reweight-groups; choose --head logistic")
        if given := next(self._list_trained(), None):
            raise ValueError(
                f"--head {self.model.head} is solved, without epochs or chance: {given} has no "
                "effect; leave it out, or choose --head superb"
            )

    def features_of(self, name: str) -> FeatureSettings:
        """Returns the features of one of the encoders: frames where the head needs them."""
        return self.features.for_encoder(name, needs_frames=self.model.needs_frames)


@dataclass(frozen=True, kw_only=True)
class EPCSettings(RegistrySettings):
    """Settings of one emotion-prediction run."""

    data: CorpusSettings = field(default_factory=CorpusSettings)

    features: FeatureSettings = field(default_factory=FeatureSettings)

    model: ConversationModelSettings = field(default_factory=ConversationModelSettings)

    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(learning_rate=5e-4))

    votes: VoteSettings = field(default_factory=VoteSettings)

    words: WordSettings = field(default_factory=WordSettings)

    def __post_init__(self) -> None:
        self.features.refuse_unused()
        self.votes.check_learning(self.training)
        self.votes.check_selection(self.training.select_by)
        self._check_modality_loss()
        super().__post_init__()
        self.words.check(reads_text="text" in self.features.modalities())
        if self.register is not None:
            self.votes.check_one("--register")
            self.words.check_one("--register")
        if self.register is not None and self.model.history_labels == "gold":
            raise ValueError(
                "--register needs --history-labels none: in use the past has no labels"
            )

    def _check_modality_loss(self) -> None:
        """Raises a `ValueError` where a modality's own loss cannot work with the rest."""
        losses, modalities = self.model.modality_losses, self.features.modalities()
        if absent := [name for name in losses if name not in modalities]:
            raise ValueError(
                f"--modality-loss {absent[0]}={losses[absent[0]]}: --modality is "
                f"{self.features.modality}"
            )
        if losses and self.votes.is_voted:
            raise ValueError(
                f"--modality-loss needs --targets label, got {' '.join(self.votes.targets)}"
            )
        if "logit-adjusted" in losses.values() and self.training.class_weights == "balanced":
            raise ValueError(
                "--modality-loss logit-adjusted and --class-weights balanced each make rare "
                "classes count more; give --class-weights none"
            )
