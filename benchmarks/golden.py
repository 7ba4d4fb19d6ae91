"""The golden record: what every table command gives on a small corpus, to the last digit.

    python -m benchmarks.golden record tests/data/golden.json     # before a change
    python -m benchmarks.golden compare tests/data/golden.json    # after it

Each case is a command of seconds to a minute on the demo corpus, or on a few of its recordings
under the file names of another corpus. A record holds the metrics of every run of a command by
name, and the heads of its tables. Digits depend on the processor and the library versions, so a
record is compared on the machine that made it; a change that moves numbers names its cases.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from conversation_emotion.corpora import load_corpus

CASES: dict[str, str] = {
    "epc": "epc --modality speech+text",
    "epc late": "epc --dialogue-model two-role --fusion late --epochs 2",
    "epc recognition": "epc --horizon 0 --history-labels gold --dialogue-model single --epochs 1",
    "epc gated text": "epc --fusion cross-attention --learn-from targets --epochs 1 --seeds 2",
    "ser": "ser --speech-encoder fbank mfcc --epochs 5 --seeds 2",
    "ser lda": "ser --speech-encoder fbank+mfcc --head lda --speech-components 20",
    "ser ecapa": "ser --speech-encoder fbank --aggregator ecapa --aggregator-size 8 --epochs 1",
    "ser protocol": "ser --corpus manifest --root CORPUS --protocol emobox --speech-encoder fbank",
    "sentiment": "sentiment --speech-encoder fbank --epochs 4",
    "sentiment context": "sentiment --modality text --history 3 --epochs 2 --labels all",
    "sentiment regression": "sentiment --corpus manifest --root NUMBERS --speech-encoder fbank "
    "--modality speech --regression --epochs 4",
    "fusion": "fusion --corpus manifest --root CORPUS --rows 9-14,19 --epochs 2 --seeds 2 "
    "--aggregator-size 8",
    "dimensional": "dimensional --speech-encoder mfcc fbank --stride 8 --epochs 2",
    "finetune": "finetune --max-folds 1 --epochs 2 --blocks 1 --average-best 2",
    "multitask": "multitask --max-folds 1 --epochs 1 --blocks 1 --alphas 0 0.1",
    "cross_corpus": "cross_corpus --roots emodb=EMODB ravdess=RAVDESS "
    "--speech-encoder fbank --epochs 5",
    "languages": "languages --roots emodb=EMODB --speech-encoder fbank --epochs 5",
    "song": "languages --table song --roots ravdess-song=SONG --speech-encoder fbank --epochs 5",
    "layers": "layers --speech-encoder emotion2vec-mini --layers 0 8 sum last-4 --epochs 2",
    "visualise": "visualise --speech-encoder fbank --epochs 2 --audio-mib 0",
    "choose": "choose RUNS",
}
"""The commands by name; words in capitals stand for folders that are written here, and for the runs
of the case ``ser``."""


def write_corpora(folder: Path) -> dict[str, str]:
    """Writes some recordings of the demo corpus under the names of other corpora."""
    demo = load_corpus("demo")
    clips = iter(demo.groupby(["audio"], sort=True).head(1)["audio"].tolist() * 20)
    named = {
        "EMODB": [
            f"wav/{s}{t}{e}a.wav"
            for s, t, e in product(("03", "08", "09", "10"), ("a01", "a02"), "WLEAFTN")
        ],
        "RAVDESS": [
            f"Actor_{a:02d}/03-01-{e:02d}-01-01-{r:02d}-{a:02d}.wav"
            for a, e, r in product(range(1, 7), range(1, 9), (1, 2))
        ],
        "SONG": [
            f"Actor_{a:02d}/03-02-{e:02d}-01-01-{r:02d}-{a:02d}.wav"
            for a, e, r in product(range(1, 11), range(1, 7), (1, 2))
        ],
    }
    for corpus, names in named.items():
        for name in names:
            target = folder / corpus / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(next(clips), target)
    chosen = demo[demo["dialogue_id"].isin(demo["dialogue_id"].unique()[::6])].copy()
    for corpus in ("CORPUS", "NUMBERS"):
        (folder / corpus).mkdir()
        for audio in chosen["audio"].unique():
            shutil.copy(audio, folder / corpus)
        table = chosen.drop(columns="corpus")
        table["audio"] = table["audio"].map(lambda path: Path(str(path)).name)
        if corpus == "NUMBERS":
            table["sentiment"] = table["valence"] - 3
        table.to_csv(folder / corpus / "manifest.csv", index=False)
    return {name: str(folder / name) for name in (*named, "CORPUS", "NUMBERS")}


def run_case(name: str, folder: Path, places: dict[str, str]) -> dict[str, object]:
    """Runs a case in a fresh folder -> metrics of its runs by name, heads of its tables."""
    command = CASES[name]
    # A folder of its own: MLflow's client keeps the database of a path open after it is deleted.
    place = folder / name.replace(" ", "-")
    if "RUNS" in command:
        ids = run_case("ser", folder / "chosen", places)["ids"]
        command = command.replace("RUNS", " ".join(ids))  # type: ignore[arg-type]
        place = folder / "chosen" / "ser"
    place.mkdir(parents=True, exist_ok=True)
    for word, path in places.items():
        command = command.replace(word, path)
    module, *flags = command.split()
    subprocess.run([sys.executable, "-m", f"experiments.{module}", *flags], cwd=place, check=True)
    return read_runs(place)


def read_runs(folder: Path) -> dict[str, object]:
    """Reads what the parent runs of a folder keep, in the order of their start."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlruns/mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    record: dict[str, object] = {"ids": [run.info.run_id for run in parents]}
    for run in parents:
        heads = []
        for file in client.list_artifacts(run.info.run_id):
            if file.path in ("table.txt", "differences.txt"):
                path = client.download_artifacts(run.info.run_id, file.path, str(folder))
                text = Path(path).read_text("utf-8").splitlines()
                ruled = next(n for n, line in enumerate(text) if line.strip().startswith("─"))
                heads.append(text[ruled - 1].split())
        metrics = {name: x for name, x in run.data.metrics.items() if not name.endswith("seconds")}
        record[str(run.info.run_name)] = {"metrics": metrics, "heads": heads}
    return record


def differences(before: object, after: object, place: str = "") -> list[str]:
    """Lists where two records differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted({*before, *after} - {"ids"}):
            inner = f"{place} / {key}"
            if key not in before or key not in after:
                found.append(f"{inner}: only {'after' if key in after else 'before'}")
            else:
                found += differences(before[key], after[key], inner)
        return found
    return [] if before == after else [f"{place}: {before} -> {after}"]


def main() -> None:
    """Records or compares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    kept = json.loads(options.file.read_text("utf-8")) if options.file.is_file() else {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        places = write_corpora(folder / "corpora")
        for name in options.cases:
            found = run_case(name, folder / "runs", places)
            print(f"{name}: {CASES[name]}", flush=True)
            if options.what == "compare":
                for line in differences(kept.get(name, {}), found) or ["equal"]:
                    print(f"  {line}")
            if options.what == "record":
                kept[name] = found
                options.file.write_text(json.dumps(kept, indent=1, sort_keys=True), "utf-8")


if __name__ == "__main__":
    main()
