"""The card of a saved model: everything but its weights, for programs and for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from conversation_emotion.corpora.facts import load_facts
from conversation_emotion.evaluation.calibration import Calibration
from conversation_emotion.evaluation.metrics import describe_metric
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import ConversationModelSettings, ModelSettings
from conversation_emotion.utterances.labels import SENTIMENTS

FORMAT = 2
"""Layout of the folder of a saved model; another layout gets another number."""

PACKAGES = ("conversation-emotion", "torch", "transformers", "sentence-transformers")
"""Packages whose versions are recorded."""

_LIBRARIES = ("torch", "torchaudio", "transformers", "sentence-transformers")
"""Versions in an encoder's identity that may differ; all else has to be the same."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The utterances that a model was selected by, or tested on."""

    speakers: tuple[str, ...]

    num_targets: int

    score: float
    """By the metric of `Training.select_by`."""

    low: float | None = None
    high: float | None = None
    """Its 95 % interval, which the results table explains; None of models saved before it was."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training that a model is from: of all folds and seeds the one best on valid, or all."""

    protocol: str
    """The split by name."""

    notes: tuple[str, ...]
    """What its train and test parts share, in words; empty if nothing."""

    fold: str

    seed: int

    num_trainings: int
    """Folds x seeds, among which this one was selected, or which tell how good it will be."""

    select_by: str
    """Name of the metric that selects."""

    valid: Part
    """Selected the epochs and, among the folds, this model: its score is too high."""

    test: Part
    """Used neither in training nor in selection."""

    on_all: bool = False
    """Whether it learnt from every target; valid and test are then those of the folds, whose
    models learnt from a part."""

    def format(self, score: float) -> str:
        """Returns a score by the metric that selects as text: in percent, or as a number."""
        described = describe_metric(self.select_by)
        return f"{score:.1%}" if described.is_percent else f"{score:.{described.digits}f}"


@dataclass(frozen=True, kw_only=True)
class CalibrationTest:
    """How true probabilities and prediction sets are, on targets that they were not fitted on."""

    ece_before: float
    ece: float
    """Expected calibration error before and after temperature."""

    coverage: float
    """Share of a speaker's targets whose class is in their set."""

    set_size: float
    """Classes of a set in the mean."""


@dataclass(frozen=True, kw_only=True)
class GroupResult:
    """How well a group of targets is served, of those that the model was tested on."""

    name: str
    """What they have in common, and how many they are."""

    metric: str
    score: float
    low: float
    high: float
    """The score by the name of its metric, with its 95 % interval."""

    ece: float | None = None
    """Expected calibration error within the group, before calibration."""

    difference: float | None = None
    p_holm: float | None = None
    """How much better it is served than all others, and p of no difference; None if not tested."""


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """What the column ``novelty`` is measured by."""

    num_utterances: int
    num_speakers: int
    """Of the features that it compares with."""

    share: float
    """Share of the utterances of held-out speakers whose novelty is at most 1."""


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """Whom a model was adapted to, after its training."""

    method: str
    speakers: tuple[str, ...]
    """Each has a model of their own; empty where the model itself was adapted."""

    num_turns: tuple[int, ...]
    """Labelled turns of each speaker, or of all."""

    @property
    def whom(self) -> str:
        """Names the speakers with their turns."""
        if not self.speakers:
            return f"{self.num_turns[0]:,} labelled turns"
        turns = dict(zip(self.speakers, self.num_turns, strict=True))
        return name_speakers([f"{name} ({count:,} turns)" for name, count in turns.items()])


@dataclass(frozen=True, kw_only=True)
class Card:
    """All of a saved model but its weights."""

    format: int

    task: str
    """What the model does, in words."""

    corpus: str
    label_set: str
    """Names of the corpus and of the label map."""

    labels: tuple[str, ...]
    """Classes in the order of the outputs (C)."""

    emotions: tuple[str, ...]
    """All emotions that the corpus names, of the auxiliary outputs (R)."""

    model: ModelSettings

    features: FeatureSettings
    """Inputs of the model."""

    encoders: dict[str, str]
    """Identity of the encoder of each source: speech, text, and speech2 on for others."""

    training: Training

    versions: dict[str, str]
    """Versions of `PACKAGES`."""

    calibration: Calibration | None = None
    """None of a model that was saved before there were any."""

    calibration_test: CalibrationTest | None = None
    """None where there was no further speaker to test on."""

    languages: tuple[str, ...] = ()
    """IETF tags of the corpus' languages; empty if it does not say."""

    groups: tuple[GroupResult, ...] = ()
    """Scores of groups of targets on test, where they were asked for."""

    novelty: Novelty | None = None
    """None of a model that was saved before there was any."""

    num_members: int = 0
    """Models of an ensemble; 0 is a single model."""

    adaptation: Adaptation | None = None
    """None of a model that is as it was trained."""

    @property
    def target(self) -> str:
        """What the classes are: ``emotion`` or ``sentiment``."""
        return find_target(self.labels)

    @property
    def is_conversation(self) -> bool:
        """Whether the input is a conversation instead of single utterances."""
        return isinstance(self.model, ConversationModelSettings)


