"""Results tables: as text that is whole at any width, as data that come back equal."""

import dataclasses
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from conversation_emotion.evaluation.metrics import ClassScore, Interval
from conversation_emotion.evaluation.rendering import format_interval
from conversation_emotion.evaluation.results import (
    ResultsTable,
    RowResult,
    compare_rows,
    describe_bounds,
    describe_classes,
    describe_failures,
    describe_protocol,
    describe_sources,
    name_metrics,
    with_pooled,
)

METRICS = ("uar", "macro_f1", "ccc_mean", "wa", "weighted_f1", "compactness_emotion")
LONG_NAME = "hierarchical GRU with late fusion of " + "one encoder and " * 8 + "another"
PATH = "/models/of/somebody/" + "deep/" * 30 + "emotion2vec"
COMMAND = f"python -m experiments.epc --modality speech+text --root 'my corpora/{'x' * 90}' " + (
    "--learning-rate 0.001 " * 8
)


def make_interval(number: int) -> Interval:
    """A score that tells which cell it belongs to."""
    return Interval(0.5 + number / 1000, 0.4 + number / 1000, 0.6 + number / 1000, 0.019, 1234)


def make_table(num_metrics: int) -> ResultsTable:
    names = METRICS[:num_metrics]
    rows = [
        RowResult(
            name=name,
            metrics={metric: make_interval(10 * place + n) for n, metric in enumerate(names)},
            num_folds=5,
            num_seeds=2,
            n=1234,
            command=COMMAND,
        )
        for place, name in enumerate(("short", LONG_NAME, PATH))
    ]
    return ResultsTable(
        title=f"Emotion [in conversation]: {LONG_NAME}",
        columns=names,
        rows=tuple(rows),
        notes=(f"encoders of the folds: {PATH}", f"note: {LONG_NAME}"),
    )


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("num_metrics", range(1, 7))
def test_a_table_is_whole_at_any_width(width, num_metrics):
    table = make_table(num_metrics)
    text = table.render(width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines if "xxxxx" not in line)
    for row in table.rows:
        for metric, interval in row.metrics.items():
            score, bounds = format_interval(interval, metric).split(" [")
            assert re.search(rf"(^|  ){re.escape(score)}( |$)", text, re.MULTILINE), score
            assert f"[{bounds}" in text
    names = "".join(row.name for row in table.rows).replace(" ", "")
    for block in text.split("──\n")[1:]:
        lines = block.split("\n\n")[0].splitlines()
        assert "".join(re.split("  +", line)[0] for line in lines).replace(" ", "") == names
    notes = text[: text.index("python -m")].split("\n\n")[-1]
    assert "".join(notes.split()) == "".join("".join(table.notes).split())


@pytest.mark.parametrize("width", [80, 100, 160])
def test_names_are_repeated_with_each_block_and_wrap_at_words(width):
    text = make_table(6).render(width)
    num_blocks = text.count("──\n")
    assert len(re.findall("^short", text, re.MULTILINE)) == num_blocks
    assert (num_blocks > 1) == (width < 160)
    words = {word for line in text.splitlines() for word in line.split()}
    assert {"hierarchical", "conversation]:", "[in"} <= words


def test_intervals_are_below_their_scores_only_where_a_line_is_too_short():
    table = make_table(4)
    short = dataclasses.replace(table, rows=table.rows[:1])
    assert "50.0 ± 1.9 [40.0, 60.0]  50.1 ± 1.9 [40.1, 60.1]  " in short.render(160)
    assert re.search(r"^short +50\.0 ± 1\.9 +50\.1 ± 1\.9", short.render(80), re.MULTILINE)
    assert re.search(r"^ +\[40\.0, 60\.0\] +\[40\.1", short.render(80), re.MULTILINE)
    assert short.render(10) == short.render(80)


def test_commands_can_be_pasted_from_the_table():
    text = make_table(1).render(80)
    start = text.index("python -m")
    pasted = text[start:].replace("\\\n", " ")
    assert shlex.split(pasted) == shlex.split(COMMAND)
    assert text.count("python -m") == 1


def test_cells_have_the_digits_of_their_metric_and_no_deviation_of_one_training():
    interval = Interval(0.5921, 0.5432, 0.6171, 0.0191, 9)
    once = RowResult(name="a", metrics={"uar": interval, "ccc": interval}, num_folds=1, num_seeds=1)
    assert once.cell("uar") == ("59.2", "[54.3, 61.7]")
    assert once.cell("ccc") == ("0.592", "[0.543, 0.617]")
    assert once.cell("wa") == ("", "")
    twice = dataclasses.replace(once, num_seeds=2)
    assert twice.cell("uar") == ("59.2 ± 1.9", "[54.3, 61.7]")
    assert format_interval(interval, "uar") == "59.2 ± 1.9 [54.3, 61.7]"
    assert format_interval(interval, "difference") == "+59.2 [+54.3, +61.7]"


