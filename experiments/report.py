"""Writes the page of a run, or one that compares several: strategies, settings, folds.

    python -m experiments.report RUN
    python -m experiments.report RUN --also FORECASTS --output epc.html
    python -m experiments.report RUN RUN RUN --output fusion.html

RUN is the id of a finished run, as its table names it. The page is one file that needs no network.
That of one run has its scores beside published ones, confusions, reliability and dialogues, which
are shown with their words, their true and predicted emotions; --also adds the predictions of
another run with the same classes, such as the forecasts of epc with --horizon 1 beside what it
recognises with --horizon 0. Whoever has the file has the words of the corpus. Several runs, of the
same classes, are compared by their scores on test, training by training.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from conversation_emotion.settings.flags import check_at_least
from experiments.framework.commandline import launch


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Which runs, and what of them."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Id of the run, or of several to compare."""

    also: str | None = None
    """Id of a run with the same classes, whose predictions of the dialogues are shown too."""

    dialogues: int = 3
    """Test dialogues to show, from the worst predicted to the best, evenly spaced."""

    output: Path = Path("report.html")
    """File to write; one that exists is replaced."""

    def __post_init__(self) -> None:
        check_at_least(self, 0, "dialogues")
        if not self.runs or len(set(self.runs)) < len(self.runs):
            raise ValueError(f"a run or more are needed, all different; got {len(self.runs)}")
        if len(self.runs) > 1 and (self.also is not None or self.dialogues != 3):
            flag = "--also" if self.also is not None else "--dialogues"
            raise ValueError(f"{flag} is for the page of one run, got {len(self.runs)} runs")
        if self.output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--output must end in .html, got {self.output}")


def run(settings: ReportSettings) -> None:
    """Reads the runs, and writes their page."""
    from conversation_emotion.figures.comparison_page import render_comparison
    from conversation_emotion.figures.documents import write_page
    from conversation_emotion.figures.run_page import render_run
    from experiments.tracking.finished import compare_runs, read_run
    from experiments.tracking.store import find_store

    find_store()
    first, *others = settings.runs
    if others:
        page = render_comparison(compare_runs(settings.runs))
    else:
        also = None if settings.also is None else read_run(settings.also)
        page = render_run(read_run(first), num_dialogues=settings.dialogues, also=also)
    write_page(settings.output, page)
    print(f"written: {settings.output}")


main = partial(launch, run, ReportSettings, "report")

if __name__ == "__main__":
    main()
