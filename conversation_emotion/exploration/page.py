"""The page of an exploration: one file with tables, figures, and odd clips that play."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from conversation_emotion.exploration.dialogues import Transitions
from conversation_emotion.exploration.effects import Effect
from conversation_emotion.exploration.explore import Exploration
from conversation_emotion.exploration.measures import Measure
from conversation_emotion.exploration.spaces import Space
from conversation_emotion.figures.clips import Clips, encode_clips
from conversation_emotion.figures.documents import render
from conversation_emotion.figures.palette import LOOKS, look_of

Fields = dict[str, object]
"""What the template shows."""

MOST_SECONDS = 10.0
"""Seconds that a clip plays at most."""

MOST_FEATURES = 15
"""Features that are shown at once; the others are folded."""

FEW_GROUPS = 12
"""Speakers that are shown at once; further ones are folded."""

MOST_COLOURS = 12
"""Groups that have a colour of their own in a plane."""

_MOST_LETTERS, _MOST_SHOWN, _MOST_NAMED = 160, 40, 6


@dataclass(frozen=True)
class Group:
    """A way to colour a plane: its name, its groups, and the group of each row of the table."""

    name: str
    labels: tuple[str, ...]
    numbers: np.ndarray


def render_exploration(
    found: Exploration, utterances: pd.DataFrame, *, command: str, clips: int, limit_bytes: int
) -> str:
    """Writes the page, as HTML that loads nothing.

    Args:
        found: What was found.
        utterances: The table that was explored.
        command: Shell command that makes it.
        clips: Odd clips to show of each kind.
        limit_bytes: Size of the sound at most.
    """
    colourings = list(_list_colourings(found, utterances)) if found.spaces else []
    odd = _list_odd(found, utterances, clips)
    sounds = _encode_beginnings(utterances, [*odd], limit_bytes)
    kinds = max([len(found.classes.labels), *(len(one.labels) for one in colourings)])
    return render(
        "exploration",
        title=f"What is in {found.corpus}",
        labels=range(kinds),
        names=found.classes.labels,
        found=found,
        command=command,
        **_show_tables(found),
        num_features=MOST_FEATURES,
        spaces=[_draw_space(one, found.classes.numbers) for one in found.spaces],
        shapes=_SHAPES,
        colourings=colourings,
        shared=[
            (_shorten_list(x.utterance_ids, x.count), ", ".join(x.differs)) for x in found.shared
        ],
        odd=[_show_odd(utterances, row, whys, sounds.sounds) for row, whys in odd.items()],
        sound=sounds.describe(limit_bytes) if sounds.sounds or sounds.num_left_out else "",
        seconds=MOST_SECONDS,
        percent=_percent,
        number=_decimal,
        num_groups=FEW_GROUPS,
        data=_as_data(found, utterances, colourings),
    )


def _encode_beginnings(utterances: pd.DataFrame, rows: Sequence[int], limit_bytes: int) -> Clips:
    """Compresses up to `MOST_SECONDS` of the recordings of some rows."""
    longest = utterances["duration"].fillna(MOST_SECONDS).clip(upper=MOST_SECONDS)
    shortened = utterances.assign(duration=longest)
    return encode_clips(shortened, np.array(rows, dtype=np.int64), limit_bytes)


def _show_tables(found: Exploration) -> Fields:
    counts, labels = found.classes.counts.tolist(), found.classes.labels
    return {
        "classes": [{"count": count, "share": _share(count, sum(counts))} for count in counts],
        "num_unlabelled": found.num_utterances - sum(counts),
        "groupings": [_show_counts(one.groups, labels) for one in found.groupings],
        "largest": [] if found.largest is None else _show_counts(found.largest.groups, labels),
        "measures": [_show_measure(one) for one in found.measures],
        "transitions": [_show_transitions(one) for one in found.transitions],
        "acoustics": [*map(_show_effect, found.acoustics.effects if found.acoustics else ())],
    }


def _show_counts(groups: Sequence, labels: Sequence[str]) -> list[Fields]:
    """Shows counts with the share of each class in its group."""
    return [
        {
            "name": group.name,
            "cells": [_cell(count, sum(group.counts)) for count in group.counts[: len(labels)]],
            "n": sum(group.counts) + group.num_unlabelled,
            "num_unlabelled": group.num_unlabelled,
        }
        for group in groups
    ]


def _show_transitions(one: Transitions) -> Fields:
    return {
        "whose": one.whose,
        "same": _percent(one.same),
        "chance": _percent(one.chance),
        "kappa": "" if one.kappa is None else _decimal(one.kappa),
        "rows": [
            {"cells": [_cell(count, sum(row)) for count in row], "n": sum(row)}
            for row in one.counts
        ],
        "n": sum(map(sum, one.counts)),
    }


def _cell(count: int, total: int) -> Fields:
    share = count / total if total else 0.0
    return {"count": count, "share": _share(count, total), "step": round(10 * share)}


def _share(count: int, total: int) -> str:
    return _percent(count / total) if total else ""


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _show_p(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _show_measure(one: Measure) -> Fields:
    known = [quantiles for quantiles in one.by_class if quantiles]
    low = min((quantiles[0] for quantiles in known), default=one.least)
    high = max((quantiles[-1] for quantiles in known), default=one.most)

    def place(value: float) -> float:
        scale = one.scale
        width = scale(high) - scale(low)
        return round(float(100 * (scale(value) - scale(low)) / width), 2) if width > 0 else 50.0

    most = max(one.bins) or 1
    return {
        "name": one.name,
        "unit": one.unit,
        "count": f"{one.count:,}",
        "least": _number(one.least),
        "most": _number(one.most),
        "quantiles": [*map(_number, one.quantiles)],
        "bars": [round(100 * count / most, 1) for count in one.bins],
        "is_logarithmic": one.is_logarithmic,
        "effect": None if one.effect is None else _show_effect(one.effect),
        "by_class": [
            {"texts": [*map(_number, quantiles)], "places": [*map(place, quantiles)]}
            for quantiles in one.by_class
        ],
    }


def _number(value: float) -> str:
    """Writes a number with three digits."""
    return _signed(f"{float(f'{value:.3g}'):,g}")


def _decimal(value: float) -> str:
    """Writes a number with two decimals."""
    return _signed(f"{value:.2f}".replace("-0.00", "0.00"))


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _show_effect(one: Effect) -> Fields:
    return {
        "name": one.name,
        "epsilon": _decimal(one.epsilon),
        "p": _show_p(one.p),
        "within": "" if one.within is None else _decimal(one.within),
        "p_speakers": _show_p(one.p_speakers),
        "means": [
            {
                "text": "" if mean is None else _signed(f"{mean:+.1f}"),
                "step": 0 if mean is None else min(10, round(6 * abs(mean))),
                "is_low": mean is not None and mean < 0,
            }
            for mean in one.means
        ],
    }


_SHAPES = {
    "circle": "M-1.1 0a1.1 1.1 0 1 0 2.2 0a1.1 1.1 0 1 0 -2.2 0z",
    "square": "M-1-1H1V1H-1z",
    "triangle-up": "M0-1.3L1.2 .9H-1.2z",
    "diamond": "M0-1.4L1.2 0L0 1.4L-1.2 0z",
    "triangle-down": "M0 1.3L1.2-.9H-1.2z",
    "cross": "M-.4-1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4z",
    "x": "M-1.2-.7L-.7-1.2L0-.5L.7-1.2L1.2-.7L.5 0L1.2 .7L.7 1.2L0 .5L-.7 1.2L-1.2 .7L-.5 0z",
    "star": "M0-1.5L.4-.5L1.4-.4L.7 .3L.9 1.3L0 .8L-.9 1.3L-.7 .3L-1.4-.4L-.4-.5z",
    "circle-open": "M-.5 0a.5 .5 0 1 0 1 0a.5 .5 0 1 0 -1 0z",
}
"""Paths of the symbols of a palette, around 0, in hundredths of a plane."""


def _list_colourings(found: Exploration, utterances: pd.DataFrame) -> Iterator[Group]:
    """Yields the class, speaker, gender and part where they differ, and words if they are few."""
    if found.classes.labels:
        yield Group(found.classes.target, found.classes.labels, found.classes.numbers)
    for name in ("speaker", "gender", "split", "text"):
        counts = utterances[name].value_counts()
        if name == "text" and len(counts) > MOST_COLOURS:
            continue
        if name != found.classes.target and 1 < len(counts) < len(utterances):
            kept = [str(label) for label in counts.index[:MOST_COLOURS]]
            numbers = utterances[name].map({label: n for n, label in enumerate(kept)}).fillna(-1)
            labels = tuple(_shorten(label, _MOST_SHOWN) for label in kept)
            yield Group(name, labels, numbers.to_numpy(dtype=np.int64))


def _draw_space(space: Space, numbers: np.ndarray) -> Fields:
    points = [
        {"x": x, "y": round(100 - y, 1), "number": number, "shape": _shape_of(number)}
        for (x, y), number in zip(space.points, numbers[list(space.rows)].tolist(), strict=True)
    ]
    return {
        "encoder": space.encoder,
        "points": points,
        "likeness": space.likeness,
        "within": "" if space.within is None else _percent(space.within),
        "num_doubts": len(space.doubts),
    }


def _shape_of(number: int) -> str:
    return "circle-open" if number < 0 else look_of(number).symbol


def _as_data(found: Exploration, utterances: pd.DataFrame, colourings: Sequence[Group]) -> Fields:
    """Returns what the script colours planes by, and what a point is."""
    names = utterances["utterance_id"].to_numpy()
    return {
        "shapes": [_shape_of(number) for number in range(max(MOST_COLOURS, len(LOOKS) * 3))],
        "spaces": [
            {
                "names": names[list(space.rows)].tolist(),
                "codes": [one.numbers[list(space.rows)].tolist() for one in colourings],
            }
            for space in found.spaces
        ],
        "labels": [one.labels for one in colourings],
    }


def _list_odd(found: Exploration, utterances: pd.DataFrame, most: int) -> dict[int, list[str]]:
    """Returns why clips are odd, by row, those with most reasons first."""
    whys: dict[int, list[str]] = {}
    for kind in found.odd:
        for row, value in list(zip(kind.rows, kind.values, strict=True))[:most]:
            whys.setdefault(row, []).append(f"{kind.kind}: {value}")
    labels = found.classes.labels
    for space in found.spaces:
        for doubt in space.doubts[:most]:
            whys.setdefault(doubt.row, []).append(
                f"neighbours by {space.encoder}: {labels[doubt.voted]} {_percent(doubt.share)}, "
                f"{labels[doubt.number]} {_percent(doubt.own)}"
            )
    return dict(sorted(whys.items(), key=lambda pair: -len(pair[1])))


def _show_odd(
    utterances: pd.DataFrame, row: int, whys: Sequence[str], sounds: Mapping[str, str]
) -> Fields:
    one = utterances.iloc[row]
    text = one["text"] if isinstance(one["text"], str) else ""
    return {
        "name": one["utterance_id"],
        "speaker": one["speaker"],
        "whys": whys,
        "text": _shorten(text, _MOST_LETTERS),
        "row": row,
        "sound": sounds.get(str(one["utterance_id"]), ""),
    }


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _shorten_list(names: Sequence[str], count: int) -> str:
    named = names[:_MOST_NAMED]
    more = f" and {count - len(named):,} more" if count > len(named) else ""
    return ", ".join(map(str, named)) + more
