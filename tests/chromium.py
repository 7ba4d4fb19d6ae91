"""An installed chromium for tests of pages, and axe-core, which checks them for accessibility."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

needs_chromium = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason="no chromium; apt-get install chromium"
)


@contextmanager
def open_chromium() -> Iterator:
    """Opens a browser of its own."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def find_violations(page) -> list[str]:
    """Returns what axe-core finds in a page and the pages within it."""
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    for frame in page.frames:
        frame.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]
