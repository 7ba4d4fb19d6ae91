"""Splits by name, each audited for leaks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from conversation_emotion.settings.corpus import SplitName
from conversation_emotion.splits import published as published_splits
from conversation_emotion.splits.folds import Fold, LeakageError, Rows, Split, SplitOptions


def make_split(
    name: SplitName, utterances: pd.DataFrame, options: SplitOptions | None = None
) -> Split:
    """Makes the folds of a protocol, one of `SPLITS`, and audits each of them.

    The table has a row index 0, 1, 2, ...

    Raises:
        ValueError: The protocol is unknown or the table lacks what it needs.
        LeakageError: A fold has something of its test part in its train part.
    """
    if name not in SPLITS:
        raise ValueError(f"unknown split {name!r}; choose from {', '.join(SPLITS)}")
    split = SPLITS[name](utterances, options or SplitOptions())
    notes = [note for fold in split.folds for note in audit_fold(utterances, fold, split.name)]
    return replace(split, notes=tuple(dict.fromkeys(notes)))


SHARED_DIALOGUES = {
    "superb": {("train", "valid")},
    "emotion2vec-session": {("train", "valid")},
    "emotion2vec-speaker": {("valid", "test")},
    "emobox": {("train", "valid"), ("train", "test"), ("valid", "test")},
}
"""Parts that hold utterances of the same dialogues in a published protocol; never elsewhere."""

SHARED_SPEAKERS = ("official", "shuffled-k-fold", "emobox", "recording-prefix")
"""Splits whose test speakers may also be in train."""


def audit_fold(utterances: pd.DataFrame, fold: Fold, split: str) -> list[str]:
    """Reports the speakers and dialogues on two sides of a fold, or raises where none may be.

    What published protocols share is allowed to them alone, by `SHARED_DIALOGUES` and
    `SHARED_SPEAKERS`, and described in words.

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
        if ids and (one, other) not in SHARED_DIALOGUES.get(split, set()):
            raise LeakageError(
                f"{split}: dialogue {ids[0]!r} is both in {one} and in {other} of fold "
                f"{fold.name!r} ({len(ids)} such dialogues); a dialogue must stay on one side"
            )
        if ids:
            notes.append(f"{one} and {other} share dialogues, as published")
    learning = np.concatenate([fold.train, fold.valid])
    people = _shared(speakers, learning, fold.test)
    if people and split not in SHARED_SPEAKERS:
        raise LeakageError(
            f"{split}: speaker {people[0]!r} is both in train and in test of fold "
            f"{fold.name!r} ({len(people)} such speakers)"
        )
    if people:
        whose = {
            "official": "the corpus' own split",
            "shuffled-k-fold": "folds are shuffled over them",
        }.get(split, "as published")
        notes.append(
            f"{len(people)} of {speakers.iloc[fold.test].nunique()} test speakers also speak "
            f"in train ({whose}): not speaker-independent"
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
        if options.valid == "fold":
            raise ValueError("official: there is one fold, and no further one to validate")
        train, valid = _hold_out(utterances, train, test, options)
        validation = _describe_hold_out(options)
    fold = Fold(name="official", train=train, valid=valid, test=test)
    return Split(name="official", folds=(fold,), validation=validation)


def _leave_one_session_out(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    published_splits.check_sessions("leave-one-session-out", utterances["session"])
    return _leave_out("leave-one-session-out", utterances, utterances["session"], options)


def _leave_one_speaker_out(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    if utterances["speaker"].nunique() < 2:
        raise ValueError("leave-one-speaker-out: needs two speakers or more, got 1")
    return _leave_out("leave-one-speaker-out", utterances, utterances["speaker"], options)


def _speaker_k_fold(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    fold_of = _deal(_speaker_groups(utterances, options.num_folds), options)
    return _leave_out("speaker-k-fold", utterances, fold_of, options)


def _deal(groups: NDArray | pd.Series, options: SplitOptions) -> pd.Series:
    """Deals whole groups of rows to the folds 1, 2, ...: (rows,) -> (rows,).

    As scikit-learn's GroupKFold shuffles them, whose import takes longer than most trainings.
    """
    names = np.random.RandomState(options.seed).permutation(np.unique(groups))
    fold_of = pd.Series(0, index=range(len(groups)))
    for number, dealt in enumerate(np.array_split(names, options.num_folds), start=1):
        fold_of[np.isin(groups, dealt)] = number
    return fold_of


def _shuffled_k_fold(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    """Deals dialogues, or single utterances that have none, to folds whoever speaks in them.

    Speakers are thus in train and test, as in the audio tasks of mteb (MAEB, arXiv 2602.16008); it
    is there to tell how much that flatters.
    """
    dialogues = utterances["dialogue_id"]
    if dialogues.nunique() < options.num_folds:
        raise ValueError(
            f"shuffled-k-fold: {options.num_folds} folds need as many dialogues, got "
            f"{dialogues.nunique()}; lower --num-folds"
        )
    return _leave_out("shuffled-k-fold", utterances, _deal(dialogues, options), options)


def _recording_prefix(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    """Tests each recording session of one marker-wearer, in which both actors speak.

    Cai et al. (2021) call this leave one speaker out; both test speakers are also in train.
    """
    ids = utterances["dialogue_id"].astype(str)
    prefixes = ids.str.extract(r"^Ses(\d\d[FM])_", expand=False)
    if prefixes.isna().any() or prefixes.nunique() < 2:
        raise ValueError(
            "recording-prefix: needs dialogues named as IEMOCAP's, such as 'Ses01F_impro01', with "
            f"two prefixes or more, got {ids[prefixes.isna()].head(1).tolist() or [*set(prefixes)]}"
        )
    return _leave_out("recording-prefix", utterances, prefixes, options)


SPLITS: dict[SplitName, Callable[[pd.DataFrame, SplitOptions], Split]] = {
    "official": _official,
    "leave-one-session-out": _leave_one_session_out,
    "leave-one-speaker-out": _leave_one_speaker_out,
    "speaker-k-fold": _speaker_k_fold,
    "shuffled-k-fold": _shuffled_k_fold,
    "superb": published_splits.superb,
    "emotion2vec-session": published_splits.emotion2vec_session,
    "emotion2vec-speaker": published_splits.emotion2vec_speaker,
    "emobox": published_splits.emobox,
    "recording-prefix": _recording_prefix,
}


def _rows(marked: pd.Series) -> Rows:
    return np.flatnonzero(marked.to_numpy()).astype(np.int64)


def _leave_out(
    name: str, utterances: pd.DataFrame, groups: pd.Series, options: SplitOptions
) -> Split:
    """Tests each group of utterances, and trains on the rest.

    Unless the split shares speakers, it trains on dialogues without a test speaker, not even as a
    partner.
    """
    speakers, dialogues = utterances["speaker"], utterances["dialogue_id"]
    folds = []
    for group in sorted(groups.unique()):
        is_test = groups == group
        near = is_test if name in SHARED_SPEAKERS else speakers.isin(speakers[is_test])
        test, learning = _rows(is_test), _rows(~dialogues.isin(dialogues[near]))
        if not len(learning):
            raise ValueError(f"fold {str(group)!r}: every dialogue has a speaker of the test part")
        train, valid = _hold_out(utterances, learning, test, options)
        folds.append(Fold(name=str(group), train=train, valid=valid, test=test))
    if options.valid == "fold":
        folds = _validate_on_next(name, dialogues, folds)
    return Split(name=name, folds=tuple(folds), validation=_describe_hold_out(options))


def _hold_out(
    utterances: pd.DataFrame, learning: Rows, test: Rows, options: SplitOptions
) -> tuple[Rows, Rows]:
    """Divides rows into train and valid by dialogues: a fifth, or those of the next speaker."""
    dialogues = utterances["dialogue_id"].iloc[learning]
    if options.valid == "speaker":
        speakers = utterances["speaker"].iloc[learning].astype(str)
        last = max(utterances["speaker"].iloc[test].astype(str))
        speaker = min(speakers[speakers > last], default=min(speakers))
        chosen = dialogues[speakers == speaker]
    else:
        chosen = draw_fifth(dialogues, np.random.default_rng(options.seed))
    is_valid = dialogues.isin(chosen).to_numpy()
    return learning[~is_valid], learning[is_valid]


def draw_fifth(groups: pd.Series, generator: np.random.Generator) -> pd.Index:
    """Draws groups of utterances, such as dialogues, until they hold a fifth of all."""
    sizes = groups.value_counts(sort=False).sort_index()
    order = generator.permutation(len(sizes))
    filled = sizes.iloc[order].cumsum() - sizes.iloc[order]
    return sizes.index[order][filled.to_numpy() < 0.2 * len(groups)]


def _validate_on_next(name: str, dialogues: pd.Series, folds: list[Fold]) -> list[Fold]:
    """Holds out one further fold, unseen in training: the next after the tested."""
    if len(folds) < 3:
        raise ValueError(
            f"{name}: one fold to test and a further one to validate leave none of {len(folds)} "
            "to train on; choose another --valid"
        )
    held_out = []
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        learning = np.union1d(fold.train, fold.valid)
        is_valid = dialogues.iloc[learning].isin(dialogues.iloc[following.test]).to_numpy()
        train, valid = learning[~is_valid], learning[is_valid]
        held_out.append(Fold(name=fold.name, train=train, valid=valid, test=fold.test))
    return held_out


def _describe_hold_out(options: SplitOptions) -> str:
    return {
        "fold": "one further fold, the next after the tested",
        "speaker": "the dialogues of one train speaker, the next after the tested",
        "share": f"20% of the train dialogues, seed {options.seed}",
    }[options.valid]


def _speaker_groups(utterances: pd.DataFrame, num_folds: int) -> NDArray[np.int64]:
    """Groups utterances by people who talk to each other, or by person where that fails."""
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
