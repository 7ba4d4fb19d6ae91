"""Published splits of single utterances, drawn as their authors draw them.

The audit of `conversation_emotion.splits.protocols` reports what their parts share.
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from conversation_emotion.splits.folds import Fold, Rows, Split, SplitOptions

FIFTH = "20 % of train by utterance, seed {}"


def superb(utterances: pd.DataFrame, options: SplitOptions) -> Split:
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
    folds = []
    for test_file in files:
        train_file = test_file.with_name("train_meta_data.json")
        train, valid = _draw_fifth(_superb_rows(train_file, utterances), seed=0)
        test = _superb_rows(test_file, utterances)
        folds.append(Fold(name=test_file.parent.name, train=train, valid=valid, test=test))
    return Split(name="superb", folds=tuple(folds), validation=FIFTH.format(0))


def emotion2vec_session(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    """Leaves a session out and draws valid by utterance (Ma et al., 2024, their default).

    Their draw continues one stream of random numbers over the folds, in the order of their
    manifest; here each fold begins with their seed, 42, in the order of the table.
    """
    rows = _target_rows(utterances, options)
    sessions = utterances["session"].iloc[rows]
    check_sessions("emotion2vec-session", sessions)
    folds = []
    for session in sorted(sessions.unique()):
        is_test = (sessions == session).to_numpy()
        train, valid = _draw_fifth(rows[~is_test], seed=42)
        folds.append(Fold(name=str(session), train=train, valid=valid, test=rows[is_test]))
    return Split(name="emotion2vec-session", folds=tuple(folds), validation=FIFTH.format(42))


def emotion2vec_speaker(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    """Leaves a speaker out, one validates, eight of ten train (Ma et al., 2024, underlined).

    Who validates is not published. With the other speaker of the tested session all eight others
    train and share no dialogue with the two.
    """
    rows = _target_rows(utterances, options)
    sessions, speakers = (utterances[name].iloc[rows] for name in ("session", "speaker"))
    pairs = speakers.groupby(sessions).nunique()
    if sessions.isna().any() or len(pairs) < 2 or (pairs != 2).any():
        raise ValueError(
            "emotion2vec-speaker: needs two sessions or more of two speakers each, got "
            f"{len(pairs)} sessions with {sorted(set(pairs))} speakers"
        )
    folds = []
    for speaker in sorted(speakers.unique()):
        is_test = (speakers == speaker).to_numpy()
        is_near = (sessions == sessions[is_test].iloc[0]).to_numpy()
        train, valid, test = rows[~is_near], rows[is_near & ~is_test], rows[is_test]
        folds.append(Fold(name=str(speaker), train=train, valid=valid, test=test))
    validation = "the other speaker of the tested session"
    return Split(name="emotion2vec-speaker", folds=tuple(folds), validation=validation)


def check_sessions(split: str, sessions: pd.Series) -> None:
    """Refuses a table without a session for every utterance, or with less than two sessions."""
    if sessions.isna().any() or sessions.nunique() < 2:
        raise ValueError(
            f"{split}: needs a session for every utterance and two sessions or more, got "
            f"{sessions.nunique()} and {int(sessions.isna().sum())} utterances without"
        )


def emobox(utterances: pd.DataFrame, options: SplitOptions) -> Split:
    """EmoBox's folds from its files, or else by its rule (Ma et al., Interspeech 2024).

    Without files the rule is theirs and the draw is not, since theirs follows the order of their
    lists, and where speakers are grouped, no seed. Valid is always drawn by utterance.
    """
    rows = _target_rows(utterances, options)
    if options.emobox_folds is not None:
        tests, how = _emobox_files(options.emobox_folds, utterances), "EmoBox's lists"
    else:
        tests, how = _emobox_rule(utterances.iloc[rows], rows)
    folds = []
    for name, learning, test in tests:
        train, valid = _draw_fifth(np.intersect1d(learning, rows), seed=0)
        folds.append(Fold(name=name, train=train, valid=valid, test=np.intersect1d(test, rows)))
    return Split(name="emobox", folds=tuple(folds), validation=f"{FIFTH.format(0)}; {how}")


_Drawn = tuple[str, Rows, Rows]


def _emobox_rule(table: pd.DataFrame, numbers: Rows) -> tuple[list[_Drawn], str]:
    """Draws by the official split or sessions, else by the number and balance of speakers."""
    is_test = (table["split"] == "test").to_numpy()
    if is_test.any():
        return [("official", numbers[~is_test], numbers[is_test])], "the official split"
    counts = pd.crosstab(table["speaker"], table["emotion"])
    if table["session"].notna().all() and table["session"].nunique() > 1:
        groups, how = table["session"], "sessions left out"
    elif len(counts) < 4 or (counts.nunique() > 1).any():
        test = np.sort(np.concatenate(list(_sample_quarters(table["emotion"], numbers))))
        drawn = [("quarter", np.setdiff1d(numbers, test), test)]
        return drawn, "a quarter of each emotion, whoever speaks"
    elif len(counts) <= 6:
        groups, how = table["speaker"], "speakers left out"
    else:
        speakers = list(counts.index)
        random.Random(0).shuffle(speakers)
        place = {name: number % (len(speakers) // 4) for number, name in enumerate(speakers)}
        groups, how = table["speaker"].map(place), "groups of speakers left out"
    parts = [(str(name), (groups == name).to_numpy()) for name in sorted(groups.unique())]
    return [(name, numbers[~out], numbers[out]) for name, out in parts], how


def _sample_quarters(emotions: pd.Series, numbers: Rows) -> Iterable[Rows]:
    generator = random.Random(0)
    for emotion in emotions.unique():
        rows = numbers[(emotions == emotion).to_numpy()].tolist()
        yield np.array(generator.sample(rows, int(len(rows) * 0.25)), dtype=np.int64)


def _emobox_files(folder: Path, utterances: pd.DataFrame) -> list[_Drawn]:
    """Reads EmoBox's lists, which identify an utterance by its recording."""
    files = sorted(folder.glob("fold_*/*_test_fold_*.jsonl"))
    if not files:
        raise FileNotFoundError(
            f"emobox: no fold_*/*_test_fold_*.jsonl under {folder}; pass a corpus' folder of "
            "EmoBox's data"
        )
    names = utterances["audio"].map(lambda path: Path(path).stem, na_action="ignore")
    names = names.where(names.notna(), utterances["utterance_id"])

    def read_rows(file: Path) -> Rows:
        lines = file.read_text(encoding="utf-8").splitlines()
        wavs = [json.loads(line)["wav"] for line in lines if line.strip()]
        return _find(wavs, names, "emobox", file)

    trains = [file.with_name(file.name.replace("_test_", "_train_")) for file in files]
    return [
        (test.parent.name, read_rows(train), read_rows(test))
        for train, test in zip(trains, files, strict=True)
    ]


