"""The board of benchmarks: what its rows say, what failed, its history, and pairs of commits."""

import importlib
import os
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks import growth
from benchmarks.board import against, cases
from benchmarks.board.against import checked_out, pair_rows
from benchmarks.board.cases import CASES, OF_ACCURACY, Measured, run_case
from benchmarks.board.machine import Conditions, Machine
from benchmarks.board.record import Record, append_record, format_seconds, read_history
from benchmarks.board.row import Plan, Row, count_flops, time_turns

ROOT = Path(__file__).parents[2]

MACHINE = Machine(flops=10e9, bandwidth=4e9)


def make_row(name: str = "case", ours=(0.2, 0.4, 0.3), theirs=(0.4, 0.6, 0.6), **fields) -> Row:
    return Row(name=name, per="update", ours=ours, peer="other", theirs=theirs, **fields)


def make_record(*rows: Row, against: str = "", error: str = "") -> Record:
    conditions = Conditions(
        commit="abc1234+",
        date="2026-01-02 03:04",
        processor="Made",
        cores=2,
        threads=2,
        load=(0.5, 1.5),
        versions={"torch": "1", "funasr": "not installed"},
    )
    return Record(
        conditions=conditions,
        machine=MACHINE,
        is_quick=True,
        against=against,
        benchmarks={"cpc_speed": Measured(rows=rows, error=error)},
    )


def test_every_benchmark_is_on_the_board_or_named_as_one_of_accuracy():
    files = {path.stem: path.read_text("utf-8") for path in (ROOT / "benchmarks").glob("[a-z]*.py")}
    of_speed = {name for name, text in files.items() if "\ndef board_rows(plan: Plan)" in text}
    assert of_speed == set(CASES)
    assert set(files) - of_speed == set(OF_ACCURACY)


def test_a_row_shows_medians_ratios_of_turns_and_the_floor():
    # 1e9 / 10e9 s of computing are more than 0.2e9 / 4e9 s of reading; 0.3 is three times 0.1.
    row = make_row(flops=1e9, num_bytes=0.2e9, peak_mb=1234.0)
    assert make_record(row).table().splitlines()[2] == (
        "| cpc_speed | case (update) | 300 ms | other | 600 ms | 2.00 (1.50 to 2.00) | 100 ms | "
        "3.0 | 1,234 |"
    )


def test_bytes_are_the_floor_where_they_take_longer_and_threads_share_the_clock():
    row = make_row(flops=1e9, num_bytes=2e9)
    assert MACHINE.floor(row, threads=2) == pytest.approx(0.5)
    assert MACHINE.floor(make_row(num_bytes=2e9, is_clock=True), threads=2) == pytest.approx(0.25)


def test_a_peer_that_is_missing_and_a_benchmark_that_failed_are_said():
    row = make_row(theirs=(), missing="not installed: pip install funasr")
    text = make_record(row, error="RuntimeError: the sides differ").table()
    assert "| other | not installed: pip install funasr |  |" in text
    assert text.endswith("\ncpc_speed failed: RuntimeError: the sides differ")


def test_conditions_name_load_threads_processor_and_versions():
    text = make_record(make_row()).describe()
    assert text.startswith("Made, 2 cores, 2 threads, load 0.5 before and 1.5 after; commit abc12")
    assert "funasr not installed; one thread does 10 GFLOP and moves 4.0 GB" in text


@pytest.mark.parametrize(
    ("theirs", "slower"),
    [((0.1, 0.2, 0.2), True), ((0.1, 0.2, 0.31), False), ((0.19, 0.39, 0.29), False)],
    ids=["in every pair", "not in every pair", "hardly"],
)
def test_a_commit_is_slower_if_every_pair_says_so_clearly(theirs, slower):
    record = make_record(make_row(theirs=theirs), against="v1")
    assert record.slower() == (["cpc_speed, case"] if slower else [])
    assert ("slower (!)" in record.table()) == slower
    assert make_record(make_row(theirs=theirs)).slower() == []


def test_a_history_grows_by_a_record_and_what_is_none_is_refused(tmp_path):
    file = tmp_path / "new" / "history.json"
    records = [make_record(make_row(name)) for name in ("one", "two")]
    for record in records:
        append_record(record, file)
    assert read_history(file) == records
    assert [path.name for path in file.parent.iterdir()] == ["history.json"]
    file.write_text('[{"conditions": 1}]')
    with pytest.raises(
        ValueError, match=r"history.json: no history of this board \(.*another file"
    ):
        append_record(records[0], file)
    assert file.read_text() == '[{"conditions": 1}]'


