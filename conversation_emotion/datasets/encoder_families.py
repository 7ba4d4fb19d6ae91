"""Fine-tuned encoders: one for each fold, the record of their training, the refusal of leaks."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from pydantic import TypeAdapter

from conversation_emotion.datasets.dataset import Dataset
from conversation_emotion.splits.folds import Fold, LeakageError, Split
from conversation_emotion.splits.protocols import SHARED_SPEAKERS

HEAD = "head.safetensors"
"""File with the weights of the head, next to those of the encoder."""

FIELD = "tuned_on"
"""Name of the record in an encoder's configuration."""


@dataclass(frozen=True, kw_only=True)
class TuningRecord:
    """The record of a fine-tuning in an encoder's configuration.

    The encoder was trained on the train part of a fold, and the valid part chose its weights;
    ``speakers`` are all people in the two, ``labels`` in the order of the head's outputs.
    """

    corpus: str
    split: str
    fold: str
    speakers: tuple[str, ...]
    label_set: str
    labels: tuple[str, ...]

    def to_config(self) -> dict[str, object]:
        """Returns the settings of a transformers configuration that keep the record."""
        return {
            FIELD: asdict(self),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }


def make_record(
    utterances: pd.DataFrame, fold: Fold, split: str, label_set: str, labels: tuple[str, ...]
) -> TuningRecord:
    """Records the train and valid parts of a fold."""
    trained = pd.concat([utterances.iloc[fold.train], utterances.iloc[fold.valid]])
    return TuningRecord(
        corpus=str(utterances["corpus"].iloc[0]),
        split=split,
        fold=fold.name,
        speakers=tuple(sorted(trained["speaker"].astype(str).unique())),
        label_set=label_set,
        labels=labels,
    )


def refuse_known_speakers(
    record: TuningRecord, name: str, utterances: pd.DataFrame, split: Split
) -> None:
    """Refuses to test an encoder on speakers that it was tuned on.

    Where a split shares speakers by its nature, its own fold is allowed. ``name`` is that of the
    encoder, for the error.

    Raises:
        LeakageError: A speaker in the test part of a fold is among those of the record.
    """
    if record.corpus != str(utterances["corpus"].iloc[0]):
        return
    for fold in split.folds:
        is_own = (record.split, record.fold) == (split.name, fold.name)
        if is_own and split.name in SHARED_SPEAKERS:
            continue
        tested = set(utterances["speaker"].iloc[fold.test].astype(str))
        if shared := sorted(tested & set(record.speakers)):
            raise LeakageError(
                f"{name}: was tuned on speaker {shared[0]!r} of {record.corpus} (fold "
                f"{record.fold!r} of {record.split}), whom fold {fold.name!r} of {split.name} "
                f"tests ({len(shared)} such speakers); use an encoder that was not trained on "
                "them: pass the folder above, which holds one encoder for each fold"
            )


def fold_folder(folder: Path, fold: str) -> Path:
    """Returns the folder of a fold's encoder."""
    return folder / quote(fold, safe="")


def read_record(name: str) -> TuningRecord | None:
    """Reads the record of an encoder; None if it was not tuned, or is not a folder.

    Raises:
        ValueError: The record lacks its label map or another field.
    """
    folder = Path(name.removeprefix("tokens:").removeprefix("emotion2vec:")).expanduser()
    config = folder / "config.json"
    try:
        record = json.loads(config.read_text("utf-8")).get(FIELD) if config.is_file() else None
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{config}: is no configuration of a checkpoint ({error}); fetch it again"
        ) from error
    if record is None:
        return None
    if absent := [field.name for field in fields(TuningRecord) if not record.get(field.name)]:
        what = "label map" if "labels" in absent else f"field {absent[0]!r}"
        raise ValueError(
            f"{name}: the record of what the encoder was tuned on lacks its {what}; tune it "
            "again with 'python -m experiments.finetune'"
        )
    return TypeAdapter(TuningRecord).validate_python(record)


def find_family(name: str, dataset: Dataset) -> dict[str, Path]:
    """Returns the encoder of each fold where a name is a folder of several; else refuses leaks.

    Raises:
        LeakageError: An encoder was tuned on people whom its fold tests.
        ValueError: A fold has no encoder, or one of another corpus, split or fold.
    """
    folder = Path(name.removeprefix("tokens:")).expanduser()
    if (folder / "config.json").is_file() or not any(folder.glob(f"*/{HEAD}")):
        refuse_leak(name, dataset)
        return {}
    family = {}
    for fold in dataset.split.folds:
        member = fold_folder(folder, fold.name)
        record = read_record(str(member))
        if record is None:
            found = sorted(path.parent.name for path in folder.glob(f"*/{HEAD}"))
            raise ValueError(
                f"{name}: no encoder for fold {fold.name!r} of {dataset.split.name}, found "
                f"{', '.join(found)}; tune the other folds, or choose the same --split"
            )
        wanted = (str(dataset.utterances["corpus"].iloc[0]), dataset.split.name, fold.name)
        if (given := (record.corpus, record.split, record.fold)) != wanted:
            raise ValueError(
                f"{member}: was tuned on corpus, split and fold {' '.join(map(repr, given))}, "
                f"expected {' '.join(map(repr, wanted))}; features of another fold may leak"
            )
        own = replace(dataset.split, folds=(fold,))
        refuse_known_speakers(record, str(member), dataset.utterances, own)
        family[fold.name] = member
    return family


def refuse_leak(name: str, dataset: Dataset) -> None:
    """Refuses an encoder that was tuned on people whom the split tests."""
    if (record := read_record(name)) is not None:
        refuse_known_speakers(record, name, dataset.utterances, dataset.split)
