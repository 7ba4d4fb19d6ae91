"""The page of a board: a table for each modality, what shuffled speakers gain, and the encoders."""

from collections.abc import Iterator, Mapping, Sequence

from conversation_emotion.evaluation.board import (
    Board,
    Cost,
    Measured,
    measure_gains,
    read_encoders,
    size_of,
)
from conversation_emotion.evaluation.metrics import describe_metric
from conversation_emotion.evaluation.rendering import Cell, Line, format_number, render_table
from conversation_emotion.figures.documents import render

NOTES = (
    "rank: mean over the ranked tasks, 1 the best [95 % of a bootstrap over tasks and scores]",
    "* the encoder learned from the corpus that is tested: not ranked there",
    "shuffled tasks have speakers in train and test, as on boards that shuffle: not ranked",
)


def render_boards(boards: Sequence[Board], costs: Mapping[str, Cost], notes: Sequence[str]) -> str:
    """Writes the page, as HTML that loads nothing."""
    return render(
        "board",
        title="Encoders on all tasks",
        boards=[
            {
                "modality": board.modality,
                "tasks": [_describe_task(board, task) for task in board.tasks],
                "rows": [_describe_row(board, name) for name in board.encoders],
            }
            for board in boards
        ],
        gains=[
            {"encoder": name, "corpus": corpus, "gain": f"{100 * gain:+.1f}"}
            for board in boards
            for name, corpus, gain in measure_gains(board.results.values())
        ],
        encoders=[*_describe_encoders(boards, costs)],
        notes=[*NOTES, *notes],
    )


def write_boards(boards: Sequence[Board], width: int) -> str:
    """Writes the boards as text, a table for each modality."""
    return "\n".join(
        render_table(
            f"Board of {board.modality}",
            "scores in percent, but for the rank",
            ["rank", *board.tasks],
            [
                Line(name, [Cell(_rank(board, name)), *_cells(board, name)])
                for name in board.encoders
            ],
            notes=list(NOTES),
            commands=[],
            width=width,
        )
        for board in boards
    )


def _cells(board: Board, name: str) -> Iterator[Cell]:
    for task in board.tasks:
        one = board.results.get((name, task))
        if one is None:
            yield Cell()
            continue
        mark = "*" if one.seen else ""
        low, high = (format_number(x, one.metric) for x in (one.score.low, one.score.high))
        yield Cell(f"{format_number(one.score.score, one.metric)}{mark}", f"[{low}, {high}]")


def _rank(board: Board, name: str) -> str:
    mean = board.ranks.get(name)
    return "" if mean is None else f"{mean.score:.1f} [{mean.low:.1f}, {mean.high:.1f}]"


def _describe_task(board: Board, task: str) -> dict[str, object]:
    results = [one for (_, name), one in board.results.items() if name == task]
    majorities = [one.majority for one in results if one.majority is not None]
    metric = results[0].metric
    return {
        "name": task,
        "version": results[0].task_version,
        "metric": describe_metric(metric).title,
        "n": f"{results[0].score.n:,}",
        "majority": format_number(majorities[0], metric) if majorities else "",
        "is_ranked": task in board.ranked,
    }


def _describe_row(board: Board, name: str) -> dict[str, object]:
    return {
        "name": name,
        "rank": _rank(board, name),
        "cells": [
            _describe_cell(board.results[name, task]) if (name, task) in board.results else None
            for task in board.tasks
        ],
    }


def _describe_cell(one: Measured) -> dict[str, object]:
    low, high = (format_number(x, one.metric) for x in (one.score.low, one.score.high))
    return {
        "score": format_number(one.score.score, one.metric),
        "interval": f"[{low}, {high}]",
        "seen": "; ".join(one.seen),
        "command": one.row.command,
    }


def _describe_encoders(
    boards: Sequence[Board], costs: Mapping[str, Cost]
) -> Iterator[dict[str, str]]:
    known = read_encoders()
    names = dict.fromkeys(
        part for board in boards for name in board.encoders for part in name.split(" & ")
    )
    for name in names:
        cost = costs.get(name)
        facts = known.get(name) or next(
            (one for key, one in known.items() if key.rpartition("/")[2] == name), {}
        )
        yield {
            "name": name,
            "licence": str(facts.get("licence", "read its page")),
            "size": size_of(facts),
            "seconds": f"{cost.seconds:.3f}" if cost else "",
            "training": str(facts.get("training", "unknown to this package")),
        }
