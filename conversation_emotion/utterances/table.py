"""The utterance table: one row per utterance of any corpus, with a checked contract."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from conversation_emotion.utterances.sound_files import printable

if TYPE_CHECKING:
    import pandas as pd

Utterances: TypeAlias = "pd.DataFrame"
"""A table with the columns of `COLUMNS`."""

COLUMNS: dict[str, str] = {
    "corpus": "name of the corpus, the same in every row",
    "utterance_id": "unique in the corpus",
    "dialogue_id": "the conversation the utterance belongs to",
    "order": "place in its dialogue: 0, 1, 2, ... without gaps, in the order of speaking",
    "start": "seconds from the beginning of the dialogue, missing if unknown",
    "end": "seconds from the beginning of the dialogue, missing if unknown",
    "speaker": "unique in the corpus: the same person always, no two people alike",
    "gender": "female, male, other, or missing",
    "language": "IETF tag such as en or de, or missing",
    "text": "the transcript; missing or empty where none exists",
    "audio": "absolute path of the file that holds the speech, or missing",
    "channel": "channel of the file to read, or missing for the mean of all",
    "offset": "seconds into the file at which the utterance begins, or missing for its beginning",
    "duration": "seconds to read from there, or missing for all that follows",
    "emotion": "the label as the corpus names it, or missing: an unlabelled turn stays as context",
    "votes": "what each rater named, as JSON (`conversation_emotion.utterances.votes`), or missing",
    "valence": "rating on the corpus' own scale, or missing",
    "arousal": "rating on the corpus' own scale, or missing",
    "dominance": "rating on the corpus' own scale, or missing",
    "sentiment": "negative, neutral, positive, a number as text, or missing",
    "split": "train, valid or test where the corpus has an official split, else missing",
    "session": "recording session, or missing",
}
"""The columns of every utterance table; a corpus may add more behind them."""

NUMBERS = ("start", "end", "channel", "offset", "duration", "valence", "arousal", "dominance")
REQUIRED = ("corpus", "utterance_id", "dialogue_id", "order", "speaker")
SPLITS = ("train", "valid", "test")
GENDERS = ("female", "male", "other")


def build_utterances(rows: Iterable[dict[str, object]], corpus: str) -> Utterances:
    """Makes the utterance table from dictionaries with the columns that the corpus has.

    Sorts by dialogue and order, gives absent columns missing values, and checks the contract. With
    neither ``dialogue_id`` nor ``order`` each utterance is its own dialogue. The name of the corpus
    fills the column ``corpus`` and begins every error.

    Raises:
        ValueError: The contract is broken, see `validate_utterances`; or there are no rows.
    """
    import pandas as pd  # here, so that help and usage errors come without its half second

    table = pd.DataFrame([_as_unicode(row) for row in rows])
    if table.empty:
        raise ValueError(f"{corpus}: no utterances found")
    table["corpus"] = corpus
    if not {"dialogue_id", "order"} & {*table.columns}:
        table = table.assign(dialogue_id=table.get("utterance_id"), order=0)
    for column in COLUMNS:
        if column not in table:
            table[column] = None
    table = table[[*COLUMNS, *(column for column in table if column not in COLUMNS)]]
    for column in NUMBERS:
        table[column] = pd.to_numeric(table[column]).astype("float64")
    validate_utterances(table, corpus)
    return table.sort_values(["dialogue_id", "order"], kind="stable", ignore_index=True)


def _as_unicode(row: dict[str, object]) -> dict[str, object]:
    """Escapes what is not Unicode, such as bytes of a file's name, for pandas cannot hold it."""
    return {key: printable(cell) if isinstance(cell, str) else cell for key, cell in row.items()}


def validate_utterances(utterances: Utterances, corpus: str) -> Utterances:
    """Returns the table unchanged, or raises with the rows that break its contract.

    Raises:
        ValueError: A column is missing or holds what it must not; an id repeats; the orders of a
            dialogue have gaps; a time runs backwards.
    """
    if missing := [column for column in COLUMNS if column not in utterances]:
        raise ValueError(f"{corpus}: the utterance table lacks the columns {missing}")
    for column in REQUIRED:
        if absent := utterances.index[utterances[column].isna()].tolist():
            raise ValueError(
                f"{corpus}: {len(absent)} rows have no {column}, first row {absent[0]}; "
                f"{column} is {COLUMNS[column]}"
            )
    ids = utterances["utterance_id"]
    if repeated := ids[ids.duplicated()].tolist():
        raise ValueError(f"{corpus}: {len(repeated)} utterance ids repeat, first {repeated[0]!r}")
    for column, allowed in (("split", SPLITS), ("gender", GENDERS)):
        given = utterances[column].dropna()
        if wrong := given[~given.isin(allowed)].tolist():
            raise ValueError(
                f"{corpus}: {len(wrong)} rows have an unknown {column}, first {wrong[0]!r}; "
                f"allowed are {', '.join(allowed)} or nothing"
            )
    _check_dialogues(utterances, corpus)
    return utterances


def has_text(utterances: Utterances) -> "pd.Series":
    """Marks the utterances whose transcript holds more than white space."""
    return utterances["text"].map(lambda text: isinstance(text, str) and bool(text.strip()))


def _check_dialogues(utterances: Utterances, corpus: str) -> None:
    for dialogue_id, orders in utterances.groupby("dialogue_id", sort=False)["order"]:
        if sorted(orders) != list(range(len(orders))):
            raise ValueError(
                f"{corpus}: dialogue {dialogue_id!r} has orders {sorted(orders)}, "
                f"expected 0 to {len(orders) - 1} without gaps"
            )
    if (is_wrong := utterances["end"] < utterances["start"]).any():  # false where one is missing
        first = utterances[is_wrong].iloc[0]
        raise ValueError(
            f"{corpus}: utterance {first['utterance_id']!r} ends at {first['end']} s, "
            f"before it starts at {first['start']} s"
        )
