"""Settings of what is learned from the votes of raters."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from conversation_emotion.settings.flags import change, check_unique, refuse_given
from conversation_emotion.settings.training import LearningSettings

Settings = TypeVar("Settings", bound=Any)

Target = Literal["label", "majority", "distribution", "multi-label"]


@dataclass(frozen=True, kw_only=True)
class VoteSettings:
    """What a model learns: the label, or what raters named."""

    targets: tuple[Target, ...] = ("label",)
    """What the model learns, a row each: the label of the corpus; or by the votes of raters the
    class that most named, the share of each class, or every class above the share of chance.
    Any but label also compares the predictions with the votes; those of test stay the same."""

    no_agreement: Literal["leave", "keep"] = "leave"
    """Whether train also has the utterances with votes on which no majority agreed, and which so
    have no label, for distribution and multi-label."""

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("--targets needs one or more")
        check_unique("--targets", self.targets)
        if self.no_agreement == "keep" and not {"distribution", "multi-label"} & {*self.targets}:
            raise ValueError(
                "--no-agreement keep needs --targets distribution or multi-label: utterances on "
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

    def check_one(self, flag: str) -> None:
        """Raises a `ValueError` where there are several targets, each with a model of its own."""
        if len(self.targets) > 1:
            raise ValueError(f"{flag} needs one of --targets, got {' '.join(self.targets)}")


def split_targets(rows: dict[str, Settings]) -> dict[str, Settings]:
    """Returns a row for each of the targets; names have them unless all is the label alone."""
    found = {}
    for name, row in rows.items():
        for target in row.votes.targets:
            is_soft = target in ("distribution", "multi-label")
            kept = row.votes.no_agreement if is_soft else "leave"
            title = f"{name}, {target}" if row.votes.is_voted else name
            found[title] = change(row, targets=(target,), no_agreement=kept)
    return found
