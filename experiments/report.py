"""Writes the page of a run: scores beside published ones, confusions, reliability, dialogues.

    python -m experiments.report RUN
    python -m experiments.report RUN --also FORECASTS --output epc.html

RUN is the id of a finished run, as its table names it. The page is one file that needs no network.
Dialogues are shown with their words, their true and predicted emotions; --also adds the predictions
of another run with the same classes, such as the forecasts of epc with --horizon 1 beside what it
recognises with --horizon 0. Whoever has the file has the words of the corpus.
"""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from conversation_emotion.settings.flags import check_at_least
from experiments.commandline import launch


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Which run, and what of it."""

    run: Annotated[str, tyro.conf.Positional]
    """Id of the run."""

    also: str | None = None
    """Id of a run with the same classes, whose predictions of the dialogues are shown too."""

    dialogues: int = 3
    """Test dialogues to show, from the worst predicted to the best, evenly spaced."""

    output: Path = Path("report.html")
    """File to write; one that exists is replaced."""

    def __post_init__(self) -> None:
        check_at_least(self, 0, "dialogues")
        if self.output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--output must end in .html, got {self.output}")


def run(settings: ReportSettings) -> None:
    """Reads the run, and writes its page."""
    from conversation_emotion.figures.documents import write_page
    from conversation_emotion.figures.run_page import render_run
    from experiments.tracking.finished import read_run
    from experiments.tracking.store import find_store

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    find_store()
    also = None if settings.also is None else read_run(settings.also)
    page = render_run(read_run(settings.run), num_dialogues=settings.dialogues, also=also)
    write_page(settings.output, page)
    print(f"written: {settings.output}")


main = partial(launch, run, ReportSettings, "report")

if __name__ == "__main__":
    main()
