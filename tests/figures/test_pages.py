"""Pages and pictures: whole in one file, safe with any name, with sound up to a limit."""

import base64
import io
import json
import re
from typing import Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import soundfile

from conversation_emotion.evaluation.metrics import Interval
from conversation_emotion.evaluation.separation import Separation
from conversation_emotion.figures.clips import encode_clips
from conversation_emotion.figures.layer_curves import CurvePanel, LayerCurve, draw_layer_curves
from conversation_emotion.figures.pages import make_curve_figure, make_plane_figure, write_page
from conversation_emotion.figures.palette import LOOKS, look_of
from conversation_emotion.figures.planes import Colouring, Plane, draw_planes

EVIL = "</script><img src=x onerror=alert(1)>$_{"


def read_block(page: str, name: str):
    """What a script of data within a page holds."""
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def traces_of(figure: go.Figure) -> list[Any]:
    """The traces of a picture; plotly's own types know nothing of them."""
    return list(cast(Any, figure).data)


@pytest.fixture
def planes():
    colouring = Colouring(EVIL, (EVIL, "b"), np.array([0, 1, -100, 1]))
    points = np.arange(8, dtype=np.float32).reshape(4, 2)
    return [Plane(EVIL, points, {EVIL: Separation(0.25, 1.5, 3)})], [colouring]


@pytest.fixture
def panels():
    layers = {0: Interval(0.3, 0.2, 0.4, 0.0, 9), 1: Interval(0.6, 0.5, 0.75, 0.0, 9)}
    lines = {"weighted sum": Interval(0.55, 0.5, 0.6, 0.0, 9)}
    single = {0: Interval(0.45, 0.4, 0.5, 0.0, 9)}
    curves = [LayerCurve("_deep$", layers, lines), LayerCurve(EVIL, single, {})]
    return [CurvePanel("n = 9", curves, 0.25)]


def test_no_name_of_a_corpus_becomes_part_of_the_page(tmp_path, planes):
    hover = pd.DataFrame({"utterance_id": [EVIL, "u1", "u2", "u3"]})
    figure = make_plane_figure(planes[0], planes[1], hover)
    write_page(tmp_path / "p.html", EVIL, [EVIL], figure, {EVIL: "T2dn"})
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "<img" not in page.replace("<img>", "")
    assert read_block(page, "clips") == {EVIL: "T2dn"}
    shown = json.dumps(read_block(page, "figure"))
    assert "<img" not in shown.replace(json.dumps(EVIL)[1:-1], "")  # only the key of the clip
    assert "&lt;img src=x" in shown


def test_a_page_loads_nothing_and_offers_no_upload(tmp_path, panels):
    write_page(tmp_path / "p.html", "title", [], make_curve_figure(panels, "UAR"))
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", page)
    assert 'modeBarButtonsToRemove: ["sendChartToCloud"]' in page
    assert "Plotly.newPlot" in page
    assert len(page) > 1_000_000, "plotly is within the page"


def test_a_point_names_its_utterance_and_what_is_known_of_it(planes):
    hover = pd.DataFrame({"utterance_id": ["u0", "u1", "u2", "u3"], "speaker": list("wxyz")})
    traces = traces_of(make_plane_figure(planes[0], planes[1], hover))
    assert [trace.customdata.tolist() for trace in traces] == [[["u0"]], [["u1"], ["u3"]], [["u2"]]]
    assert traces[1].text == (
        "utterance_id: u1<br>speaker: x",
        "utterance_id: u3<br>speaker: z",
    )
    assert traces[1].x.tolist() == [2, 6]
    assert traces[2].name == "no class"


def test_curves_show_scores_with_their_intervals(panels):
    layers, line, single = traces_of(make_curve_figure(panels, "UAR"))
    assert layers.y == pytest.approx((30, 60))
    assert layers.error_y.array == pytest.approx((10, 15))
    assert layers.error_y.arrayminus == pytest.approx((10, 10))
    assert line.y == pytest.approx((55, 55))
    assert single.x == (0, 1)
    assert single.y == pytest.approx((45, 45))


def test_pictures_take_any_name(tmp_path, planes, panels):
    draw_planes(planes[0], planes[1], EVIL).savefig(tmp_path / "planes.png")
    figure = draw_layer_curves(panels, "UAR")
    figure.savefig(tmp_path / "curves.png")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[0] == r" _deep\$"
    assert names[-1] == "majority"
    assert len(names) == 4


def test_classes_look_different_beyond_the_colours_there_are():
    looks = [(look_of(number).colour, look_of(number).marker) for number in range(40)]
    assert len(set(looks)) == 40
    assert [look_of(number) for number in range(len(LOOKS))] == list(LOOKS)


@pytest.fixture
def recordings(tmp_path) -> pd.DataFrame:
    """Three recordings of a second, the second one broken."""
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.wav"
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
        soundfile.write(path, tone, 16_000)
        rows.append({"utterance_id": f"u{number}", "audio": str(path)})
    (tmp_path / "1.wav").write_bytes(b"RIFF")
    return pd.DataFrame(rows).assign(offset=0.5, duration=0.25, channel=np.nan)


def test_clips_are_the_sound_of_their_utterance(recordings):
    clips = encode_clips(recordings, np.array([2, 1, 0]), 2**20)
    assert list(clips.sounds) == ["u2", "u0"]
    assert list(clips.failures) == ["u1"]
    assert "1 cannot be read: u1" in clips.describe(2**20)
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(clips.sounds["u2"])))
    assert len(sound) / rate == pytest.approx(0.25, abs=0.01)
    assert np.abs(np.fft.rfft(sound)).argmax() * rate / len(sound) == pytest.approx(440, abs=4)


def test_whatever_a_library_raises_on_one_clip_is_noted(recordings, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("conversation_emotion.figures.clips.soundfile.write", fail)
    clips = encode_clips(recordings, np.arange(3), 2**20)
    assert not clips.sounds
    assert clips.failures["u0"].endswith(": RuntimeError: no room")


def test_clips_beyond_the_limit_stay_silent_and_are_counted(recordings):
    whole = encode_clips(recordings, np.array([0]), 2**20)
    clips = encode_clips(recordings, np.array([0, 2, 0]), whole.num_bytes)
    assert list(clips.sounds) == ["u0"]
    assert (clips.num_bytes, clips.num_left_out) == (whole.num_bytes, 2)
    assert "2 left silent by the limit of 0 MiB" in clips.describe(0)