def test_sides_take_turns_in_changing_order_after_one_that_does_not_count(monkeypatch):
    order, ticks = [], iter(range(100))
    monkeypatch.setattr("time.process_time", lambda: len(order) ** 2)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    sides = [lambda name=name: order.append(name) for name in "ab"]
    first, second = time_turns(sides, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert [cost.clock for cost in first + second] == [1.0] * 6
    # The squares of 3 and 2, of 6 and 5, of 7 and 6 differ so; then those of the other.
    assert [cost.processor for cost in first] == [5, 11, 13]
    assert [cost.processor for cost in second] == [7, 9, 15]


def test_rows_of_two_commits_are_paired_and_what_one_lacks_is_said():
    now = [Measured(rows=(make_row("x", (s,), ()), make_row("new", (s,), ()))) for s in (1.0, 3.0)]
    then = [
        Measured(rows=(make_row("x", (s,), ()), make_row("gone", (s,), ()))) for s in (2.0, 9.0)
    ]
    found = pair_rows(list(zip(now, then, strict=True)), "v1")
    assert [(row.name, row.ours, row.theirs) for row in found.rows] == [
        ("x", (1.0, 3.0), (2.0, 9.0)),
        ("new", (1.0, 3.0), ()),
    ]
    assert found.rows[1].missing == "not measured at v1"
    assert found.error == "measured at v1 alone: gone"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit, whose file has changed since."""
    folder = tmp_path / "repository"
    (folder / "benchmarks").mkdir(parents=True)
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First"]):
        (folder / "benchmarks" / "x.py").write_text("old")
        (folder / "package.py").write_text("old")
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(folder), *author, *words], check=True)
    for place in ("benchmarks/x.py", "package.py"):
        (folder / place).write_text("new")
    monkeypatch.setattr(against, "HERE", folder)
    return folder


def test_a_commit_is_checked_out_with_the_benchmarks_of_today_and_removed_again(repository):
    with checked_out("HEAD") as tree:
        texts = [(tree / place).read_text() for place in ("package.py", "benchmarks/x.py")]
    assert texts == ["old", "new"]
    assert not tree.exists()
    command = ["git", "-C", str(repository), "worktree", "list"]
    assert len(subprocess.check_output(command).splitlines()) == 1


def test_a_commit_that_there_is_not_is_refused(repository):
    with (
        pytest.raises(ValueError, match="--against v9: no such commit in .*git log"),
        checked_out("v9"),
    ):
        pass


def test_a_benchmark_that_breaks_off_keeps_its_rows_and_says_why(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    os.symlink(ROOT / "benchmarks" / "board", tmp_path / "benchmarks" / "board")
    (tmp_path / "benchmarks" / "made.py").write_text(
        "from benchmarks.board.row import Row\n"
        "def board_rows(plan):\n"
        "    print('left out')\n"
        "    yield Row(name=f'{plan.threads}', per='turn', ours=(1.0,))\n"
        "    raise RuntimeError('no peer of this shape')\n"
    )
    monkeypatch.delenv("PYTHONPATH", raising=False)
    found = run_case("made", Plan(threads=3), tmp_path)  # type: ignore[arg-type]
    assert [row.name for row in found.rows] == ["3"]
    assert found.error == "RuntimeError: no peer of this shape"
    assert cases.HERE == ROOT


def test_an_interrupted_board_keeps_what_it_measured(tmp_path, monkeypatch):
    board = importlib.import_module("benchmarks.__main__")

    def measure(name, plan):
        if name == "growth":
            raise KeyboardInterrupt
        return Measured(rows=(make_row(),), seconds=1.0)

    monkeypatch.setattr(board, "run_case", measure)
    monkeypatch.setattr(board, "measure_machine", lambda: MACHINE)
    found = board.run(board.Settings(only=("huge_pages", "growth", "encoders"))).benchmarks
    assert list(found) == ["huge_pages", "growth"]
    assert found["huge_pages"].rows == (make_row(),)
    assert found["growth"].error == "interrupted"


def test_multiplications_of_normed_weights_are_counted():
    from torch.nn import Conv1d
    from torch.nn.utils.parametrizations import weight_norm

    convolution, clip = weight_norm(Conv1d(2, 3, 5)), torch.zeros(1, 2, 9)
    with torch.inference_mode():  # 5 frames of 3 channels, each of 2 x 5 products and additions
        assert count_flops(lambda: convolution(clip)) == 5 * 3 * 2 * 5 * 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34, "12.3 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 µs")]
)
def test_seconds_are_written_in_a_unit_that_suits_them(seconds, text):
    assert format_seconds(seconds) == text


def test_growth_marks_a_cost_that_rises_by_more_than_a_fifth():
    found = {
        size: growth.Grown(cost, 500.0, 600.0)
        for size, cost in ((100, 1e-3), (1_000, 1.2e-3), (10_000, 1.3e-3))
    }
    lines = list(growth.format_rows("results", found))
    assert lines[1] == "| results | 1,000 | 1.200 | 1.20 | 500 | 600 |"
    assert lines[2] == "| results | 10,000 | 1.300 | 1.30 (!) | 500 | 600 |"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": (1_000, 100)}, "--sizes must be 100 or more, the fewest first, got 1000 100"),
        ({"sizes": ()}, "--sizes must be 100 or more"),
        ({"threads": 0}, "--threads must be 1 or more, got 0"),
    ],
)
def test_settings_of_growth_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        growth.Settings(**fields)
