"""What does a second of speech cost with each encoder, and how much memory does it take?

    python -m benchmarks.encoders --whisper openai/whisper-base

Whisper base on the clips' own frames, on windows of 30 s, and as the transformers library calls it;
whisper-base-lower, in PyTorch and exported to ONNX with a linear head, each in single precision and
in 8 bits; emotion2vec-mini, emotion2vec's base size, and FunASR's where it is installed (the same
random weights of that size). They take turns in one process on the same threads, in another order
every second time, after a turn that does not count; a clip is the same noise and tones for all.
Cost is processor time of all threads; a ratio is of two costs of one turn, to Whisper base on the
clips' own frames. Peak memory is that of a process of its own that loads one encoder and encodes
once, libraries and weights included.

Needs Linux, and ``pip install 'conversation-emotion[export]'``; reading files is not measured.
"""

import json
import multiprocessing
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks._emotion2vec_encoders import load_theirs, save_weights
from benchmarks._random_checkpoints import FAMILIES, load_with_transformers, write_checkpoint
from benchmarks.board.row import Plan, Row, count_flops
from benchmarks.board.row import take_turns as take_turns_of
from conversation_emotion.inference.onnx_export import quantise, write_graph
from conversation_emotion.inference.saved_model import load_model
from conversation_emotion.settings.features import FeatureSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from speech_encoders import load_speech_encoder
from speech_encoders.traceable import make_traceable
from speech_encoders.whisper.lower import SHIPPED
from tests.funasr_emotion2vec import make_waveform
from tests.saved_models import save_untrained

Run = Callable[[list[Tensor]], object]
"""Encodes clips of (S,), the shortest first."""

Load = Callable[[], Run]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the comparison."""

    whisper: str = "openai/whisper-base"
    """Checkpoint of Whisper: hub id or folder."""

    clips: tuple[float, ...] = (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
    """Seconds of the clips."""

    repetitions: int = 5
    """Turns, after one that does not count."""

    threads: int = 2
    """Threads of each process."""

    output: Path | None = None
    """JSON file for the figures; docs/generate.py shows those of benchmarks/encoders.json."""

    def __post_init__(self) -> None:
        for name in ("repetitions", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be 1 or more, got {getattr(self, name)}")
        if not self.clips or min(self.clips) < 0.025 or max(self.clips) > 29.98:
            raise ValueError("--clips needs one or more, of 0.025 to 29.98 s")


class Figures(NamedTuple):
    """What was measured of one encoder.

    Attributes:
        cost: Seconds of processor for a second of audio, median.
        ratios: Its cost divided by that of the first encoder, of each turn.
        peak: Peak memory in MB.
    """

    cost: float
    ratios: list[float]
    peak: float


def load_ours(name: str) -> Run:
    """Loads an encoder of this suite, which takes all clips as one batch."""
    encoder = load_speech_encoder(name)
    return lambda clips: encoder(*_stack(clips))


def load_transformers(name: str) -> Run:
    """Loads Whisper as the library calls it: every clip padded to 30 s."""
    from transformers import WhisperFeatureExtractor, WhisperModel

    extractor = WhisperFeatureExtractor.from_pretrained(name)
    model = WhisperModel.from_pretrained(name, dtype=torch.float32).eval()

    @torch.inference_mode()
    def run(clips: list[Tensor]) -> object:
        arrays = [clip.numpy() for clip in clips]
        inputs = extractor(arrays, sampling_rate=16_000, return_tensors="pt")
        return model.encoder(inputs.input_features, output_hidden_states=True)

    return run


def load_onnx(file: Path, threads: int) -> Run:
    """Loads an exported model in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle, not cost
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(clips: list[Tensor]) -> object:
        waveforms, lengths = _stack(clips)
        return session.run(None, {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()})

    return run


def load_funasr(weights: Path) -> Run:
    """Loads FunASR's emotion2vec, which takes clip after clip."""
    encode = load_theirs(weights, "cpu")
    return lambda clips: [*encode(clips)]


def _stack(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(clip) for clip in clips])
    return pad_sequence([*clips], batch_first=True), lengths


def write_onnx(folder: Path) -> tuple[Path, Path]:
    """Exports whisper-base-lower with an untrained linear head -> single precision, 8 bits."""
    features = FeatureSettings(
        modality="speech",
        speech_encoder=SHIPPED,
        speech_layers="all",
        speech_pooling="mean",
    )
    save_untrained(folder / "model", UtteranceModelSettings(head="linear"), features)
    whole, small = folder / "model.onnx", folder / "model.int8.onnx"
    encoders = {"speech": make_traceable(load_speech_encoder(SHIPPED))}
    write_graph(load_model(folder / "model"), encoders, whole)
    quantise(whole, small)
    return whole, small


def list_encoders(settings: Settings, folder: Path) -> dict[str, Load]:
    """Lists how each encoder is loaded, by its name in the table."""
    whole, small = write_onnx(folder)
    encoders: dict[str, Load] = {
        "Whisper base": partial(load_ours, settings.whisper),
        "Whisper base, padded:": partial(load_ours, f"padded:{settings.whisper}"),
        "Whisper base, transformers' call": partial(load_transformers, settings.whisper),
        SHIPPED: partial(load_ours, SHIPPED),
        f"{SHIPPED}, int8:": partial(load_ours, f"int8:{SHIPPED}"),
        f"{SHIPPED}, ONNX": partial(load_onnx, whole, settings.threads),
        f"{SHIPPED}, ONNX int8": partial(load_onnx, small, settings.threads),
        "emotion2vec-mini": partial(load_ours, "emotion2vec-mini"),
        "emotion2vec base": partial(load_ours, "untrained:base"),
    }
    if find_spec("funasr") is not None:
        save_weights(folder / "model.pt")
        encoders["emotion2vec base, FunASR"] = partial(load_funasr, folder / "model.pt")
    return encoders


