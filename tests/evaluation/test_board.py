"""The board: ranks worked out by hand, what does not rank, and results as files that join."""

from pathlib import Path

import numpy as np
import pytest

from conversation_emotion.evaluation.board import (
    Measured,
    make_boards,
    measure_gains,
    read_results,
    tabulate,
    write_result,
)
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.results import RowResult


def measured(encoder: str, task: str, score: float, half: float = 0.01, **more) -> Measured:
    kind, _, corpus = task.partition("-")
    interval = Interval(score, score - half, score + half, 0.0, 100)
    row = RowResult(name=encoder, metrics={"uar": interval}, command=f"python {encoder}")
    fixed = {"task_version": 1, "modality": "speech", "metric": "uar", "row": row, **more}
    return Measured(task=task, kind=kind, corpus=corpus, encoder=encoder, **fixed)


def test_mean_ranks_are_those_worked_out_by_hand():
    results = [
        *(
            measured(name, "ser-a", score)
            for name, score in zip("xyz", (0.9, 0.7, 0.5), strict=True)
        ),
        *(
            measured(name, "ser-b", score)
            for name, score in zip("xyz", (0.4, 0.8, 0.6), strict=True)
        ),
        *(measured(name, "ser-c", score) for name, score in zip("xy", (0.9, 0.1), strict=True)),
    ]
    (board,) = make_boards(results)
    # Of two that have a score on c, the last counts as the third of three.
    expected = {"x": (1 + 3 + 1) / 3, "y": (2 + 1 + 3) / 3, "z": (3 + 2) / 2}
    assert {name: mean.score for name, mean in board.ranks.items()} == pytest.approx(expected)
    assert board.encoders == ("x", "y", "z")
    assert [board.ranks[name].n for name in "xyz"] == [3, 3, 2]


def test_ranks_that_every_draw_confirms_have_no_width_and_close_scores_do():
    clear = [
        measured(name, f"ser-{task}", s) for task in "ab" for name, s in (("x", 0.9), ("y", 0.1))
    ]
    (board,) = make_boards(clear)
    assert (board.ranks["x"].low, board.ranks["x"].high) == (1, 1)
    close = [
        measured(name, f"ser-{task}", s, half=0.2)
        for task in "ab"
        for name, s in (("x", 0.51), ("y", 0.5))
    ]
    (board,) = make_boards(close)
    assert (board.ranks["x"].low, board.ranks["x"].high) == (1, 2)


def test_what_saw_the_corpus_or_shuffles_speakers_is_shown_and_does_not_rank():
    results = [
        measured("emotion2vec-mini", "ser-ravdess", 0.9),
        measured("fbank", "ser-ravdess", 0.4),
        measured("mfcc", "ser-ravdess", 0.5),
        measured("fbank", "shuffled-ravdess", 0.6),
        measured("mfcc", "shuffled-ravdess", 0.55),
    ]
    (board,) = make_boards(results)
    assert {name: mean.score for name, mean in board.ranks.items()} == {"mfcc": 1, "fbank": 3}
    assert board.ranked == ("ser-ravdess",)
    assert board.tasks == ("ser-ravdess", "shuffled-ravdess")
    (seen,) = results[0].seen
    assert seen.startswith("emotion2vec-mini learned from ravdess: its 720 clips")
    gains = {name: gain for name, _, gain in measure_gains(results)}
    assert gains == pytest.approx({"fbank": 0.2, "mfcc": 0.05})
    table = tabulate([board]).set_index(["encoder", "task"])
    assert not table.loc[("emotion2vec-mini", "ser-ravdess"), "is_ranked"]


def write(folder: Path, one: Measured) -> None:
    write_result(one, folder / "tasks" / one.task / f"{one.encoder}.json")


def test_results_of_others_join_and_ones_own_count_first(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine, measured("x", "ser-a", 0.5))
    write(theirs, measured("x", "ser-a", 0.9))
    write(theirs, measured("y", "ser-a", 0.7))
    found = {one.encoder: one.score.score for one in read_results([mine, theirs])}
    assert found == {"x": 0.5, "y": 0.7}
    write(theirs, measured("z", "ser-a", 0.7, task_version=2))
    with pytest.raises(ValueError, match=r"z.json is of version 2 of ser-a, .*x.json of version 1"):
        read_results([mine, theirs])


def test_a_file_that_is_no_result_is_named(tmp_path):
    place = tmp_path / "tasks" / "ser-a" / "x.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"task": 3}')
    with pytest.raises(ValueError, match=r"x.json is no result of a board: task: "):
        read_results([tmp_path])


def test_nothing_is_ranked_against_nobody():
    (board,) = make_boards([measured("x", "ser-a", 0.5)])
    assert board.ranks == {}
    assert np.isfinite(board.results["x", "ser-a"].score.score)
