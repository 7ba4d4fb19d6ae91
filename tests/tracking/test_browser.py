"""MLflow's pages in a real browser: the way from `experiments.ui` to the comparison of strategies.

CONVERSATION_EMOTION_SCREENSHOTS names a folder for the pictures of the documentation, docs/images;
CONVERSATION_EMOTION_SWEEP the folder of a sweep of epc to show in place of a small one.
"""

import os
import re
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pytest
from mlflow.entities import Run
from PIL import Image

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.recognition import EPCSettings
from conversation_emotion.settings.training import TrainingSettings
from experiments import ui
from experiments.sweep import __main__ as sweep
from experiments.sweep.settings import SweepSettings
from experiments.tracking import server
from tests.chromium import CHROMIUM, needs_chromium
from tests.small_corpus import write_corpus
from tests.tracked import find_runs

WITHOUT_ASSISTANT = """
    localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
    localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
"""
"""MLflow opens a panel over half the page for whoever comes first."""

PATIENCE = 90_000
"""Milliseconds that anything may take to appear, on a busy computer."""

NUM_TRIALS = 4
"""Of the small sweep."""

pytestmark = [pytest.mark.slow, needs_chromium]


class Shown(NamedTuple):
    """A page of the browser, what `experiments.ui` prints, and the sweep's trials that ended."""

    page: Any
    address: str
    places: list[ui.Place]
    trials: list[Run]


def run_sweep(folder: Path) -> None:
    """Sweeps epc over a small corpus; the store is that of the current folder."""
    write_corpus(folder, num_train=10, num_valid=4)
    settings = EPCSettings(
        data=CorpusSettings(corpus="manifest", root=folder / "manifest.csv", labels="all"),
        features=FeatureSettings(speech_encoder="mfcc"),
        training=TrainingSettings(epochs=2, seeds=2),
    )
    own = SweepSettings(trials=NUM_TRIALS, top=1, storage="sweep.journal", pruner="none", seed=3)
    sweep.run("experiments.epc", own, settings)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Iterator[Shown]:
    """A real sweep, and a browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    given = os.environ.get("CONVERSATION_EMOTION_SWEEP")
    folder = Path(given) if given else tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        if not given:
            patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
            run_sweep(folder)
        trials = [run for run in find_runs("sweep-epc").children if run.info.status == "FINISHED"]
        places = ui.find_places(ui.UISettings())
        with server.serve("127.0.0.1", None) as pages, playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(PATIENCE)
            page.add_init_script(WITHOUT_ASSISTANT)
            yield Shown(page, pages.address, places, trials)
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


def rank_truly(shown: Shown) -> list[str]:
    """Ranks the trials by the mean of what their trainings scored, the best first."""
    client = find_runs("sweep-epc").client
    means = {}
    for run in shown.trials:
        history = client.get_metric_history(run.info.run_id, "trainings/score")
        means[str(run.info.run_name)] = fmean(point.value for point in history)
    return sorted(means, key=lambda name: -means[name])


def test_the_first_address_ranks_the_trials_as_their_means_do(shown):
    runs, _ = shown.places
    assert runs.what == "runs of sweep-epc"
    shown.page.goto(f"{shown.address}{runs.path}")
    names = {str(run.info.run_name) for run in shown.trials}
    links = shown.page.get_by_role("link").filter(has_text=re.compile(r"^\d+ .* · "))
    links.first.wait_for()
    deadline = time.monotonic() + PATIENCE / 1000
    while len(names & {*links.all_inner_texts()}) < min(len(names), 8):
        assert time.monotonic() < deadline, links.all_inner_texts()
        shown.page.wait_for_timeout(100)
    listed = [name for name in links.all_inner_texts() if name in names]
    assert listed == rank_truly(shown)[: len(listed)]
    assert {"valid/uar", "fusion"} <= {*shown.page.get_by_role("columnheader").all_inner_texts()}
    take_picture(shown.page, "sweep")


def test_the_second_address_compares_fusion_strategies_by_their_means(shown):
    _, comparison = shown.places
    assert comparison.what == f"{len(shown.trials)} of them compared"
    shown.page.goto(f"{shown.address}{comparison.path}")
    plot = shown.page.locator(".js-plotly-plot, svg").filter(has_text="valid/uar").first
    plot.wait_for()
    drawn = plot.text_content()
    assert drawn.index("fusion") < drawn.index("valid/uar")
    strategies = {run.data.params["fusion"] for run in shown.trials}
    assert len(strategies) > 1
    deadline = time.monotonic() + PATIENCE / 1000
    while share_of_colour(plot) < 0.001 and time.monotonic() < deadline:
        shown.page.wait_for_timeout(100)  # lines are pixels: there is no element to wait for
    assert share_of_colour(plot) >= 0.001
    take_picture(shown.page, "parallel-coordinates")


def test_clicks_lead_from_mlflows_first_page_to_the_runs(shown):
    page = shown.page
    page.goto(shown.address)
    page.get_by_text("Model training", exact=True).click()
    page.get_by_role("link", name="Experiments", exact=True).first.click()
    page.get_by_role("link", name="sweep-epc", exact=True).click()
    page.get_by_role("heading", name="Runs").wait_for()
    sweep = page.get_by_role("link", name="epc", exact=True)
    sweep.first.wait_for()
    assert sweep.count() == 1  # the run of the sweep, and of no trial by that name
    assert "/runs" in page.url
