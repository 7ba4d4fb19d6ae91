"""The page of predictions in a browser: no request, sound from a click, keys, accessibility."""

import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from conversation_emotion.inference.page import render_page, write_page
from conversation_emotion.inference.saved_model import find_model, read_card
from conversation_emotion.settings.page import PageSettings
from tests.chromium import find_violations, needs_chromium, open_chromium

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A page of two speakers with three turns, an evil word among them."""
    folder = tmp_path_factory.mktemp("page")
    recording = str(folder / "talk.wav")
    soundfile.write(recording, 0.1 * np.sin(np.arange(6 * 16_000) / 10), 16_000)
    table = pd.DataFrame(
        {
            "recording": recording,
            "start": [0.0, 2.0, 4.0],
            "end": [1.5, 4.0, 6.0],
            "speaker": ["A", "B", "A"],
            "text": ["hello", "</script><script>alert(1)</script>", "{{well}}"],
            "emotion": ["anger", "sadness", None],
            "confidence": [0.9, 0.4, np.nan],
            "next_other": ["sadness", "fear", "calm"],
            "valence": [-0.5, -0.6, np.nan],
            "activation": [0.6, -0.3, np.nan],
            "problem": ["", "", "no audio"],
        }
    )
    explanation = pd.DataFrame(
        {
            "row": [0, 0, 0, 1],
            "kind": ["time", "time", "word", "word"],
            "source": ["speech", "speech", "text", "text"],
            "turn": pd.array([None] * 4, dtype="Int64"),
            "start": [0.0, 0.1, np.nan, np.nan],
            "end": [0.1, 1.5, np.nan, np.nan],
            "text": [None, None, "hello", "</script><script>alert(1)</script>"],
            "attribution": [0.3, -0.1, 0.2, -0.2],
            "share": [0.75, -0.25, 1.0, -1.0],
            "target": "anger",
            "problem": "",
        }
    )
    card = read_card(find_model("default") / "config.json")
    about = "# a model\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    page = render_page(table, card, PageSettings(), about=about, explanation=explanation)
    write_page(folder / "page.html", page)
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, address):
    """Opens the page, and lists what it asks the network for and complains of."""

    def open_page(**options):
        page, heard = browser.new_page(**options), []
        page.on("request", lambda one: heard.append(one.url))
        page.on("console", lambda one: heard.append(one.text))
        page.on("pageerror", lambda one: heard.append(str(one)))
        page.goto(address)
        return page, heard

    return open_page


def wait_for_time(page, seconds: float) -> float:
    """Waits until the sound was played up to a time; the page's policy forbids to wait in it."""
    deadline, now = time.monotonic() + 30, 0.0
    while now <= seconds and time.monotonic() < deadline:
        page.wait_for_timeout(50)
        now = page.evaluate("document.querySelector('audio').currentTime")
    return now


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened, address):
    page, heard = opened()
    page.locator(".turn").nth(1).wait_for()
    assert [one for one in heard if not one.startswith("data:")] == [address]
    assert (
        page.locator("td.words")
        .nth(1)
        .inner_text()
        .startswith("</script><script>alert(1)</script>")
    )
    bars = page.locator(".moments rect")
    assert [bars.nth(n).get_attribute("class") for n in range(2)] == ["for", "against"]
    assert bars.nth(1).locator("title").text_content() == "\N{MINUS SIGN}25 %"


@pytest.mark.parametrize("button", [".turn.e7", "tr[data-turn='1'] .play"])
def test_a_click_plays_from_the_begin_of_the_turn_and_another_pauses(opened, button):
    page, _ = opened()
    page.locator(button).click()
    assert 2.05 < wait_for_time(page, 2.05) < 4
    assert page.locator(".now").inner_text().startswith("0:02, B, sadness 40 %")
    page.locator(button).click()
    page.wait_for_function("document.querySelector('audio').paused")


def test_arrow_keys_go_from_turn_to_turn_which_are_one_stop_of_the_tab_key(opened):
    page, _ = opened()
    page.locator("[data-zoom='2']").focus()
    page.keyboard.press("Tab")
    names = []
    for _ in range(3):
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
        page.keyboard.press("ArrowRight")
    assert [name.split(",")[1].strip() for name in names] == ["A", "B", "A"]
    assert names[1].startswith("0:02, B, sadness 40 %")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "wide"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_is_accessible_and_fits_wide_and_narrow_screens(opened, width, scheme):
    page, _ = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert find_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