def find_target(labels: Sequence[str]) -> str:
    """Returns what a model of some classes predicts: ``sentiment`` of polarities or ``emotion``."""
    return "sentiment" if set(labels) <= set(SENTIMENTS) else "emotion"


def name_task(model: ModelSettings, target: str = "emotion") -> str:
    """Names in words what a model predicts of which target."""
    target = target.capitalize()
    if not isinstance(model, ConversationModelSettings):
        return f"{target} of single utterances"
    if model.horizon == 0:
        return f"{target} of the utterance that just ended"
    return (
        f"{target} of the next turn"
        if model.horizon == 1
        else f"{target} {model.horizon} turns ahead"
    )


def describe(card: Card) -> str:
    """Returns the card for people, as Markdown."""
    training = card.training
    classes = ", ".join(card.labels)
    encoders = "\n".join(f"- {name}: `{identity}`" for name, identity in card.encoders.items())
    shared = "".join(f"\nNote: {note}.\n" for note in training.notes)
    return f"""# {card.task}: {classes}

Trained by conversation-emotion on the corpus {card.corpus}, label set {card.label_set}.

{_describe_training(card)}
{shared}
{_describe_calibration(card)}
{describe_adaptation(card)}{_describe_groups(card.groups)}{_describe_novelty(card.novelty)}
{_describe_licences(card.corpus)}

Encoders, which are loaded by name and must be these:

{encoders}

Outputs, in this order: {classes}. `config.json` holds the settings of model and features.
"""


def _describe_training(card: Card) -> str:
    """Returns how the model came about, and its scores."""
    training = card.training
    metric = training.select_by
    table = f"""| part | speakers | targets | {metric} |
|---|---|---|---|
| {"valid" if training.on_all else "valid, which selected it"} | {_cell(training, "valid")} |
| {"test" if training.on_all else "test, held out"} | {_cell(training, "test")} |"""
    if card.num_members:
        return f"""The mean of {card.num_members} models, each trained on another part of the corpus
or from another seed, so that nothing is left to test it. How good each is on others is shown by its
own test part, under the protocol {training.protocol}; `disagreement` is how far their predictions
differ, from 0 to 1:

{table}"""
    if training.on_all:
        return f"""Trained on every target of the corpus, so that nothing is left to test it. How
good it will be on others is told by {training.num_trainings} models that were trained the same
way, each on a part, under the protocol {training.protocol}:

{table}"""
    return f"""The model of one training: fold {training.fold}, seed {training.seed}, of protocol
{training.protocol}. It is the best on valid, by {metric}, of {training.num_trainings} trainings,
each on another part of the corpus or from another seed; the scores of a results table are the mean
of all.

{table}

Nothing of the test part was used in training; on the rest of the corpus predictions are no test."""


def _describe_calibration(card: Card) -> str:
    """Returns what probabilities and prediction sets mean, and how true they were on test."""
    found, test = card.calibration, card.calibration_test
    if found is None:
        return (
            "Not calibrated: probabilities are the model's own, and there are no prediction sets."
        )
    on_all = card.training.on_all
    by = "the folds' models on their test parts" if on_all else "the model on valid"
    whose = "each class" if found.is_by_class else "a further speaker"
    few = "; so few leave the coverage rough" if found.has_few_speakers else ""
    text = f"""Calibrated by the predictions of {by}.
Targets: {found.num_targets:,}; speakers: {found.num_speakers:,}{few}.
Probabilities are those at the temperature {found.temperature:.3g}. A prediction set holds the
classes of a probability of {_describe_thresholds(found, card.labels)}, and the most probable; sets
are made to hold the true class of {found.coverage:.3g} of the targets of {whose}, in the mean over
speakers that are like these."""
    if test is None:
        return f"{text}\nThis is not tested, since test has one speaker."
    tested = "test, each speaker calibrated by others" if on_all else "the test part above"
    return f"""{text}
On {tested}, the expected calibration error is {test.ece:.1%}, {test.ece_before:.1%} before;
sets hold the true class of {test.coverage:.1%}, and {test.set_size:.1f} classes in the mean."""


