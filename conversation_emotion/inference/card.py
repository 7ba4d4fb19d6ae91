"""What is known of a saved model beside its weights, for programs and for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from conversation_emotion.settings.features import FeatureSettings

FORMAT = 1
"""Layout of the folder of a saved model; another layout gets another number."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a model was chosen by, or tested on."""

    speakers: tuple[str, ...]

    num_judged: int

    uar: float
    """Unweighted average recall."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Which training a model is from: of all folds and seeds, the one best on valid."""

    protocol: str
    """The split by name."""

    notes: tuple[str, ...]
    """What its train and test parts share, in words; empty if nothing."""

    fold: str

    seed: int

    num_trainings: int
    """Folds x seeds, among which this one was chosen."""

    valid: Part
    """Chose the epochs and, among the folds, this model: its score flatters."""

    test: Part
    """Heard by the model neither in training nor in choosing."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """All of a saved model but its weights."""

    format: int

    experiment: str

    task: str
    """What the model does, in words."""

    corpus: str

    label_set: str

    labels: tuple[str, ...]
    """Classes in the order of the outputs (C)."""

    emotions: tuple[str, ...]
    """All emotions that the corpus names, of the auxiliary outputs (R)."""

    settings: dict[str, object]
    """Those of the experiment."""

    features: FeatureSettings
    """What the model hears and reads."""

    encoders: dict[str, str]
    """Identity of the encoder of each source: speech, text, and speech2 on for others beside it."""

    training: Training

    versions: dict[str, str]


def describe(card: Card) -> str:
    """Writes the card for people, in Markdown."""
    training = card.training
    classes = ", ".join(card.labels)
    encoders = "\n".join(f"- {name}: `{identity}`" for name, identity in card.encoders.items())
    shared = "".join(f"\nNote: {note}.\n" for note in training.notes)
    return f"""# {card.task}: {classes}

Trained by the experiment {card.experiment} of conversation-emotion on the corpus {card.corpus},
label set {card.label_set}.

The model of one training: fold {training.fold}, seed {training.seed}, of the protocol
{training.protocol}. It is the best on valid of {training.num_trainings} trainings, each on another
part of the corpus or from another seed; the scores of the experiment's table are the mean of all.

| part | speakers | judged | UAR |
|---|---|---|---|
| valid, which chose it | {_name(training.valid.speakers)} | {training.valid.num_judged:,} | \
{training.valid.uar:.1%} |
| test, held out | {_name(training.test.speakers)} | {training.test.num_judged:,} | \
{training.test.uar:.1%} |

The model heard nothing of its test part; of the rest of the corpus its judgements are no test.
{shared}
Encoders, which are loaded by name and have to be these:

{encoders}

Outputs, in this order: {classes}. `config.json` holds all settings.
"""


def name_speakers(speakers: Sequence[str], most: int = 20) -> str:
    """Names speakers, the first of them if there are many."""
    rest = len(speakers) - most
    return ", ".join(speakers[:most]) + (f" and {rest} more" if rest > 0 else "")


def _name(speakers: Sequence[str]) -> str:
    return name_speakers(speakers).replace("|", "\\|")


def check_registered_name(name: str | None) -> None:
    """Refuses, before any training, a name that the model registry would refuse after it.

    Raises:
        ValueError: The name is empty or holds a slash or colon.
    """
    if name is not None and (not name.strip() or set(name) & set("/:")):
        raise ValueError(f"--register must be a name without / and :, got {name!r}")
