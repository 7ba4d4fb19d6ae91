"""Splits by name, each audited for leaks: who trains, who selects, who is tested."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold

Rows = NDArray[np.int64]
"""Row numbers of an utterance table."""


class LeakageError(ValueError):
    """Something of the test part can be learnt from the train part."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Rows whose emotion is learnt, selected by and tested on.

    An utterance outside a part may still be heard as context of one that is inside, within the
    same dialogue; the audit therefore looks at whole dialogues.
    """

    name: str
    train: Rows
    valid: Rows
    test: Rows


@dataclass(frozen=True, kw_only=True)
class Split:
    """The folds of one protocol and what has to be said about it beside a result.

    Attributes:
        name: Name of the protocol.
        folds: One or more folds.
        validation: How the valid part was drawn, in words.
        notes: What train and test share, in words; empty if nothing.
    """

    name: str
    folds: tuple[Fold, ...]
    validation: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """What some splits need beyond their name.

    Args:
        num_folds: Folds of ``speaker-k-fold``.
        valid: What selects the epoch where a split leaves it open: a ``share`` of the train
            dialogues, or all those of one train ``speaker``.
        valid_share: Share of the train dialogues that select the epoch.
        seed: Seed of the draw of validation dialogues and speaker groups.
        superb_folds: s3prl's ``meta_data`` folder with ``Session*/{train,test}_meta_data.json``.
    """

    num_folds: int = 5
    valid: Literal["share", "speaker"] = "share"
    valid_share: float = 0.2
    seed: int = 0
    superb_folds: Path | None = None


def make_split(name: str, utterances: pd.DataFrame, options: SplitOptions | None = None) -> Split:
    """Makes the folds of a protocol and audits each of them.

    Args:
        name: One of `SPLITS`.
        utterances: Utterance table with a row index 0, 1, 2, ...
        options: Choices that some protocols need.

    Raises:
        ValueError: The protocol is unknown or the table lacks what it needs.
        LeakageError: A fold has something of its test part in its train part.
    """
    if name not in SPLITS:
        raise ValueError(f"unknown split {name!r}; choose from {', '.join(SPLITS)}")
    split = SPLITS[name](utterances, options or SplitOptions())
    notes = [note for fold in split.folds for note in audit_fold(utterances, fold, split.name)]
    return Split(
        name=split.name,
        folds=split.folds,
        validation=split.validation,
        notes=tuple(dict.fromkeys(notes)),
    )


def audit_fold(utterances: pd.DataFrame, fold: Fold, split: str) -> list[str]:
    """Looks for speakers and dialogues on two sides of a fold: says what it allows, or raises.

    Only the corpus' own split may share speakers, and only ``superb`` may validate on dialogues
    that it trains on; both are then put into words.

    Raises:
        LeakageError: A dialogue or speaker is shared that must not be, or a part is empty.
    """
    for part in ("train", "valid", "test"):
        if not len(getattr(fold, part)):
            raise LeakageError(f"{split}: the {part} part of fold {fold.name!r} is empty")
    dialogues, speakers = (utterances[column] for column in ("dialogue_id", "speaker"))
    notes = []
    for one, other in (("train", "test"), ("valid", "test"), ("train", "valid")):
        ids = _shared(dialogues, getattr(fold, one), getattr(fold, other))
        if ids and not (split == "superb" and other == "valid"):
            raise LeakageError(
                f"{split}: dialogue {ids[0]!r} is both in {one} and in {other} of fold "
                f"{fold.name!r} ({len(ids)} such dialogues); a dialogue must stay on one side"
            )
        if ids:
            notes.append("train and valid share dialogues and speakers, as published")
    learning = np.concatenate([fold.train, fold.valid])
    people = _shared(speakers, learning, fold.test)
    if people and split != "official":
        raise LeakageError(
            f"{split}: speaker {people[0]!r} is both in train and in test of fold "
            f"{fold.name!r} ({len(people)} such speakers)"
        )
    if people:
        notes.append(
            f"{len(people)} of {speakers.iloc[fold.test].nunique()} test speakers also speak "
            "in train (the corpus' own split)"
        )
    return notes


def _shared(column: pd.Series, one: Rows, other: Rows) -> list[str]:
    return sorted(set(column.iloc[one]) & set(column.iloc[other]))


def _official(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    split = utterances["split"]
    if absent := [part for part in ("train", "test") if not (split == part).any()]:
        raise ValueError(
            f"official: no utterance has the split {absent[0]!r}; this corpus has no official "
            "split, choose another with --split"
        )
    train, valid, test = (_rows(split == part) for part in ("train", "valid", "test"))
    validation = "the corpus' own valid part"
    if not len(valid):
        train, valid = _hold_out(utterances, train, test, options)
        validation = _describe_hold_out(options)
    fold = Fold(name="official", train=train, valid=valid, test=test)
    return Split(name="official", folds=(fold,), validation=validation)


def _leave_one_session_out(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    sessions = utterances["session"]
    if sessions.isna().any() or sessions.nunique() < 2:
        raise ValueError(
            f"leave-one-session-out: needs a session for every utterance and two sessions or "
            f"more, got {sessions.nunique()} and {int(sessions.isna().sum())} utterances without"
        )
    folds = [
        _fold(utterances, str(session), _rows(sessions == session), options)
        for session in sorted(sessions.unique())
    ]
    return _with_hold_out("leave-one-session-out", folds, options)


def _leave_one_speaker_out(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    speakers = utterances["speaker"]
    if speakers.nunique() < 2:
        raise ValueError("leave-one-speaker-out: needs two speakers or more, got 1")
    folds = [
        _fold(utterances, str(speaker), _rows(speakers == speaker), options)
        for speaker in sorted(speakers.unique())
    ]
    return _with_hold_out("leave-one-speaker-out", folds, options)


def _speaker_k_fold(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    groups = _speaker_groups(utterances, options.num_folds)
    splitter = GroupKFold(options.num_folds, shuffle=True, random_state=options.seed)
    folds = [
        _fold(utterances, f"{number}", test.astype(np.int64), options)
        for number, (_, test) in enumerate(splitter.split(groups, groups=groups), start=1)
    ]
    return _with_hold_out("speaker-k-fold", folds, options)


def _superb(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    """SUPERB's folds from s3prl's files; valid is drawn by utterance as s3prl draws it."""
    folder = options.superb_folds
    if folder is None:
        raise ValueError("superb: pass s3prl's meta_data folder with --superb-folds")
    files = sorted(folder.glob("Session*/test_meta_data.json"))
    if not files:
        raise FileNotFoundError(
            f"superb: no Session*/test_meta_data.json under {folder}; pass the meta_data folder "
            "of s3prl's downstream/emotion"
        )
    row_of = pd.Series(np.arange(len(utterances)), index=utterances["utterance_id"])
    folds = []
    for test_file in files:
        learning = _superb_rows(test_file.with_name("train_meta_data.json"), row_of)
        train, valid = _random_split_as_s3prl(learning)
        test = _superb_rows(test_file, row_of)
        folds.append(Fold(name=test_file.parent.name, train=train, valid=valid, test=test))
    return Split(name="superb", folds=tuple(folds), validation="20 % of train by utterance, seed 0")


SPLITS: dict[str, Callable[[pd.DataFrame, SplitOptions], Split]] = {
    "official": _official,
    "leave-one-session-out": _leave_one_session_out,
    "leave-one-speaker-out": _leave_one_speaker_out,
    "speaker-k-fold": _speaker_k_fold,
    "superb": _superb,
}


def _rows(marked: pd.Series) -> Rows:
    return np.flatnonzero(marked.to_numpy()).astype(np.int64)


def _fold(utterances: pd.DataFrame, name: str, test: Rows, options: SplitOptions) -> Fold:
    """Trains on the dialogues in which no test speaker speaks, not even as a partner."""
    touched = utterances["speaker"].isin(utterances["speaker"].iloc[test].unique())
    dialogues = utterances.loc[touched, "dialogue_id"].unique()
    learning = _rows(~utterances["dialogue_id"].isin(dialogues))
    if not len(learning):
        raise ValueError(f"fold {name!r}: every dialogue has a speaker of the test part")
    train, valid = _hold_out(utterances, learning, test, options)
    return Fold(name=name, train=train, valid=valid, test=test)


def _hold_out(
    utterances: pd.DataFrame, learning: Rows, test: Rows, options: SplitOptions
) -> tuple[Rows, Rows]:
    """Validates on whole dialogues: a share of them, or the next speaker's after the tested."""
    dialogues = utterances["dialogue_id"].iloc[learning]
    if options.valid == "speaker":
        speakers = utterances["speaker"].iloc[learning].astype(str)
        last = max(utterances["speaker"].iloc[test].astype(str))
        speaker = min(speakers[speakers > last], default=min(speakers))
        chosen = dialogues[speakers == speaker]
    else:
        chosen = _draw_share(dialogues, options)
    is_valid = dialogues.isin(chosen).to_numpy()
    return learning[~is_valid], learning[is_valid]