def describe_adaptation(card: Card) -> str:
    """Returns whom a model was adapted to, and what no longer holds; nothing if to nobody."""
    if (found := card.adaptation) is None:
        return ""
    others = " Others are predicted by the model as it was trained." if found.speakers else ""
    return f"""
Adapted by `{found.method}` to {found.whom}.{others}
The scores, the calibration and the coverage of sets above are those before: after adaptation the
temperature and thresholds stay, and what sets hold of an adapted speaker's targets is not promised
(`docs/results/adaptation.md` has what it was on EmoDB and RAVDESS).
"""


def _describe_groups(groups: Sequence[GroupResult]) -> str:
    """Returns a table of groups of targets, nothing where there are none."""
    if not groups:
        return ""
    lines = []
    for one in groups:
        ece = "" if one.ece is None else f"{one.ece:.1%}"
        p_value = "not tested" if one.p_holm is None else f"{one.p_holm:.3f}"
        difference = "" if one.difference is None else f"{100 * one.difference:+.1f}"
        name = one.name.replace("|", "\\|")
        score = f"{one.score:.1%} [{one.low:.1%}, {one.high:.1%}]"
        lines.append(f"| {name} | {score} | {ece} | {difference} | {p_value} |")
    table = "\n".join(lines)
    return f"""
Groups of the test targets, before calibration; the difference is in points, to all others:

| group | {describe_metric(groups[0].metric).title} | ECE | difference | p, Holm |
|---|---|---|---|---|
{table}
"""


def _describe_novelty(found: Novelty | None) -> str:
    """Returns what the column of the novelty means, nothing where there is none."""
    if found is None:
        return ""
    return f"""
The column `novelty` is how far the features of a prediction lie from those that the model learned
from, of {found.num_utterances:,} utterances of {found.num_speakers:,} speakers: at most 1 for
{found.share:.0%} of the utterances of speakers that were held out. Music, noise, other languages
and other microphones have more; predictions of these are no better than a guess.
"""


def _describe_thresholds(found: Calibration, labels: Sequence[str]) -> str:
    if not found.is_by_class:
        return f"{found.threshold:.3g} or more"
    named = zip(labels, found.class_thresholds, strict=True)
    return "at least " + ", ".join(f"{least:.3g} ({label})" for label, least in named)


def _describe_licences(corpora: str) -> str:
    """Returns the licences of the corpora that a model learnt from, as far as they are known."""
    known = load_facts()
    lines = []
    for name in corpora.split("+"):
        licence = known[name].licence if name in known else ""
        title = known[name].title if name in known else name
        lines.append(f"- {title}: {licence or 'not known; ask whoever made it'}")
    listed = "\n".join(lines)
    return f"""Licences of the corpora, which hold for the model too; read them at their source:

{listed}

Acted emotion is not felt emotion: the model must not be used to judge people, and at work and in
education the EU's AI Act (Article 5(1)(f)) forbids inferring emotions."""


def name_speakers(speakers: Sequence[str], most: int = 20) -> str:
    """Names speakers, the first of them if there are many."""
    rest = len(speakers) - most
    return ", ".join(speakers[:most]) + (f" and {rest} more" if rest > 0 else "")


def _cell(training: Training, name: Literal["valid", "test"]) -> str:
    """Returns three cells of a Markdown table, in which a bar would begin another cell."""
    part = training.valid if name == "valid" else training.test
    speakers = name_speakers(part.speakers).replace("|", "\\|")
    interval = ""
    if part.low is not None and part.high is not None:
        interval = f" [{training.format(part.low)}, {training.format(part.high)}]"
    return f"{speakers} | {part.num_targets:,} | {training.format(part.score)}{interval}"


def check_identity(source: str, found: str, expected: str) -> None:
    """Checks that an encoder is the one of the training, but for versions of libraries.

    Raises:
        ValueError: It is another.
    """

    def essence(identity: str) -> list[str]:
        return [word for word in identity.split() if word.split("=")[0] not in _LIBRARIES]

    if essence(found) != essence(expected):
        raise ValueError(
            f"the {source} encoder is another than in training: got {found!r}, "
            f"expected {expected!r}"
        )
