"""The public API: the lines of the README as they stand, in an empty folder."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np

import conversation_emotion as ce
from tests.hums import write_hum

README = Path(__file__).parents[1] / "README.md"


def test_the_import_loads_nothing_until_it_is_used():
    code = "import sys, conversation_emotion as ce; print({'torch', 'pandas'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
    assert {"load_corpus", "extract", "cross_validate", "Predictor"} <= {*dir(ce)}


def test_the_lines_of_the_readme_work_as_they_stand(workplace):
    for tone, name in enumerate(("a.wav", "b.wav")):
        write_hum(Path(name), tone, seed=tone)
    section = README.read_text("utf-8").split("## In Python\n")[1]
    lines = re.match(r"\n((?: {4}.*\n|\n)+)", section)
    assert lines is not None
    Path("lines.py").write_text(re.sub("^    ", "", lines[1], flags=re.MULTILINE), "utf-8")

    found = runpy.run_path("lines.py")

    assert len(found["corpus"]) == 1105
    features = found["features"]
    assert [len(times) for times in features.times] == [x.shape[1] for x in features.states]
    scores = found["results"].to_frame().query("metric == 'uar'").set_index("kind")
    assert scores["score"]["model"] > 0.5 > scores["score"]["baseline"]
    predictions = found["model"].predict(["a.wav"])
    probabilities = predictions.filter(like="p_").to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert f"p_{predictions['emotion'][0]}" in predictions
