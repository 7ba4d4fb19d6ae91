"""Settings of what is learned from the votes of raters."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from conversation_emotion.settings.flags import change, check_unique, refuse_given
from conversation_emotion.settings.training import LearningSettings

Settings = TypeVar("Settings", bound=Any)

Target = Literal["label", "majority", "distribution", "multi-label", "annotators"]

_SOFT: tuple[Target, ...] = ("distribution", "multi-label", "annotators")
"""Targets of an utterance whose raters do not agree."""


@dataclass(frozen=True, kw_only=True)
class VoteSettings:
    """What a model learns: the label, or what raters named."""

    targets: tuple[Target, ...] = ("label",)
    """What the model learns, a row each: the label of the corpus; or by the votes of raters the
    class that most named, the share of each class, every class above the share of chance, or what
    each rater named, by a head for each of them (annotators; Davani et al., 2022; ser and epc).
    Any but label also compares the predictions with the votes; those of test stay the same."""

    no_agreement: Literal["leave", "keep"] = "leave"
    """Whether train also has the utterances with votes on which no majority agreed, and which so
    have no label, for distribution, multi-label and annotators."""

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("--targets needs one or more")
        check_unique("--targets", self.targets)
        if self.no_agreement == "keep" and not {*_SOFT} & {*self.targets}:
            raise ValueError(
                f"--no-agreement keep needs --targets {' or '.join(_SOFT)}: utterances on "
                f"which no majority agreed have no {' or '.join(self.targets)}"
            )

    @property
    def is_voted(self) -> bool:
        """Whether anything but the label is learned."""
        return self.targets != ("label",)

    def check_learning(self, training: LearningSettings) -> None:
        """Raises a `ValueError` where a setting of the loss needs the label as the target."""
        if self.is_voted:
            why = f"needs --targets label, got {' '.join(self.targets)}"
            refuse_given(training, why, "loss", "sampling", "mixup")

    def check_selection(self, select_by: str) -> None:
        """Raises a `ValueError` where the divergence from votes selects, and none are learned."""
        if select_by == "jsd" and "label" in self.targets:
            raise ValueError(
                "--select-by jsd needs --targets of votes, such as distribution, got "
                f"{' '.join(self.targets)}"
            )

    def refuse_in(self, command: str, select_by: str) -> None:
        """Raises a `ValueError` for what only ser and epc have."""
        if "annotators" in self.targets:
            raise ValueError(
                f"--targets annotators has a head for each rater in ser and epc, not in {command}; "
                "choose distribution"
            )
        if select_by == "jsd":
            raise ValueError(f"--select-by jsd selects in ser and epc, not in {command}")

    def check_one(self, flag: str) -> None:
        """Raises a `ValueError` where there are several targets, each with a model of its own."""
        if len(self.targets) > 1:
            raise ValueError(f"{flag} needs one of --targets, got {' '.join(self.targets)}")


def split_targets(rows: dict[str, Settings]) -> dict[str, Settings]:
    """Returns a row for each of the targets; names have them unless all is the label alone."""
    found = {}
    for name, row in rows.items():
        for target in row.votes.targets:
            kept = row.votes.no_agreement if target in _SOFT else "leave"
            title = f"{name}, {target}" if row.votes.is_voted else name
            found[title] = change(row, targets=(target,), no_agreement=kept)
    return found