def test_numbers_without_an_interval_are_plain_and_published_ones_as_printed():
    values = {"uar": 0.5678, "ccc": 0.4, "p_value": 0.0312, "wer": float("nan")}
    row = RowResult(name="a", kind="published", values=values)
    written = [row.cell(metric).score for metric in values]
    assert written == ["56.78", "0.400", "0.031", "undefined"]
    assert dataclasses.replace(row, kind="reference").cell("uar") == ("56.8", "")


def test_the_first_head_names_what_is_in_percent():
    def head(*columns: str) -> str:
        return ResultsTable(title="t", columns=columns, rows=()).render(160).splitlines()[2]

    assert head("uar", "wa").startswith("in percent  ")
    assert head("ccc", "mae").split() == ["CCC", "absolute", "error"]
    assert head("difference", "p_value").startswith("difference in percent  ")


def full_table() -> ResultsTable:
    row = RowResult(
        name="model",
        task="emotion",
        task_version=2,
        settings={"learning_rate": "0.001"},
        metrics={"wa": make_interval(0), "uar": make_interval(1)},
        values={"weight_in_sum": 0.25},
        per_class={"happy": ClassScore(0.5, 0.4, 20)},
        num_folds=5,
        num_seeds=1,
        n=1234,
    )
    published = RowResult(name="theirs", kind="published", values={"uar": 0.6}, source="paper")
    return ResultsTable(title="t", columns=("uar",), rows=(row, published), notes=("one",))


def test_json_comes_back_equal_and_in_order():
    table = full_table()
    back = ResultsTable.from_json(table.to_json())
    assert back == table
    assert list(back.rows[0].metrics) == ["wa", "uar"]
    assert isinstance(back.rows[0].metrics["wa"], Interval)


def test_json_keeps_numbers_that_are_none():
    odd = Interval(float("nan"), float("-inf"), float("inf"), 0.0, 3)
    row = RowResult(
        name="a",
        metrics={"uar": odd},
        values={"ccc": float("nan")},
        per_class={"sad": ClassScore(float("nan"), 0.0, 0)},
    )
    text = ResultsTable(title="t", columns=("uar",), rows=(row,)).to_json()
    (back,) = ResultsTable.from_json(text).rows
    np.testing.assert_equal(back.metrics["uar"], odd)
    np.testing.assert_equal((back.values["ccc"], back.per_class["sad"].recall), (np.nan, np.nan))
    assert ResultsTable.from_json(text).to_json() == text
    assert not re.search(r": (NaN|-?Infinity)", text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema_version": 1', '"schema_version": 2', "schema version 2, expected 1"),
        ('"num_folds": 5', '"num_folds": "5"', "saved: rows.0.num_folds: .*valid integer"),
        ('"score": 0.5,', '"score": "0.5",', "metrics.wa.score: .*valid number, got '0.5'"),
        ('"uar": {', '"ua": {', "no metric 'ua'"),
        ('"kind": "published"', '"kind": "printed"', "'published' or 'reference'"),
        ('"n": 1234,', '"n": 1234, "num": 1,', "rows.0.num: "),
    ],
)
def test_json_of_another_form_is_an_error(old, new, message):
    text = full_table().to_json()
    assert old in text
    with pytest.raises(ValueError, match=message):
        ResultsTable.from_json(text.replace(old, new), "saved")


@pytest.mark.parametrize(
    "text",
    ["[]", "[" * 100_000, "", '{"title": ' + "9" * 5_000 + "}"],
    ids=["list", "deep", "empty", "digits"],
)
def test_a_file_that_is_no_table_of_results_is_named(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=f"{tmp_path / 'results.json'}: .*(version|no JSON)"):
        ResultsTable.read(tmp_path / "results.json")


