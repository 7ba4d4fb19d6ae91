"""How true are the probabilities and prediction sets of a finished run on speakers never seen?

    python -m experiments.ser --corpus emodb --root EMODB --register NAME   # or any other run
    python -m benchmarks.calibration RUN

Reads the predictions of the run, and calibrates test in both ways of the suite: each fold and seed
by its valid part, as a fold's best model is; and each speaker by the others on test, in ten groups
where they are many, as a model of all targets is (`--train-on-all`). In neither is anything of the
speakers that are scored, but where the protocol shares them between valid and test. Sets that hold
one class cover as often as the most probable one is right; a larger coverage is then the test.
"""

import argparse
from collections.abc import Iterator

import pandas as pd

from conversation_emotion.evaluation.calibration import score_calibration
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.training.calibration import calibrate_test
from experiments.tracking.finished import read_systems

TOLERANCE = 0.03
"""Coverage that is missed by more is marked."""

COVERAGES = (0.9, 0.95)


def tabulate(predictions: pd.DataFrame, labels: tuple[str, ...]) -> Iterator[str]:
    """Yields the lines of a table in Markdown."""
    test = predictions[predictions["part"] == "test"]
    before = score_calibration(test, labels)["ece"]
    right = (test["predicted"] == test["target"]).mean()
    yield (
        f"{before.n:,} targets of {test['speaker'].nunique()} speakers, {right:.1%} of them right; "
        f"ECE before {_write(before)}"
    )
    yield "\n| calibrated by | ECE | stated coverage | coverage | classes in a set |"
    yield "|---|---|---|---|---|"
    for on_all, name in ((False, "valid"), (True, "other speakers")):
        for stated in COVERAGES:
            found = calibrate_test(predictions, labels, stated, on_all=on_all)
            if found is None:
                yield f"| {name} | test has one speaker | | | |"
                break
            scores = score_calibration(found, labels)
            missed = abs(scores["coverage"].score - stated) > TOLERANCE
            yield (
                f"| {name} | {_write(scores['ece'])} | {stated:.0%} | "
                f"{_write(scores['coverage'])}{' (!)' if missed else ''} | "
                f"{scores['set_size'].score:.2f} |"
            )


def _write(found: Interval) -> str:
    return f"{found.score:.1%} [{found.low:.1%}, {found.high:.1%}]"


def main() -> None:
    """Prints the table of a run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="id of the run of a whole table's row")
    systems = read_systems([parser.parse_args().run])
    (predictions,) = systems.predictions.values()
    print(*tabulate(predictions, systems.labels), sep="\n")


if __name__ == "__main__":
    main()
