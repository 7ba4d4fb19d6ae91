"""The report of a corpus check: a few lines to read at once, Markdown, and all of it as JSON."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from conversation_emotion.corpora.check import Count, Findings, Recordings
from conversation_emotion.corpora.facts import Facts
from conversation_emotion.utterances.audio import MIN_SECONDS

NUM_NAMED = 20
"""How many of a long list the Markdown names; the JSON has them all."""

FEWEST_TO_DOUBT = 20
"""How many recordings it takes to call their lengths odd."""

EQUAL_SHARE = 0.25
"""Share of recordings of one and the same length above which lengths are odd."""

MOST_SPEAKERS = 100
"""How many speakers the Markdown's table of classes has at most."""


def write_report(findings: Findings, facts: Facts | None, folder: Path) -> None:
    """Writes ``report.md`` and ``report.json`` into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(describe(findings, facts))
    (folder / "report.md").write_text(f"{text}\n", encoding="utf-8")
    everything = {
        "published": dataclasses.asdict(facts) if facts else None,
        "found": dataclasses.asdict(findings),
        "differences": findings.differences(),
    }
    (folder / "report.json").write_text(
        json.dumps(everything, indent=2, ensure_ascii=False), encoding="utf-8"
    )


def summarise(findings: Findings, facts: Facts | None) -> Iterator[str]:
    """Yields a few lines on what was found."""
    found = ", ".join(f"{_describe_count(count)} {name}" for name, count in findings.counts.items())
    counts = (*findings.counts.values(), *findings.emotions.values())
    yield f"{findings.corpus}: {found}, {findings.num_unlabelled:,} unlabelled"
    if findings.absent:
        yield f"absent speakers: {name_people(findings.absent)}"
    if findings.unexpected:
        yield f"speakers that are not published: {name_people(findings.unexpected)}"
    yield from _describe_recordings(findings.recordings)
    yield from _doubt_lengths(findings, facts)
    if facts is None:
        yield "no counts are published for this corpus"
    elif differences := findings.differences():
        yield f"other counts than published: {', '.join(differences)} (published by {facts.source})"
    elif any(count.published is not None for count in counts):
        yield f"all counts are equal to the published ones ({facts.source})"


def describe(findings: Findings, facts: Facts | None) -> Iterator[str]:
    """Writes the report as Markdown, line by line."""
    recordings = findings.recordings
    title = facts.title if facts else findings.corpus
    yield from (f"# {title}", "", f"Copy: `{findings.root}`", "")
    yield from (f"- {line}" for line in summarise(findings, facts))
    if facts:
        yield f"- grade of the published counts: {facts.grade}"
    for title, counts in (("Emotions", findings.emotions), ("Official split", findings.splits)):
        if counts:
            rows = [(name, count.found, count.published) for name, count in counts.items()]
            yield from _tabulate(title, ("", "found", "published"), rows)
    broken = [f"{name}: {error}" for name, error in recordings.broken.items()]
    for title, clips in (("Missing recordings", recordings.missing), ("Broken recordings", broken)):
        if clips:
            yield from ("", f"## {title}", "", *(f"- {clip}" for clip in clips[:NUM_NAMED]))
        if len(clips) > NUM_NAMED:
            yield f"- and {len(clips) - NUM_NAMED:,} more, all of them in report.json"
    title, balance = "Classes of each speaker", findings.balance
    if len(balance) > MOST_SPEAKERS:
        yield from ("", f"## {title}", "")
        yield f"{len(balance):,} speakers, all of them in report.json."
    elif balance:
        columns = ("speaker", *next(iter(balance.values())), "all")
        rows = [(name, *counts.values(), sum(counts.values())) for name, counts in balance.items()]
        yield from _tabulate(title, columns, rows)


def name_people(people: Sequence[str]) -> str:
    """Joins names by commas, and those that count on by "to": 13, 14, 15 become 13 to 15."""
    runs: list[list[str]] = []
    for name in people:
        follows = runs and name.isdecimal() and runs[-1][-1].isdecimal()
        if follows and int(name) == int(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    shown = [", ".join(run) if len(run) < 3 else f"{run[0]} to {run[-1]}" for run in runs]
    return _shorten(shown)


def _describe_count(count: Count) -> str:
    return f"{count.found:,} of {count.published:,}" if count.differs else f"{count.found:,}"


def _describe_recordings(recordings: Recordings) -> Iterator[str]:
    manner = "decoded" if recordings.is_decoded else "by their headers"
    if recordings.silent:
        yield f"without a recording: {len(recordings.silent):,} utterances"
    if not recordings.num_named:
        return
    seconds = recordings.seconds.values()
    lengths = (
        f", {recordings.hours:.2f} hours, {min(seconds):.2f} to {max(seconds):.2f} s, "
        f"median {median(seconds):.2f} s"
        if seconds
        else ""
    )
    yield (
        f"recordings, {manner}: {len(seconds):,} can be read{lengths}; "
        f"{len(recordings.missing):,} missing, {len(recordings.broken):,} broken"
    )
    if recordings.missing:
        yield f"missing: {_shorten(recordings.missing)}"
    if recordings.broken:
        yield f"broken: {_shorten([*recordings.broken])}"
    if short := sorted(name for name, length in recordings.seconds.items() if length < MIN_SECONDS):
        yield f"shorter than {1000 * MIN_SECONDS:.0f} ms: {_shorten(short)}"


def _doubt_lengths(findings: Findings, facts: Facts | None) -> Iterator[str]:
    """Yields a line where lengths hint at a copy whose recordings were cut or padded."""
    recordings = findings.recordings
    if len(recordings.seconds) < FEWEST_TO_DOUBT:
        return
    lengths = Counter(round(length, 3) for length in recordings.seconds.values())
    length, count = lengths.most_common(1)[0]
    if count > EQUAL_SHARE * len(recordings.seconds):
        yield (
            f"{count:,} of {len(recordings.seconds):,} recordings last {length:g} s to the "
            "millisecond, as if they were cut or padded"
        )
    hours = facts.hours if facts and not findings.counts["utterances"].differs else None
    if hours is not None and abs(recordings.hours - hours) > 0.05 + 0.05 * hours:
        yield f"other hours than published: {recordings.hours:.2f} of {hours:.1f}"


def _tabulate(
    title: str, columns: Sequence[str], rows: Sequence[tuple[str | int | None, ...]]
) -> Iterator[str]:
    """Yields a table of names with numbers, which may be None."""
    yield from ("", f"## {title}", "")
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for name, *numbers in rows:
        cells = ["" if number is None else f"{number:,}" for number in numbers]
        yield f"| {name} | {' | '.join(cells)} |"


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - NUM_NAMED:,} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more
