"""The pages of the documentation that the code itself holds."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from benchmarks import reproduce
from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.results import ResultsTable, RowResult
from docs import generate
from experiments import find_commands
from tests.test_readme import DOCUMENTS, ROOT


@pytest.mark.parametrize("place", generate.PAGES)
def test_a_generated_page_is_what_the_code_says(place):
    written = (generate.HERE / place).read_text("utf-8")
    assert generate.PAGES[place]() == written, "run python docs/generate.py"


def test_every_command_is_shown_with_its_options():
    _, *sections = generate.write_commands().split("\n## ")
    shown = {text.partition("\n")[0]: set(re.findall(r"`(--[\w-]+)`", text)) for text in sections}
    assert {*shown} == {*find_commands()}
    assert [name for name, flags in shown.items() if not flags and name != "choose"] == []
    assert shown["sweep"] > {"--trials", "--storage", "--top"}
    assert shown["corpora"] > {"--corpus", "--decode"}


def test_every_table_that_is_kept_has_a_page_and_names_no_folder():
    pages = tomllib.loads((generate.RESULTS / "pages.toml").read_text("utf-8"))["pages"]
    shown = {table["file"] for page in pages for table in page["tables"]}
    assert shown == {file.stem for file in generate.RESULTS.glob("*.json")}


def test_a_row_that_is_run_again_is_compared_with_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, "KEPT", tmp_path)
    row = RowResult(
        name="one",
        command="python -m experiments.ser --root /data/emodb",
        metrics={"uar": Interval(0.5, 0.4, 0.6, 0.0, 10)},
    )
    table = ResultsTable(title="t", columns=("uar",), rows=(row,))
    (tmp_path / "found.json").write_text(table.to_json())
    with pytest.raises(ValueError, match="one: /data/emodb has no name; pass --roots NAME=/data"):
        reproduce.keep(tmp_path / "found.json", "kept", {})
    reproduce.keep(tmp_path / "found.json", "kept", {"EMODB": "/data/emodb/"})
    (kept,) = reproduce.read("kept").rows
    assert kept.command == "python -m experiments.ser --root EMODB"
    for score, verdict in ((0.5, "equal"), (0.55, "+0.0500, inside"), (0.3, "-0.2000, OUTside")):
        found = replace(row, metrics={"uar": Interval(score, 0.4, 0.6, 0.0, 10)})
        assert verdict in reproduce.compare(kept, found)[0]


def list_links(text: str) -> Iterator[str]:
    """Yields the targets of links and pictures."""
    for token in MarkdownIt().enable("table").parse(text):
        for inner in token.children or ():
            yield from (str(inner.attrs[name]) for name in ("href", "src") if name in inner.attrs)


def list_anchors(text: str) -> set[str]:
    """Returns the anchors of the headings of a page, as a code host and the site make them."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_link_is_dead(document):
    dead = []
    for link in list_links(DOCUMENTS[document]):
        place, _, anchor = link.partition("#")
        target = (ROOT / document).parent / place if place else ROOT / document
        if link.startswith(("http://", "https://")):
            continue
        is_dead = not target.exists()
        if anchor and not is_dead:
            is_dead = anchor not in list_anchors(target.read_text("utf-8"))
        dead += [link] * is_dead
    assert dead == []


def test_every_page_is_in_the_navigation_of_the_site():
    text = (ROOT / "zensical.toml").read_text("utf-8")
    pages = {str(page.relative_to(generate.HERE)) for page in generate.HERE.rglob("*.md")}
    assert set(re.findall(r'"([\w/-]+\.md)"', text)) == pages
