"""The demo corpus: synthesised dialogues whose best reachable score is computed.

Ten speakers in five sessions, speech by espeak-ng in which rate, pitch, range and loudness follow
the emotion, our own sentences, and emotions that follow a documented process (`process`): a
speaker's inertia and contagion by the partner. Predicting the emotion of the first utterance of
the next turn, nobody can expect more than `process.CEILING_UAR` (72.3 %), not even with the true
emotions of all turns before; on the shipped table that best rule reaches 72.7 %. Naming the emotion
of the last turn reaches 40.7 % in expectation and 37.2 % on the shipped table.

Votes are those of made-up raters, by the model that `raters` states.

``data/README.md`` describes the files; ``python -m conversation_emotion.corpora.demo.make`` makes
them anew.
"""

from pathlib import Path

from conversation_emotion.settings.corpus import CorpusSource
from conversation_emotion.utterances.labels import FOUR_CLASSES, own_names
from conversation_emotion.utterances.table import Utterances, build_utterances

DATA = Path(__file__).parent / "data"
"""The shipped table and recordings."""

TABLE = "utterances.csv"


def load_demo(root: Path | None = None) -> Utterances:
    """Reads the demo corpus from a folder that `make` has written, or the shipped one.

    Raises:
        FileNotFoundError: The folder lacks the table or a recording that the table names.
    """
    folder = (DATA if root is None else root).resolve()
    path = folder / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"demo: no {TABLE} in {folder}; omit the root for the shipped data, or make "
            "the corpus with python -m conversation_emotion.corpora.demo.make --output DIR"
        )
    import pandas as pd

    from conversation_emotion.corpora.demo.raters import rate  # NumPy, which help does not need

    table = pd.read_csv(path)
    if absent := [name for name in table["audio"].unique() if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"demo: {len(absent)} recordings are missing in {folder}, first {absent[0]!r}"
        )
    table["audio"] = [str(folder / name) for name in table["audio"]]
    table["offset"] = table["start"]
    table["duration"] = (table["end"] - table["start"]).round(4)
    table["language"] = "en"
    ratings = table[["valence", "arousal", "dominance"]].to_numpy().tolist()
    table["votes"] = rate(table["utterance_id"], table["text"], ratings)
    rows: list[dict[str, object]] = table.to_dict("records")  # pyright: ignore[reportAssignmentType]
    return build_utterances(rows, corpus="demo")


CORPUS = CorpusSource(
    load=load_demo,
    root="the folder of a demo corpus, or nothing for the one that comes with the package",
    needs_root=False,
    labels="4-class",
    split="leave-one-session-out",
    label_maps={"4-class": own_names(FOUR_CLASSES)},
)