def make_clips(settings: Settings) -> list[Tensor]:
    """Makes the clips, the shortest first."""
    return [make_waveform(seed, seconds) for seed, seconds in enumerate(sorted(settings.clips))]


def take_turns(runs: Sequence[Run], clips: list[Tensor], repetitions: int) -> np.ndarray:
    """Runs one encoder after the other -> seconds of processor: (turns, encoders)."""
    costs = np.zeros((repetitions + 1, len(runs)))
    for turn in range(repetitions + 1):
        order = range(len(runs))
        for number in order[::-1] if turn % 2 else order:
            start = time.process_time()
            runs[number](clips)
            costs[turn, number] = time.process_time() - start
    return costs[1:]


def peak_of_process(load: Load, settings: Settings) -> float:
    """Loads an encoder and encodes the clips once, in a process of its own: -> its peak in MB."""
    torch.set_num_threads(settings.threads)
    load()(make_clips(settings))
    # Not getrusage, whose peak a process inherits from its parent.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def measure(encoders: Mapping[str, Load], settings: Settings) -> dict[str, Figures]:
    """Measures all encoders: -> figures by name."""
    clips = make_clips(settings)
    costs = take_turns([load() for load in encoders.values()], clips, settings.repetitions)
    ratios = costs / costs[:, :1]
    figures = {}
    for number, (name, load) in enumerate(encoders.items()):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peak = pool.submit(peak_of_process, load, settings).result()
        cost = statistics.median(costs[:, number]) / sum(settings.clips)
        figures[name] = Figures(cost, ratios[:, number].tolist(), peak)
    return figures


def board_rows(plan: Plan) -> Iterator[Row]:
    """Measures each family next to transformers' call, and the shipped encoder in its forms.

    Random weights of the base width, in a quick plan with four layers.
    """
    settings = Settings(threads=plan.threads, clips=(2.0, 3.0, 4.0, 5.0))
    num_layers = 4 if plan.is_quick else 12
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as place:
            folder = write_checkpoint(family, num_layers, Path(place))
            ours = load_ours(str(folder))
            theirs = load_with_transformers(folder) if plan.has_peers else None
        name = f"{family}, {num_layers} layers"
        yield _compare(name, ours, "transformers' call", theirs, settings, plan)
    with tempfile.TemporaryDirectory() as place:
        whole, small = write_onnx(Path(place))
        graphs = [load_onnx(file, plan.threads) for file in (whole, small)]
    shipped = load_ours(SHIPPED) if plan.has_peers else None
    in_8_bits = load_ours(f"int8:{SHIPPED}")
    for form, run in (("int8:", in_8_bits), ("ONNX", graphs[0]), ("ONNX int8", graphs[1])):
        yield _compare(f"{SHIPPED}, {form}", run, "single precision", shipped, settings, plan)
    yield _compare("emotion2vec-mini", load_ours("emotion2vec-mini"), "", None, settings, plan)


def _compare(
    name: str, ours: Run, peer: str, theirs: Run | None, settings: Settings, plan: Plan
) -> Row:
    """Lets an encoder and its peer take turns; products in 8 bits have no floor here."""
    clips, audio = make_clips(settings), sum(settings.clips)
    runs = [partial(run, clips) for run in (ours, theirs) if run is not None]
    seconds = take_turns_of(runs, plan.repetitions)
    ours_, *others = [tuple(one / audio for one in side) for side in seconds]
    return Row(
        name=name,
        per="second of audio",
        ours=ours_,
        peer=peer,
        theirs=others[0] if others else (),
        flops=0.0 if "int8" in name or "ONNX" in name else count_flops(runs[0]) / audio,
    )


def describe(settings: Settings) -> str:
    """Names the device and the versions that the figures hold for."""
    device, cpuinfo = platform.machine(), Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.is_file() else ():
        if line.startswith("model name"):
            device = line.split(": ", 1)[1]
            break
    names = []
    for package in ("torch", "transformers", "onnxruntime", "funasr"):
        try:
            names.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            names.append(f"{package} not installed")
    clips = ", ".join(f"{seconds:g}" for seconds in settings.clips)
    return (
        f"{device}, {settings.threads} threads, Python {platform.python_version()}, "
        f"{', '.join(names)}; clips of {clips} s in one batch, median of "
        f"{settings.repetitions} turns"
    )


def format_row(name: str, figures: Figures) -> str:
    """Gives a line of the table."""
    ratio = statistics.median(figures.ratios)
    spread = f"{ratio:.2f} ({min(figures.ratios):.2f} to {max(figures.ratios):.2f})"
    return f"| {name} | {figures.cost:.4f} | {spread} | {figures.peak:,.0f} |"


def main() -> None:
    """Runs the comparison and prints its table."""
    settings = tyro.cli(Settings, prog="python -m benchmarks.encoders", description=__doc__)
    torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        encoders = list_encoders(settings, Path(folder))
        print(f"{describe(settings)}\n")
        print("| encoder | CPU s per s | times Whisper base (range) | peak MB |")
        print("|---|---|---|---|", flush=True)
        measured = measure(encoders, settings)
    for name, figures in measured.items():
        print(format_row(name, figures))
    if settings.output is not None:
        kept = {
            name: {"cost": round(one.cost, 4), "peak": round(one.peak)}
            for name, one in measured.items()
        }
        kept = {"measured": describe(settings), "encoders": kept}
        settings.output.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