def _draw_share(dialogues: pd.Series, options: SplitOptions) -> pd.Index:
    """Draws dialogues until they hold the share of utterances that is to validate."""
    sizes = dialogues.value_counts(sort=False).sort_index()
    order = np.random.default_rng(options.seed).permutation(len(sizes))
    filled = sizes.iloc[order].cumsum() - sizes.iloc[order]
    return sizes.index[order][filled.to_numpy() < options.valid_share * len(dialogues)]


def _with_hold_out(name: str, folds: list[Fold], options: SplitOptions) -> Split:
    return Split(name=name, folds=tuple(folds), validation=_describe_hold_out(options))


def _describe_hold_out(options: SplitOptions) -> str:
    if options.valid == "speaker":
        return "the dialogues of one train speaker, the next after the tested"
    return f"{options.valid_share:.0%} of the train dialogues, seed {options.seed}"


def _speaker_groups(utterances: pd.DataFrame, num_folds: int) -> NDArray[np.int64]:
    """Group of each utterance: people who talk to each other, or each person where that fails."""
    speakers, names = pd.factorize(utterances["speaker"])
    dialogues, _ = pd.factorize(utterances["dialogue_id"])
    if len(names) < num_folds:
        raise ValueError(
            f"speaker-k-fold: {num_folds} folds need as many speakers, got {len(names)}; "
            "lower --num-folds"
        )
    meetings = coo_matrix((np.ones(len(speakers)), (speakers, dialogues))).tocsr()
    num_circles, circles = connected_components(meetings @ meetings.T, directed=False)
    return (circles[speakers] if num_circles >= num_folds else speakers).astype(np.int64)


def _superb_rows(file: Path, row_of: pd.Series) -> Rows:
    ids = [Path(entry["path"]).stem for entry in json.loads(file.read_text())["meta_data"]]
    if missing := [utterance_id for utterance_id in ids if utterance_id not in row_of.index]:
        raise ValueError(
            f"superb: {file} lists {len(missing)} utterances that the corpus lacks, "
            f"first {missing[0]!r}"
        )
    return row_of.loc[ids].to_numpy().astype(np.int64)


def _random_split_as_s3prl(learning: Rows) -> tuple[Rows, Rows]:
    import torch

    order = torch.randperm(len(learning), generator=torch.Generator().manual_seed(0)).numpy()
    cut = int(0.8 * len(learning))
    return learning[order[:cut]], learning[order[cut:]]