def test_a_row_takes_only_the_types_that_it_declares():
    with pytest.raises(ValidationError, match="n\n.*valid integer"):
        RowResult(name="a", n=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no metric 'accuracy'; choose from uar, macro_f1, wa"):
        ResultsTable(title="t", columns=("accuracy",), rows=())


def test_the_frame_has_a_row_for_each_number():
    frame = full_table().to_frame()
    found = frame[["name", "metric", "score", "low", "n"]].values.tolist()
    assert found[:2] == [["model", "wa", 0.5, 0.4, 1234], ["model", "uar", 0.501, 0.401, 1234]]
    assert frame["metric"].tolist() == ["wa", "uar", "weight_in_sum", "uar"]
    assert frame["score"].tolist()[2:] == [0.25, 0.6]
    assert frame["low"].isna().tolist() == [False, False, True, True]
    assert frame["n"].isna().tolist() == [False, False, False, True]
    assert frame["source"].iloc[-1] == "paper"
    assert frame["settings"].iloc[0] == '{"learning_rate": "0.001"}'


def test_a_folder_has_all_files_and_a_failure_leaves_the_old_ones(tmp_path, monkeypatch):
    table, folder = full_table(), tmp_path / "results"
    table.write(folder)
    names = {"results.json", "results.parquet", "table.txt"}
    assert {path.name for path in folder.iterdir()} == names
    assert ResultsTable.from_json((folder / "results.json").read_text("utf-8")) == table
    kept = pd.read_parquet(folder / "results.parquet")
    pd.testing.assert_frame_equal(kept, table.to_frame(), check_dtype=False)
    assert (folder / "table.txt").read_text("utf-8") == table.render(100)
    before = {name: (folder / name).read_bytes() for name in names}

    def fail(self: ResultsTable) -> str:
        raise OSError("no space left")

    monkeypatch.setattr(ResultsTable, "to_json", fail)
    with pytest.raises(OSError, match="no space left"):
        dataclasses.replace(table, title="another").write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_scores_are_named_as_the_tracking_keeps_them():
    assert name_metrics("test", {"uar": Interval(0.5, 0.4, 0.6, 0.1, 9)}) == {
        "test/uar": 0.5,
        "test/uar_ci_low": 0.4,
        "test/uar_ci_high": 0.6,
        "test/uar_std": 0.1,
        "test/num_targets": 9,
    }


def test_notes_describe_protocol_classes_failures_and_sources():
    over = pd.DataFrame({"utterance_id": range(4), "dialogue_id": list("aabb")})
    bounds = describe_bounds(over)
    lines = describe_protocol(
        "k-fold", "a fifth", ["shared"], num_folds=5, num_seeds=1, n=1234, bounds=bounds
    )
    assert list(lines) == [
        "mean ± deviation over 5 folds x 1 seed [95 % interval over 2 dialogues], n = 1,234",
        "protocol k-fold; valid: a fifth",
        "note: shared",
    ]
    n = {"meld": 2610, "tess": 3}
    once = describe_protocol("split", "own", num_folds=1, num_seeds=1, n=n, bounds="low, high")
    assert next(once) == "score of 1 fold x 1 seed [low, high], n: meld 2,610, tess 3"
    assert describe_classes(["happy", "sad"], {"bored": 8}, 2) == (
        "classes: happy, sad; other emotions, not predicted: 8 bored; 2 unlabelled"
    )
    assert list(describe_failures([])) == []
    (failures,) = describe_failures([f"c{n:02d}" for n in range(12)])
    assert failures.startswith("12 clips could not be read and count as silence: c00, c01, ")
    assert failures.endswith("c09, ...")
    rows = full_table().rows
    assert list(describe_sources([*rows, rows[1]])) == ["published: paper"]


def test_bounds_name_their_clusters_and_count_each_once():
    table = pd.DataFrame({"utterance_id": list("abcabc"), "dialogue_id": list("abcabc")})
    assert describe_bounds(table) == "95 % interval over 3 utterances"
    named = ["speaker 03", "speaker 03", "dialogue 7"] * 2
    assert describe_bounds(table.assign(cluster=named)) == (
        "95 % interval over 1 speaker and 1 dialogue"
    )


def test_the_pooled_uar_is_shown_next_to_the_mean_where_there_are_several_folds():
    metrics = {"uar": make_interval(0), "pooled_uar": make_interval(1)}
    rows = [RowResult(name="a", metrics=metrics, num_folds=folds) for folds in (1, 2)]
    assert with_pooled(("wa", "uar", "ccc"), rows) == ("wa", "uar", "pooled_uar", "ccc")
    assert with_pooled(("wa", "uar"), rows[:1]) == ("wa", "uar")
    assert with_pooled(("wa",), rows) == ("wa",)


@pytest.mark.parametrize(("num_seeds", "has_deviation"), [(1, False), (2, True)])
def test_folds_that_are_pooled_deviate_over_seeds_alone(num_seeds, has_deviation):
    metrics = {"uar": make_interval(0), "pooled_uar": make_interval(1)}
    row = RowResult(name="m", metrics=metrics, num_folds=5, num_seeds=num_seeds)
    assert "±" in row.cell("uar").score
    assert ("±" in row.cell("pooled_uar").score) == has_deviation


def test_differences_have_their_p_alone_and_corrected_by_holm():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"part": "test", "fold": "f", "seed": 0, "utterance_id": range(200)})
    table = table.assign(dialogue_id=table["utterance_id"] // 4, target=rng.integers(0, 2, 200))
    tables = {
        name: table.assign(predicted=np.where(rng.random(200) < share, table["target"], 0))
        for name, share in (("a", 0.9), ("b", 0.7), ("c", 0.65))
    }
    found = compare_rows(tables, ["x", "y"])
    p_values = {row.name: row.values["p_value"] for row in found.rows}
    least = min(p_values, key=lambda name: p_values[name])
    corrected = {row.name: row.values["p_holm"] for row in found.rows}
    assert found.columns == ("difference", "p_value", "p_holm")
    assert corrected[least] == pytest.approx(3 * p_values[least])
    assert all(p_values[name] <= corrected[name] <= 1 for name in p_values)
    assert "over 50 dialogues" in found.notes[0]
