"""Keeps every test away from the network and from what the test before it set for the process."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

gc.disable()  # until all modules are imported, whose objects stay

os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's client reads this once, at its import
os.environ.setdefault("OMP_NUM_THREADS", "1")  # processes beside each other share the cores
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # UMAP compiles for longer than it then computes


LONGEST = (
    "experiments/test_settings.py",
    "sweep/test_sweep_survival.py",
    "tracking/test_browser.py",
    "experiments/test_epc.py",
    "experiments/test_controls.py",
    "tracking/test_registry.py",
    "experiments/test_finetune.py",
    "experiments/test_pretrain_emotion2vec.py",
    "experiments/test_ser.py",
    "experiments/test_predict.py",
    "inference/test_onnx_export.py",
    "tracking/test_tracking.py",
    "experiments/test_dimensional.py",
    "sweep/test_sweep_databases.py",
    "sweep/test_sweep_hooks.py",
    "sweep/test_sweep_tracking.py",
    "inference/test_stream.py",
    "exploration/test_exploration.py",
    "experiments/test_sentiment_table.py",
    "speech_encoders/test_emotion2vec_mini.py",
    "experiments/test_pretrain_cpc.py",
    "experiments/test_followed_settings.py",
    "tracking/test_ui.py",
)
"""Files that take longest, which begin first: so all processes end at nearly the same time."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Takes two processes more than there are cores, as many tests wait, if memory holds them."""
    most = psutil.virtual_memory().available // (5 * 2**29)
    return max(1, min((os.cpu_count() or 1) + 2, most))


def pytest_configure(config: pytest.Config) -> None:
    """Forks the processes of a parallel session, and commands, from one that has the libraries."""
    from tests import processes

    if "PYTEST_XDIST_WORKER" in os.environ:
        processes.join_forkserver()
    elif config.getoption("dist", "no") != "no" and not config.option.collectonly:
        processes.share_forkserver()
        python = f"{sys.executable} {Path(__file__).with_name('worker.py')}"
        config.option.tx = [f"popen//python={python}" for _ in config.option.tx]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the longest files first."""
    places = {str(Path(__file__).parent / name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path), len(LONGEST)))


def pytest_collection_finish() -> None:
    """Collects garbage again, and never what the imported modules hold: a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_runtest_setup() -> None:
    """Shares the tables of tracking stores, and leaves the pictures of trainings blank.

    A picture takes as long as a small training; ``tests/figures`` and processes of their own draw.
    """
    if "mlflow.store.db.utils" in sys.modules:
        from tests.tracked import share_tables

        share_tables()
    if training := sys.modules.get("conversation_emotion.training.cross_validation"):
        from matplotlib.figure import Figure

        setattr(training, "draw_confusions", lambda *given: Figure(figsize=(1, 1)))  # noqa: B010


@pytest.fixture(scope="session", autouse=True)
def leave_the_users_cache_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps features in a folder of the session, and names one that all its processes share."""
    own = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv(
            "TESTS_FOLDER", str(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)
        )
        yield


@pytest.fixture(autouse=True)
def forget_the_accelerator() -> Iterator[None]:
    """Lets every test choose its own precision; accelerate keeps the first for the process."""
    yield
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state()


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Path]:
    """A folder to run in, with a cache that all tests of a session share."""
    from tests.tracked import in_folder

    with in_folder(tmp_path):
        yield tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists what ``-m controls``, ``-m docs`` and ``-m fuzz`` found, whatever process ran it."""
    found = {"control": [], "block": [], "fuzz": []}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if report.when == "call" and name in found:
                    found[name].append(value)
    if "controls" not in terminalreporter.config.option.markexpr:
        found["control"].clear()
    if found["control"]:
        terminalreporter.section("controls: chance, shuffled labels, planted signal")
    for name, metric, n, *scores in found["control"]:
        numbers = "".join(f"{score:10.3f}" for score in scores)
        terminalreporter.line(f"{name:36}{metric:>9} n {n:4}{numbers}")
    if found["block"]:
        terminalreporter.section("blocks of the documents: processor time, place, how it is run")
    for seconds, place, language, how in found["block"]:
        terminalreporter.line(f"{seconds:>8}  {place:38} {language:7} {how}")
    if found["fuzz"]:
        terminalreporter.section("hostile files: cases, results, refused, worst s, worst MB")
    for kind, cases, results, refused, seconds, megabytes in found["fuzz"]:
        terminalreporter.line(
            f"{kind:26}{cases:7}{results:7}{refused:7}{seconds:9.2f}{megabytes:9.0f}"
        )
