"""What an encoder was tuned on, and the refusal to test it on people it knows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import pandas as pd

from conversation_emotion.splits.folds import Fold, LeakageError, Split
from conversation_emotion.splits.protocols import SHARED_SPEAKERS

FIELD = "tuned_on"
"""Name of the record in an encoder's configuration."""


@dataclass(frozen=True, kw_only=True)
class TuningRecord:
    """What stands in the configuration of a tuned encoder.

    Attributes:
        corpus: Corpus that it was tuned on.
        split: Protocol.
        fold: Fold whose train part it learnt from and whose valid part chose its weights.
        speakers: All people in the two parts.
        label_set: Name of the classes' set.
        labels: Classes in the order of the head's outputs.
    """

    corpus: str
    split: str
    fold: str
    speakers: tuple[str, ...]
    label_set: str
    labels: tuple[str, ...]

    def to_config(self) -> dict[str, object]:
        """Gives the settings of a transformers configuration that keep the record."""
        labels = {str(number): label for number, label in enumerate(self.labels)}
        return {
            FIELD: asdict(self),
            "id2label": {int(number): label for number, label in labels.items()},
            "label2id": {label: int(number) for number, label in labels.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, object], name: str) -> "TuningRecord | None":
        """Reads the record of an encoder, None if it was never tuned.

        Raises:
            ValueError: The record lacks its label map or another field.
        """
        found = config.get(FIELD)
        if found is None:
            return None
        fields = cast(dict[str, object], found)
        needed = cls.__dataclass_fields__
        if absent := [field for field in needed if not fields.get(field)]:
            what = "label map" if "labels" in absent else f"field {absent[0]!r}"
            raise ValueError(
                f"{name}: the record of what the encoder was tuned on lacks its {what}; tune it "
                "again with 'python -m experiments.finetune'"
            )
        speakers, labels = (
            tuple(map(str, cast(list[object], fields[field]))) for field in ("speakers", "labels")
        )
        return cls(
            corpus=str(fields["corpus"]),
            split=str(fields["split"]),
            fold=str(fields["fold"]),
            speakers=speakers,
            label_set=str(fields["label_set"]),
            labels=labels,
        )


def make_record(
    utterances: pd.DataFrame, fold: Fold, split: str, label_set: str, labels: tuple[str, ...]
) -> TuningRecord:
    """Notes what is about to be learnt from the train and valid parts of a fold."""
    learning = pd.concat([utterances.iloc[fold.train], utterances.iloc[fold.valid]])
    return TuningRecord(
        corpus=str(utterances["corpus"].iloc[0]),
        split=split,
        fold=fold.name,
        speakers=tuple(sorted(learning["speaker"].astype(str).unique())),
        label_set=label_set,
        labels=labels,
    )


def refuse_known_speakers(
    record: TuningRecord, name: str, utterances: pd.DataFrame, split: Split
) -> None:
    """Refuses to test an encoder on speakers that it was tuned on.

    Where a split shares speakers by its nature, its own fold is taken for what it is.

    Args:
        record: Of the encoder.
        name: Of the encoder, for the error.
        utterances: The utterance table of the experiment.
        split: Folds in which the encoder is to be used.

    Raises:
        LeakageError: Somebody in the test part of a fold is known to the encoder.
    """
    if record.corpus != str(utterances["corpus"].iloc[0]):
        return
    for fold in split.folds:
        is_own = (record.split, record.fold) == (split.name, fold.name)
        if is_own and split.name in SHARED_SPEAKERS:
            continue
        tested = set(utterances["speaker"].iloc[fold.test].astype(str))
        if known := sorted(tested & set(record.speakers)):
            raise LeakageError(
                f"{name}: was tuned on speaker {known[0]!r} of {record.corpus} (fold "
                f"{record.fold!r} of {record.split}), whom fold {fold.name!r} of {split.name} "
                f"tests ({len(known)} such speakers); use an encoder that never heard them: "
                "pass the folder above, which holds one encoder for each fold"
            )