def _superb_rows(file: Path, utterances: pd.DataFrame) -> Rows:
    paths = [entry["path"] for entry in json.loads(file.read_text())["meta_data"]]
    return _find(paths, utterances["utterance_id"], "superb", file)


def _find(paths: list[str], names: pd.Series, split: str, file: Path) -> Rows:
    """Returns the rows whose names are the stems of paths that a file lists, in its order."""
    ids = [Path(path).stem for path in paths]
    row_of = pd.Series(np.arange(len(names)), index=names.to_numpy())
    if missing := [name for name in ids if name not in row_of.index]:
        raise ValueError(
            f"{split}: {file} lists {len(missing)} utterances that the corpus lacks, "
            f"first {missing[0]!r}"
        )
    return row_of.loc[ids].to_numpy().astype(np.int64)


def _draw_fifth(learning: Rows, seed: int) -> tuple[Rows, Rows]:
    """Draws train and valid as torch's ``random_split`` does from a fresh seed."""
    order = torch.randperm(len(learning), generator=torch.Generator().manual_seed(seed)).numpy()
    cut = int(0.8 * len(learning))
    return learning[order[:cut]], learning[order[cut:]]


def _target_rows(utterances: pd.DataFrame, options: SplitOptions) -> Rows:
    """Returns the rows of a draw by utterance."""
    return np.arange(len(utterances)) if options.target_rows is None else options.target_rows
