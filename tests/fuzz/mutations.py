"""Ways to break files: their bytes, lines of text, what JSON holds, and the header of weights.

Each is a strategy of Hypothesis, so that the same number of cases gives the same cases.
"""

import json
import struct
from collections.abc import Sequence
from typing import cast

from hypothesis import strategies as st

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

LIES = (0, 1, 2, 100, 255, 0x7FFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Sizes, counts, and rates that a header may claim."""

NAN = struct.pack("<ff", float("nan"), float("inf"))

WORDS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "1e-320",
        "0x10",
        "1_000",
        "1,5",
        "²",
        "٣",
    ),
    *("9" * 20, "9" * 5000, "=1+1", '=HYPERLINK("http://x")', "@SUM(A1)", "None", "NULL", "\0"),
    *("../../etc/passwd", "/etc/passwd", "C:\\a.wav", "file:///etc/passwd", "http://x/a.wav", "~"),
    *(
        "a/" * 2000,
        "x" * 5000,
        "\u202eabc\u202c",
        "\u05e9\u05dc\u05d5\u05dd",
        "\U0001f622",
        "e\u0301",
    ),
    *(
        "\ufeff",
        "\u2028",
        "\x0b",
        "\x1b[31m",
        "<script>alert(1)</script>",
        '"',
        "'",
        ",",
        ";",
        "\t",
    ),
    *(
        "{",
        "}",
        "[" * 50_000,
        '{"a":' * 5_000,
        "-->",
        "00:00:01,000",
        "99:99:99,999",
        "%s%n",
        "{0}",
    ),
)
"""Words of cells, names, and fields."""

VALUES: tuple[Json, ...] = (
    *(None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**30, 2**63),
    *(100_000, 1 << 31, 0.1, -0.5, 3),
    *([], {}, [[]], [1, 2], {"a": 1}, "", "x", "nan", "\ud800", "\U0001f622", "../../etc/passwd"),
    *(["a", "a", "a"], [None], [{}], "9" * 5000, {"": {"": {}}}),
)
"""Values of JSON in the place of others."""


@st.composite
def broken_bytes(draw: st.DrawFn, bases: Sequence[bytes]) -> bytes:
    """A file with some of its bytes changed, cut off, repeated, or from another; often in front."""
    content = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(1, 4))):
        is_header = draw(st.booleans())
        place = draw(st.integers(0, min(len(content), 128) if is_header else len(content)))
        size = draw(st.integers(1, 64))
        kind = draw(
            st.sampled_from(("lie", "lie", "flip", "cut", "drop", "repeat", "splice", "nan"))
        )
        before, after = content[:place], content[place:]
        if kind == "lie":
            width, order = draw(st.sampled_from(("<H", ">H", "<I", ">I", "<Q", ">Q"))), LIES
            number = draw(st.sampled_from(order)) % (1 << 8 * struct.calcsize(width))
            lie = struct.pack(width, number)
            content = before + lie + after[len(lie) :]
        elif kind == "flip":
            content = before + bytes([draw(st.integers(0, 255))]) + after[1:]
        elif kind == "cut":
            content = before
        elif kind == "drop":
            content = before + after[size:]
        elif kind == "repeat":
            content = before + after[:size] * draw(st.integers(2, 50)) + after
        elif kind == "splice":
            content = before + draw(st.sampled_from(bases))[place:]
        else:
            content = before + NAN + after[len(NAN) :]
    return content


@st.composite
def broken_text(draw: st.DrawFn, bases: Sequence[str]) -> bytes:
    """A text with lines lost, repeated, or moved, and words replaced; in any encoding."""
    lines = draw(st.sampled_from(bases)).split("\n")
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, max(len(lines) - 1, 0)))
        kind = draw(
            st.sampled_from(("word", "word", "word", "drop", "repeat", "move", "insert", "any"))
        )
        if not lines or kind == "insert":
            lines.insert(place, draw(st.sampled_from(WORDS)))
        elif kind == "word":
            lines[place] = _replace_word(draw, lines[place])
        elif kind == "drop":
            del lines[place]
        elif kind == "repeat":
            lines[place:place] = [lines[place]] * draw(st.integers(1, 30))
        elif kind == "move":
            lines.insert(draw(st.integers(0, len(lines))), lines.pop(place))
        else:
            lines[place] = draw(st.text(max_size=40))
    text = "\n".join(lines)
    encoding = draw(st.sampled_from(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "latin-1", "cp1252")))
    content = text.encode(encoding, errors="replace")
    return draw(broken_bytes([content])) if draw(st.integers(0, 9)) == 0 else content


def _replace_word(draw: st.DrawFn, line: str) -> str:
    """Replaces what lies between two marks that divide fields, wherever these are."""
    ends = [
        0,
        *(place for place, letter in enumerate(line) if letter in ' \t,;:=[]"<>-'),
        len(line),
    ]
    number = draw(st.integers(0, len(ends) - 2))
    start = ends[number] + (number > 0)
    return line[:start] + draw(st.sampled_from(WORDS)) + line[ends[number + 1] :]


@st.composite
def broken_json(draw: st.DrawFn, bases: Sequence[str]) -> bytes:
    """A document of JSON whose values are replaced, lost, or have other names; rarely its bytes."""
    document = json.loads(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(1, 3))):
        document = _change(draw, document)
    text = json.dumps(document)
    if draw(st.integers(0, 7)) == 0:
        return draw(st.one_of(broken_bytes([text.encode()]), broken_text([text])))
    return text.encode()


def _change(draw: st.DrawFn, value: Json) -> Json:
    """Changes something at a random depth of a value."""
    is_here = draw(st.integers(0, 4)) == 0
    if not value or is_here or not isinstance(value, list | dict):
        return draw(st.sampled_from(VALUES))
    kind = draw(st.sampled_from(("in", "in", "in", "in", "drop", "other")))
    if isinstance(value, list):
        place = draw(st.integers(0, len(value) - 1))
        new = [] if kind == "drop" else [_change(draw, value[place])] * (1 + (kind == "other"))
        return [*value[:place], *new, *value[place + 1 :]]
    name = draw(st.sampled_from(list(value)))
    rest = {key: one for key, one in value.items() if key != name}
    if kind == "drop":
        return cast(Json, rest)
    new_name = draw(st.sampled_from(WORDS)) if kind == "other" else name
    return cast(
        Json, {**rest, new_name: value[name] if kind == "other" else _change(draw, value[name])}
    )


@st.composite
def broken_weights(draw: st.DrawFn, bases: Sequence[bytes]) -> bytes:
    """Safetensors whose header lies of names, kinds, shapes, and places, or of its own size."""
    content = draw(st.sampled_from(bases))
    size = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + size].decode(), content[8 + size :]
    kind = draw(st.sampled_from(("header", "header", "shape", "numbers", "bytes")))
    if kind == "bytes":
        return draw(broken_bytes(bases))
    if kind == "numbers":
        place = draw(st.integers(0, max(len(data) - 8, 0)))
        data = data[:place] + NAN + data[place + 8 :]
        return content[: 8 + size] + data
    changed = _reshape(draw, header) if kind == "shape" else draw(broken_json([header]))
    told = draw(st.sampled_from((len(changed),) * 6 + LIES))
    return told.to_bytes(8, "little") + changed + data


def _reshape(draw: st.DrawFn, header: str) -> bytes:
    """Gives a weight another shape of as many numbers, or the name of another."""
    weights = json.loads(header)
    names = [name for name in weights if name != "__metadata__"]
    name = draw(st.sampled_from(names))
    if draw(st.booleans()):
        shape = weights[name]["shape"]
        weights[name]["shape"] = draw(st.sampled_from((shape[::-1], [1, *shape], [*shape, 1])))
    else:
        weights[draw(st.sampled_from(WORDS))] = weights.pop(name)
    return json.dumps(weights).encode()
