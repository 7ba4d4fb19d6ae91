"""Hostile and broken files end in a result or in one sentence that names them, whatever they are.

pytest -m fuzz -n0                     # a few of each kind
FUZZ_CASES=2100 pytest -m fuzz -n0     # the table of docs/explanations/robustness.md
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.kinds import INTRUDED, KINDS, File, Kind
from tests.fuzz.trials import Outcome, Reader

pytestmark = pytest.mark.fuzz

NUM_CASES = int(os.environ.get("FUZZ_CASES", "100"))
"""Of all kinds together, beside the fixed ones."""


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    process = Reader("tests.fuzz.readers")
    yield process
    process.close()


@pytest.mark.parametrize("title", KINDS)
def test_each_file_gives_a_result_or_one_sentence_that_names_it(
    tmp_path, reader, title, record_property
):
    kind = KINDS[title](tmp_path)
    outcomes: list[Outcome] = []
    findings: dict[str, str] = {}

    def attempt(case: File) -> None:
        root = tmp_path / f"{kind.reader}-{len(outcomes)}"
        kind.lay_out(root)
        file = root / case[0]
        file.write_bytes(case[1])
        outcome = reader.read(kind.reader, file, root)
        if (tmp_path / INTRUDED).exists():
            (tmp_path / INTRUDED).unlink()
            outcome = outcome._replace(end="finding", message="runs code")
        outcomes.append(outcome)
        if outcome.end == "finding":
            findings.setdefault(outcome.message, str(file))  # which is kept, to look at
        else:
            shutil.rmtree(root)

    for case in kind.fixed:
        attempt(case)
    draw(kind, attempt)
    ends = Counter(outcome.end for outcome in outcomes)
    seconds, megabytes = (
        max(getattr(outcome, name) for outcome in outcomes) for name in ("seconds", "megabytes")
    )
    record_property(
        "fuzz", (title, len(outcomes), ends["result"], ends["refused"], seconds, megabytes)
    )
    assert not findings, "\n".join(f"{file}: {message}" for message, file in findings.items())


def draw(kind: Kind, attempt: Callable[[File], None]) -> None:
    """Attempts as many cases as the kind has of `NUM_CASES`, the same at each call."""
    if num := round(NUM_CASES * kind.share / 1000):
        given(kind.cases)(
            settings(
                max_examples=num,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            )(attempt)
        )()
