"""The table of rows that read the words of an ASR against the same rows with the corpus' words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.results import ResultsTable, describe_bounds
from conversation_emotion.evaluation.significance import compare_predictions, correct_by_holm
from conversation_emotion.evaluation.word_errors import score_transcripts
from conversation_emotion.settings.words import TRANSCRIBED

if TYPE_CHECKING:
    from experiments.framework.experiment import Experiment, RowRun, Runs


def tabulate_transcribed(experiment: "Experiment[Any]", title: str, runs: "Runs") -> ResultsTable:
    """Scores rows with words by ASR, their word errors, and what those cost in UAR, paired."""
    by_name = {run.name: run for run in runs}
    pairs = [
        (by_name[run.name.removesuffix(TRANSCRIBED)], run)
        for run in runs
        if run.name.endswith(TRANSCRIBED)
    ]
    compared = [_compare(given, written) for given, written in pairs]
    p_values = correct_by_holm([p_value for _, p_value in compared])
    rows = []
    for (given, written), (gap, _), p_value in zip(pairs, compared, p_values, strict=True):
        tested = _tested(written)
        texts = [
            run.task.dataset.utterances.set_index("utterance_id")["text"]
            for run in (given, written)
        ]
        metrics = {
            "uar": written.scores["model"]["uar"],
            "words_wer": score_transcripts(tested, *texts),
            "change_uar": gap,
        }
        written.run.log_metrics({f"words/{name}": one.score for name, one in metrics.items()})
        own = {"values": {"p_uar": p_value}, "per_class": {}, "kind": "reference"}
        rows.append(experiment.score(written, written.name, metrics, **own))
    return ResultsTable(
        title=f"Words by ASR against those of the corpus; {title}",
        columns=("uar", "words_wer", "change_uar", "p_uar"),
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(_describe(pairs))),
    )


def _compare(given: "RowRun", written: "RowRun") -> tuple[Interval, float]:
    """Returns how much better a row is with words by ASR, and the p-value of no difference."""
    if {*_tested(given)["utterance_id"]} != {*_tested(written)["utterance_id"]}:
        raise ValueError(f"{written.name} and {given.name} predict different utterances")
    return compare_predictions(_tested(written), _tested(given), len(given.task.labels))


def _tested(run: "RowRun") -> pd.DataFrame:
    return run.predictions[run.predictions["part"] == "test"]


def _describe(pairs: "list[tuple[RowRun, RowRun]]") -> Iterator[str]:
    yield f"row with words by ASR minus the row above it [{describe_bounds(_tested(pairs[0][0]))}]"
    for given, written in pairs:
        known = given.task.dataset.split.notes
        yield from (note for note in written.task.dataset.split.notes if note not in known)
    yield "p of no difference by a paired t test, corrected for all rows (Holm, 1979)"
    yield (
        "WER: of the utterances of test of which the corpus has words, both in capital letters "
        "without punctuation; an utterance of which nothing was written down counts as all wrong"
    )
