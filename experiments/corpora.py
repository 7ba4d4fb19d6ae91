"""The corpora that can be read, and whether a copy of one is whole.

    python -m experiments.corpora
    python -m experiments.corpora check --corpus ravdess --root RAVDESS
    python -m experiments.corpora check --corpus meld --root MELD.Raw --decode

The first command lists them: languages, hours, utterances, speakers, classes, licence, and where to
ask for them. A check counts utterances, speakers, emotions and parts of the split, next to what
is published, lists speakers that are absent and recordings that are missing or broken, and reports
how long they are and how the classes are spread over the speakers. If a corpus names recordings and
none can be read, it ends with an error. Reading headers takes seconds for a thousand recordings;
--decode reads every sample of each.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from conversation_emotion.settings.corpus import CorpusName, find_corpus
from experiments.framework.commandline import launch


@dataclass(frozen=True, kw_only=True)
class ListSettings:
    """Lists the corpora; this is what happens without a command."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """Checks a copy against the published counts, and looks at every recording."""

    corpus: CorpusName

    root: Path | None = None
    """Folder of the corpus as distributed, or the manifest file; demo needs none."""

    decode: bool = False
    """Read every sample of each recording, not only the headers."""

    output: Path | None = None
    """Folder for report.md and report.json; without it, mlruns/corpora/ and the corpus' name."""

    def __post_init__(self) -> None:
        find_corpus(self.corpus)


@dataclass(frozen=True, kw_only=True)
class CorporaConfig:
    """What to do."""

    command: (
        Annotated[ListSettings, tyro.conf.subcommand("list", prefix_name=False)]
        | Annotated[CheckSettings, tyro.conf.subcommand("check", prefix_name=False)]
    ) = field(default_factory=ListSettings)


def run(config: CorporaConfig) -> None:
    """Lists the corpora, or checks a copy of one."""
    if isinstance(config.command, CheckSettings):
        _check(config.command)
    else:
        from conversation_emotion.corpora.facts import show_facts

        show_facts()


def _check(settings: CheckSettings) -> None:
    """Reads the copy, checks it, writes the report and prints what was found.

    Raises:
        ValueError: None of its recordings can be read.
    """
    from conversation_emotion.corpora import load_corpus
    from conversation_emotion.corpora.check import check_copy, measure_recordings
    from conversation_emotion.corpora.facts import load_facts
    from conversation_emotion.corpora.report import summarise, write_report

    facts = load_facts().get(settings.corpus)
    utterances = load_corpus(settings.corpus, settings.root)
    findings = check_copy(
        utterances,
        facts,
        corpus=settings.corpus,
        root=str(settings.root or "in the package"),
        recordings=measure_recordings(utterances, decode=settings.decode),
    )
    folder = settings.output or Path("mlruns") / "corpora" / settings.corpus
    write_report(findings, facts, folder)
    print("\n".join(summarise(findings, facts)))
    print(f"report: {folder / 'report.md'}, {folder / 'report.json'}")
    findings.require_recordings()


main = partial(launch, run, CorporaConfig, "corpora")

if __name__ == "__main__":
    main()
