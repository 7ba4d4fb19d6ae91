"""The rows of the fusion table: those of Morais et al. (2022) by number, and ours behind them."""

from typing import NamedTuple

from conversation_emotion.models.fusion import Fusion
from conversation_emotion.models.perception import Aggregator

MORAIS = (
    "Morais et al., ICASSP 2022, table 1, as a reader of it reports: IEMOCAP, leave one session "
    "out as in SUPERB; sizes of the encoders are not stated"
)


class FusionRow(NamedTuple):
    """A line of the table.

    Attributes:
        title: "+" joins frames before one aggregator, "&" utterance vectors behind one for each.
        encoders: The flags that name the encoders.
        fusion: Where they meet; a single encoder meets nobody.
        aggregator: What pools the frames.
        is_averaged: Whether the best weights are averaged, or the best alone taken.
        published: UACC and WACC in percent, where they were.
        decisions_of: Rows whose decisions are joined; such a row trains nothing itself.
    """

    title: str
    encoders: tuple[str, ...]
    fusion: Fusion = "late"
    aggregator: Aggregator = "ecapa"
    is_averaged: bool = True
    published: tuple[float, float] | None = None
    decisions_of: tuple[int, ...] = ()


_SPEECH = ("hubert", "wav2vec2")
_OURS = ("emotion2vec", "bert")

ROWS: dict[int, FusionRow] = {
    1: FusionRow("W2V2, one checkpoint", ("wav2vec2",), "late", "mean", False, (74.56, 74.09)),
    2: FusionRow("HuBERT, one checkpoint", ("hubert",), "late", "mean", False, (73.45, 72.99)),
    3: FusionRow("W2V2", ("wav2vec2",), "late", "mean", published=(76.86, 76.47)),
    4: FusionRow("HuBERT", ("hubert",), "late", "mean", published=(75.80, 75.20)),
    5: FusionRow("W2V2", ("wav2vec2",), published=(77.36, 76.58)),
    6: FusionRow("HuBERT", ("hubert",), published=(77.04, 75.56)),
    7: FusionRow("HuBERT + W2V2", _SPEECH, "early", published=(77.76, 77.07)),
    8: FusionRow("HuBERT & W2V2", _SPEECH, published=(77.52, 76.78)),
    9: FusionRow("Fbank", ("fbank",), published=(57.60, 56.52)),
    10: FusionRow("BERT", ("bert",), published=(70.07, 69.34)),
    11: FusionRow("Fbank & BERT", ("fbank", "bert"), published=(71.46, 70.56)),
    12: FusionRow("Fbank + BERT", ("fbank", "bert"), "early"),
    13: FusionRow("Fbank & BERT, gated", ("fbank", "bert"), "gated"),
    14: FusionRow("Fbank & BERT, cross-attention", ("fbank", "bert"), "cross-attention"),
    15: FusionRow("emotion2vec", ("emotion2vec",)),
    16: FusionRow("emotion2vec & BERT", _OURS),
    17: FusionRow("emotion2vec & BERT, gated", _OURS, "gated"),
    18: FusionRow("emotion2vec & BERT, cross-attention", _OURS, "cross-attention"),
    19: FusionRow("Fbank, BERT: decisions", ("fbank", "bert"), decisions_of=(9, 10)),
    20: FusionRow("emotion2vec, BERT: decisions", _OURS, decisions_of=(15, 10)),
}
"""1 to 11 are those of the paper, 12 to 20 ours."""


def read_rows(text: str) -> tuple[int, ...]:
    """Reads the numbers of rows, ``9,10,11`` or ``1-8,11``; rows that others join come before them.

    Raises:
        ValueError: There are none, or one that the table does not have.
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise ValueError(f"--rows takes numbers such as 9,10,11 or 1-8, got {text!r}")
        numbers += range(int(first), int(last or first) + 1)
    if strange := [number for number in numbers if number not in ROWS]:
        raise ValueError(f"--rows: the table has the rows 1 to {max(ROWS)}, not {strange[0]}")
    joined = [part for number in numbers for part in (*ROWS[number].decisions_of, number)]
    return tuple(dict.fromkeys(joined))
