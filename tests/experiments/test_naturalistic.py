"""MSP-Podcast's protocol of natural speech, on a release's own layout."""

import pytest

from conversation_emotion.settings.recognition import SERSettings
from experiments.framework.commandline import parse
from experiments.ser import EXPERIMENT
from tests.command_line import usage_error
from tests.text_encoders.test_text_encoders import save_model
from tests.tracked import in_folder

FLAGS = ["--corpus=msp-podcast", "--root=.", "--protocol=naturalistic", "--modality=text"]
FLAGS += ["--text-encoder=tokens:bert", "--epochs=2"]
LETTERS = {"A": "Angry", "C": "Contempt", "D": "Disgust", "F": "Fear"}
LETTERS |= {"H": "Happy", "N": "Neutral", "S": "Sad", "U": "Surprise"}


def list_rows():
    """Yields turn, consensus, part and what five raters name: each class thrice in each part."""
    number = 0
    for part in ("Train", "Development", "Test1", "Test2"):
        for letter, name in [*LETTERS.items(), ("X", None), ("O", "Other")] * 3:
            number += 1
            named = [name] * 4 + ["Neutral"] if name else ["Sad", "Happy", "Angry", "Fear", "Sad"]
            yield f"MSP-PODCAST_{number:04}_0001", letter, part, named


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The tables of a run on a release with consensus, raters and transcripts, by name."""
    folder, kept = tmp_path_factory.mktemp("podcast"), []
    save_model(folder / "bert")
    for name in ("Labels", "Audios", "Transcripts"):
        (folder / name).mkdir()
    rows = [*list_rows()]
    columns = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"
    lines = [f"{file}.wav,{mark},4,4,4,{file[-9:-5]},Male,{part}" for file, mark, part, _ in rows]
    (folder / "Labels/labels_consensus.csv").write_text("\n".join([columns, *lines]))
    raters = [
        f"{file}.wav,W{number},{name},{name}"
        for file, _, _, named in rows
        for number, name in enumerate(named)
    ]
    columns = "FileName,WorkerID,EmoClass_Major,EmoClass_Second"
    (folder / "Labels/labels_detailed.csv").write_text("\n".join([columns, *raters]))
    for file, mark, *_ in rows:
        (folder / f"Transcripts/{file}.txt").write_text(f"so {mark}")
    with in_folder(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "experiments.framework.experiment.show_table",
            lambda table, runs, name=None: kept.append((name, table)),
        )
        settings = parse(SERSettings, FLAGS)
        EXPERIMENT.run(settings)
        (task,) = EXPERIMENT._prepare(settings).values()
        yield dict(kept), task


def test_the_official_parts_are_scored_in_eight_classes(shown):
    tables, task = shown
    (row,) = [row for row in tables[None].rows if row.kind == "model"]
    assert row.n == 24  # three of each class in Test1; neither other nor those without agreement
    assert len(task.labels) == 8
    assert task.select_by == "macro_f1"


def test_turns_without_agreement_are_learned_from_by_their_votes(shown):
    _, task = shown
    assert len(task.inputs.windows.select(task.dataset.split.folds[0].train)) == 24
    assert len(task.inputs.training.select(task.dataset.split.folds[0].train)) > 24


def test_votes_are_scored_as_distributions_beside_what_a_rater_reaches(shown):
    tables, _ = shown
    assert {"jsd", "kl", "brier"} <= {*tables["votes"].columns}
    assert any(row.name.startswith("ceiling") for row in tables["votes"].rows)
    assert any("Test1" in note for note in tables[None].notes)


def test_what_the_protocol_fixes_is_not_given_otherwise(capsys):
    with pytest.raises(ValueError, match="--protocol naturalistic sets --select-by to macro_f1"):
        EXPERIMENT.rows(parse(SERSettings, [*FLAGS, "--select-by=wa"]))
    assert "naturalistic" in usage_error(SERSettings, ["--protocol=natural"], capsys)
