"""The demo in a browser: an upload gives its emotion, errors are sentences, users do not mix."""

import gc
import json
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from experiments.models import demo, demo_pages
from tests.chromium import find_violations, needs_chromium, open_chromium
from tests.saved_models import LABELS, save_untrained

httpx = pytest.importorskip("httpx")  # Gradio brings it along, whose own import takes seconds

pytestmark = [
    pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed"),
    pytest.mark.filterwarnings("ignore"),  # it uses what pandas is about to give up
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The demo of an untrained model, which takes recordings of up to six seconds."""
    model = save_untrained(
        tmp_path_factory.mktemp("model"),
        UtteranceModelSettings(hidden_size=8),
        FeatureSettings(modality="speech", speech_encoder="fbank"),
    )
    settings = demo.DemoSettings(model=str(model), max_minutes=0.1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
            patch.setenv(name, "")  # both are put back afterwards
        with demo.serve(settings) as address:
            yield address
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Gradio leaves loops to the collector
        gc.collect()


def write_tone(path: Path, seconds: float) -> Path:
    soundfile.write(path, 0.1 * np.sin(np.arange(int(seconds * 16_000)) / 10), 16_000)
    return path


def ask(address: str, place: str, user: str) -> dict:
    """Asks for the page of a file as Gradio's page does, and returns what comes back."""
    api, file = f"{address}gradio_api", {"path": place, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file], "fn_index": 0, "session_hash": user}
    httpx.post(f"{api}/queue/join", json=body).raise_for_status()
    answer = httpx.get(f"{api}/queue/data", params={"session_hash": user}, timeout=60).text
    events = [json.loads(line.removeprefix("data: ")) for line in answer.splitlines() if line]
    return next(event for event in events if event["msg"] == "process_completed")


def ask_for(address: str, file: Path) -> str:
    """Uploads a file, and returns the HTML that comes back."""
    with file.open("rb") as sound:
        places = httpx.post(f"{address}gradio_api/upload", files={"files": sound}).json()
    return ask(address, places[0], file.stem)["output"]["data"][0]


@pytest.fixture
def page():
    with open_chromium() as browser:
        yield browser.new_page()


@needs_chromium
def test_an_upload_gives_its_emotion_and_nothing_is_asked_elsewhere(address, page, tmp_path):
    asked = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(address)
    button = page.get_by_role("button", name="Show who felt what")
    button.click()
    assert page.get_by_role("alert").inner_text() == "choose a recording first, or record one"
    page.locator("input[type=file]").set_input_files(write_tone(tmp_path / "tone.wav", 2))
    page.locator("audio").wait_for(state="attached")
    button.click()
    frame = page.frame_locator("iframe[title='Timeline of tone.wav']")
    emotion = frame.locator("tr[data-turn='0'] .felt").inner_text()
    assert emotion.split()[-1] in LABELS
    frame.locator(".turn").click()
    assert emotion.split()[-1] in frame.locator(".now").inner_text()
    assert not [one for one in asked if not one.startswith((address, "data:", "blob:"))]
    assert find_violations(page) == []


def test_users_at_once_get_each_their_own(address, tmp_path):
    files = [write_tone(tmp_path / f"user{number}.wav", number) for number in range(1, 5)]
    with ThreadPoolExecutor() as users:
        answers = list(users.map(lambda file: ask_for(address, file), files))
    for number, answer in enumerate(answers, start=1):
        assert f"0:0{number} long together" in answer
        assert set(re.findall(r"user\d\.wav", answer)) == {f"user{number}.wav"}


def test_nothing_of_an_upload_is_kept(address, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "cache"))
    assert "iframe" in ask_for(address, write_tone(tmp_path / "kept.wav", 1))
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_predicted_is_a_sentence(address, tmp_path):
    answer = ask_for(address, write_tone(tmp_path / "long.wav", 7))
    assert answer.startswith(
        '<p role="alert">long.wav has 0.1 minutes and 0.2 MiB, the demo takes 0.1 and 50; cut it'
    )
    (tmp_path / "text.wav").write_text("no sound")
    assert re.match(
        r'<p role="alert">text\.wav: does not decode', ask_for(address, tmp_path / "text.wav")
    )


def test_a_request_names_no_file_or_address_but_an_upload(address, tmp_path):
    secret = str(write_tone(tmp_path / "secret.wav", 1))
    for number, place in enumerate([secret, "/etc/passwd", "http://127.0.0.1:9/secret.wav"]):
        answer = ask(address, place, f"thief{number}")
        assert not answer["success"]
        assert "iframe" not in json.dumps(answer)


def test_a_page_is_shown_within_a_frame_that_reads_nothing_of_the_one_around_it():
    shown = demo_pages.frame('<p class="a">{{evil}} ${evil}</p>', '"><b>')
    assert 'sandbox="allow-scripts"' in shown
    assert 'title="Timeline of &quot;&gt;&lt;b&gt;"' in shown
    assert "{{" not in shown
    assert "${" not in shown


def test_a_demo_without_gradio_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    pages = demo_pages.open_pages(str, "", max_bytes=1, port=None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'conversation-emotion\[demo\]'"):
        pages.__enter__()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", 70_000, "--port must lie between 1 and 65535, got 70000"),
        ("max_mib", 0, "--max-mib must be above 0, got 0"),
        ("max_minutes", float("nan"), "--max-minutes must be above 0, got nan"),
    ],
)
def test_limits_that_make_no_sense_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        demo.DemoSettings(**{name: value})
