"""MLflow's pages in a real browser: a sweep's trials are listed, and fusion strategies compared.

CONVERSATION_EMOTION_SCREENSHOTS names a folder for the pictures of the README, docs/images.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.tracking import server
from tests.fusion_runs import EXPERIMENT, TRIALS, track_trials
from tests.tracked import find_runs

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

WITHOUT_ASSISTANT = """
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
    localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
"""MLflow opens a panel over half the page for whoever comes first."""

PATIENCE = 90_000
"""Milliseconds that anything may take to appear, on a busy computer."""

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason="no chromium; apt-get install chromium"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[str]:
    """Trials of two fusion strategies, and the address at which they are shown."""
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(folder / "cache"))
        track_trials(folder)
        with server.serve("127.0.0.1", find_free_port()) as pages:
            yield pages.address


def find_free_port() -> int:
    """Finds a port of its own, so that no other server answers in the place of this one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def page(store):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE)
        page.add_init_script(WITHOUT_ASSISTANT)
        experiment = find_runs(EXPERIMENT).parents[0].info.experiment_id
        page.goto(f"{store}/#/experiments/{experiment}/runs")
        yield page
        browser.close()


def take_picture(page, name: str) -> None:
    if folder := os.environ.get("CONVERSATION_EMOTION_SCREENSHOTS"):
        page.mouse.move(0, 0)
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        picture.quantize(128).save(Path(folder) / f"{name}.png", optimize=True)


def share_of_colour(element) -> float:
    """Tells how much of the left half of an element, as it is seen, is neither white nor grey."""
    picture = np.asarray(Image.open(BytesIO(element.screenshot())).convert("RGB")).astype(int)
    half = picture[:, : picture.shape[1] // 2]
    return float((half.max(axis=2) - half.min(axis=2) > 60).mean())


def find_row(page, name: str):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def unfold_sweep(page) -> None:
    """Shows the trials below their sweep, which MLflow folds at first."""
    sweep = str(find_runs(EXPERIMENT).parents[0].info.run_name)
    find_row(page, sweep).get_by_role("button").first.click()
    for number in range(len(TRIALS)):
        find_row(page, f"trial-{number}").wait_for()


def compare(page, *numbers: int) -> None:
    """Selects trials and opens the page that compares them."""
    unfold_sweep(page)
    for number in numbers:
        find_row(page, f"trial-{number}").locator(".ag-selection-checkbox input").check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("heading", name=f"Comparing {len(numbers)} Runs").wait_for()


def test_the_trials_of_a_sweep_are_listed_below_it(page):
    assert find_row(page, "trial-0").count() == 0
    unfold_sweep(page)
    shown = page.get_by_role("link").filter(has_text="trial-").all_inner_texts()
    assert sorted(shown) == [f"trial-{number}" for number in range(len(TRIALS))]
    take_picture(page, "sweep")


def test_parallel_coordinates_show_fusion_strategies_and_their_scores(page):
    compare(page, *range(len(TRIALS)))
    plot = page.locator(".js-plotly-plot")
    plot.locator(".axis-title", has_text="valid/uar").wait_for()
    titles = plot.locator(".axis-title").all_text_contents()
    assert titles == ["dropout", "fusion", "hidden_size", "valid/uar"]
    strategies = plot.locator(".tick").all_text_contents()
    assert {"early", "late"} <= set(strategies)
    deadline = time.monotonic() + PATIENCE / 1000
    while share_of_colour(plot) < 0.001 and time.monotonic() < deadline:
        page.wait_for_timeout(100)  # lines are pixels, for which there is no element to wait
    assert share_of_colour(plot) >= 0.001
    take_picture(page, "parallel-coordinates")


def test_two_fusion_strategies_stand_side_by_side_with_their_confusions(page):
    assert {TRIALS[0].fusion, TRIALS[1].fusion} == {"early", "late"}
    compare(page, 0, 1)
    setting = page.get_by_role("row").filter(has_text="fusion")
    assert setting.first.inner_text().split() == ["fusion", "early", "late"]
    page.get_by_text("confusions.png").dispatch_event("click")  # the list scrolls below bars
    pictures = page.locator("img[src^=blob], img[src*=confusions]")
    page.wait_for_function(
        "() => [...document.images].filter(i => i.naturalWidth > 200).length >= 2"
    )
    pictures.first.scroll_into_view_if_needed()
    take_picture(page, "confusions")
