"""Which model, and how large: the settings that a saved model needs to be built again."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from conversation_emotion.settings.flags import (
    check_at_least,
    check_share,
    check_unique,
    refuse_given,
)
from conversation_emotion.settings.training import LossName

Head = Literal["auto", "superb", "linear", "emotion2vec", "gru", "logistic", "lda", "svm"]
DialogueModel = Literal["hierarchical", "two-role", "single"]
Fusion = Literal["early", "late", "gated", "cross-attention"]
Overlap = Literal["mask", "keep"]


@dataclass(frozen=True, kw_only=True)
class LinearModelSettings:
    """Two linear maps on the features of a single utterance."""

    hidden_size: int = 256
    """Units between the two linear maps, or of the GRU."""

    dropout: float = 0.0
    """On the features, before the first linear map."""

    def __post_init__(self) -> None:
        check_at_least(self, 1, "hidden_size")
        check_share(self, "dropout")


@dataclass(frozen=True, kw_only=True)
class UtteranceModelSettings(LinearModelSettings):
    """The model of a single utterance."""

    head: Head = "superb"
    """Two linear maps; or one (linear); or a linear map and ReLU on every frame, pooled, and a
    linear map; or two GRU layers over the frames, pooled, and a linear map. Three are solved
    without epochs and seeds, and their predictions on test also learn from valid: logistic
    regression and a linear support vector machine (svm), whose C is chosen on valid, and linear
    discriminants of shrunk covariance (lda); for them a sum of layers is their mean. auto is
    logistic, and superb where a setting of a training is given or corpora are joined."""

    @property
    def needs_frames(self) -> bool:
        """Whether the head reads frames, whatever pools them."""
        return self.head in ("emotion2vec", "gru")

    @property
    def is_solved(self) -> bool:
        """Whether the head is solved at once, and learns from valid when test is predicted."""
        return self.head in ("logistic", "lda", "svm")

    @property
    def has_cost(self) -> bool:
        """Whether the head is solved for a C that valid chooses."""
        return self.head in ("logistic", "svm")


@dataclass(frozen=True, kw_only=True)
class ConversationModelSettings:
    """The model of a conversation, and what it predicts from how much context."""

    horizon: int = 1
    """How many turns ahead to predict; 0 recognises the turn that just ended."""

    history: int = 6
    """Turns of context at most."""

    overlap: Overlap = "mask"
    """What prediction gets of a context utterance that ends after the target turn began, where the
    times are known: mask leaves out its speech, text and emotion, since what of them came before is
    unknown, and keeps its speaker; keep takes it whole, and leaks."""

    history_labels: Literal["none", "gold"] = "none"
    """gold gives the model the true emotions of past turns: an upper reference, not a result."""

    dialogue_model: DialogueModel = "hierarchical"
    """Shi et al. 2023, Shi et al. 2020, or Shahriar and Kim 2019."""

    fusion: Fusion = "early"
    """Concatenate modalities before the dialogue model; or the states of one dialogue model for
    each; or weigh them unit by unit by gates; or let each attend to the other's utterances so
    far."""

    hidden_size: int = 128
    """Units of each GRU; 256 in Shi et al. 2023."""

    num_layers: int = 1
    """Layers of each GRU; 2 in Shi et al. 2023."""

    dropout: float = 0.5
    """On the inputs of the GRUs, between their layers, and before the heads."""

    input_dropout: float = 0.7
    """On the features, before they are projected to the size of the GRUs."""

    learn_from: Literal["targets", "every"] = "every"
    """Training windows: only the targets of the protocol, or also the later utterances of a turn
    and the emotions outside the classes. Valid and test are the same for both."""

    recognition_weight: float = 0.5
    """Weight of an auxiliary task on train: recognising the emotions of the context."""

    emotion_weight: float = 0.3
    """Weight of another: predicting one of all emotions that the corpus names."""

    modality_loss: tuple[str, ...] = ()
    """With --fusion late, a loss for a modality alone, as in speech=focal text=logit-adjusted: each
    has a head on its own dialogue model, and is added to the loss of all with half its weight."""

    @property
    def modality_losses(self) -> dict[str, LossName]:
        """Returns the loss of each modality that has one of its own."""
        pairs = (pair.split("=", 1) for pair in self.modality_loss)
        return {name: cast(LossName, loss) for name, loss in pairs}

    def __post_init__(self) -> None:
        self._check_modality_loss()
        check_at_least(self, 1, "history", "hidden_size", "num_layers")
        check_share(self, "dropout", "input_dropout")
        check_at_least(self, 0, "horizon", "recognition_weight", "emotion_weight")
        if not self.horizon:
            refuse_given(self, "needs --horizon of 1 or more", "overlap")

    def _check_modality_loss(self) -> None:
        """Raises a `ValueError` where a modality's own loss is none, or has no head."""
        for pair in self.modality_loss:
            modality, _, loss = pair.partition("=")
            if modality not in ("speech", "text") or loss not in get_args(LossName):
                raise ValueError(
                    f"--modality-loss takes speech=LOSS and text=LOSS, LOSS one of "
                    f"{', '.join(get_args(LossName))}; got {pair!r}"
                )
        check_unique("--modality-loss", [pair.partition("=")[0] for pair in self.modality_loss])
        if self.modality_loss and self.fusion != "late":
            raise ValueError(
                f"--modality-loss needs --fusion late, in which each modality has a dialogue model "
                f"of its own, got {self.fusion}"
            )


ModelSettings = UtteranceModelSettings | ConversationModelSettings
"""Models that can be saved."""
