"""What is kept of scored utterances."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conversation_emotion.training.scored import list_scored
from conversation_emotion.utterances.table import build_utterances
from tests.small_tasks import make_dataset


@pytest.mark.parametrize(
    ("root", "names"),
    [
        ("CORPUS", ["disc/one.wav", "disc/two.wav"]),
        ("CORPUS/table.csv", ["disc/one.wav", "disc/two.wav"]),
        ("OTHER", ["one.wav", "two.wav"]),
        (None, ["one.wav", "two.wav"]),
    ],
)
def test_words_are_kept_and_recordings_are_named_within_their_corpus(tmp_path, root, names):
    (tmp_path / "CORPUS" / "disc").mkdir(parents=True)
    (tmp_path / "CORPUS" / "table.csv").touch()
    files = [str(tmp_path / "CORPUS" / "disc" / name) for name in ("one.wav", "two.wav")]
    rows = [
        {"utterance_id": f"u{n}", "dialogue_id": "d", "order": n, "speaker": "ann", **content}
        for n, content in enumerate(
            [
                {"text": "Yes.", "audio": files[0], "offset": 0.5, "duration": 1.0},
                {"text": "Context alone.", "audio": files[0]},
                {"audio": files[1]},
                {"text": "No."},
            ]
        )
    ]
    dataset = make_dataset(build_utterances(rows, "toy"), np.zeros(4, dtype=np.int64))
    dataset = dataset._replace(root=None if root is None else tmp_path / Path(root))
    found = list_scored(dataset, pd.DataFrame({"utterance_id": ["u3", "u0", "u2", "u0"]}))
    assert found["utterance_id"].tolist() == ["u0", "u2", "u3"]
    assert found["text"].fillna("").tolist() == ["Yes.", "", "No."]
    assert found["audio"].fillna("").tolist() == [*names, ""]
    assert found["offset"].fillna(-1).tolist() == [0.5, -1, -1]
