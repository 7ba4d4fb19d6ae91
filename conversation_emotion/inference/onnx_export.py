"""Saved models of single utterances as ONNX: waveforms in, probabilities of the classes out.

The graph takes any batch of clips of any length:

    waveforms      (batch, samples) float32, mono at 16 kHz in [-1, 1]; beyond a clip anything
    lengths        (batch,) int64, real samples of each clip
    probabilities  (batch, classes) float32

Its metadata hold what using it needs: ``labels`` in the order of the outputs, ``sampling_rate``,
``min_samples`` and ``max_samples`` of a clip (empty without a limit), ``front_end`` of each
encoder, and the ``card`` of the saved model; all but the numbers are JSON.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from conversation_emotion.features.extract import select_layers
from conversation_emotion.features.sources import Source, list_sources
from conversation_emotion.inference.card import Card
from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.inference.saved_model import SavedModel
from conversation_emotion.models.conversation import UtteranceModel
from conversation_emotion.utterances.audio import SAMPLE_RATE, AudioError, read_audio
from conversation_emotion.utterances.sound_files import printable

PACKAGES = ("onnx", "onnxruntime", "onnxscript")

TOLERANCE = 1e-4
"""Probabilities of the graph differ by less from those of the saved model."""

OPSET = 18

_AT_ONCE = 8
"""Clips of a batch in a check, padded to the longest."""


class UtteranceGraph(nn.Module):
    """A saved model with its encoders as one module: waveforms in, probabilities out.

    Args:
        saved: A model of single utterances.
        encoders: Of each source of its features, a module from (B, S) waveforms and (B,) lengths to
            (B, L, T, D) hidden states and (B,) frames, as ``speech_encoders.traceable`` makes them.

    Raises:
        ValueError: `require_exportable` refuses the model.
    """

    def __init__(self, saved: SavedModel, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        require_exportable(saved.card)
        self.sources = list_sources(saved.card.features)
        self.encoders = nn.ModuleDict(encoders)
        self.model = saved.model
        calibration = saved.card.calibration
        self.temperature = 1.0 if calibration is None else calibration.temperature

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Predicts: (B, S), (B,) -> (B, C)."""
        model = self.model
        assert isinstance(model, UtteranceModel)
        vectors = []
        for name, source in self.sources.items():
            states, num_frames = self.encoders[name](waveforms, lengths)
            states, is_real = _pool(select_layers(states, source.layers), num_frames, source)
            vectors.append(model.perceptions[name](states, is_real))
        logits = model.head(model.projection(torch.cat(vectors, dim=-1)))
        return (logits / self.temperature).softmax(dim=-1)


def _pool(states: Tensor, num_frames: Tensor, source: Source) -> tuple[Tensor, Tensor]:
    """Pools as extraction does: (B, L, T, D), (B,) -> (B, L, T', D'), real frames (B, T')."""
    is_real = torch.arange(states.size(2)) < num_frames[:, None]
    if source.pooling == "frames":
        return states, is_real
    weights = is_real[:, None, :, None]
    size = num_frames[:, None, None, None]
    mean = states.masked_fill(~weights, 0.0).sum(dim=2, keepdim=True) / size
    if source.pooling == "statistics":
        squares = (states - mean).square().masked_fill(~weights, 0.0)
        deviation = (squares.sum(dim=2, keepdim=True) / size).sqrt()
        mean = torch.cat([mean, deviation], dim=-1)
    return mean, is_real[:, :1]


def require_exportable(card: Card) -> None:
    """Checks what of a model shows before it is loaded.

    Raises:
        ModuleNotFoundError: A package is not installed.
        ValueError: It is one of conversations or texts, or its features need all of a clip first.
    """
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        raise ModuleNotFoundError(
            f"export needs {', '.join(missing)}; pip install 'conversation-emotion[export]'"
        )
    wanted = "export a model of single utterances, which experiments.ser --register NAME makes"
    if card.is_conversation:
        raise ValueError(f"the model is one of conversations ({card.task}), not exported; {wanted}")
    if card.features.modality != "speech":
        raise ValueError(
            f"the model reads {card.features.modality}, and speech alone is exported; {wanted}"
        )
    if card.num_members:
        raise ValueError(f"the model is an ensemble of {card.num_members}, not exported; {wanted}")
    if card.adaptation is not None and card.adaptation.speakers:
        raise ValueError(
            f"the model is adapted to {card.adaptation.whom}, each by weights of their own, not "
            "exported; adapt it to the turns of one speaker without the column speaker"
        )
    if card.features.standardise not in ("train", "none"):
        raise ValueError(
            f"the model was trained with --standardise {card.features.standardise}, which is not "
            "exported; train it with --standardise train or none"
        )


class Limits(NamedTuple):
    """Samples of the shortest and the longest clip of a graph; None without a limit."""

    shortest: int
    longest: int | None

    def admit(self, num_samples: int) -> bool:
        """Returns whether a clip of this length gives what the saved model gives."""
        return self.shortest <= num_samples <= (self.longest or num_samples)


def find_limits(encoders: Mapping[str, nn.Module]) -> Limits:
    """Returns the limits that all encoders have in common."""
    longest = [one.max_samples for one in encoders.values() if one.max_samples is not None]
    shortest = max(int(one.min_samples) for one in encoders.values())  # type: ignore[arg-type]
    return Limits(shortest, min(map(int, longest), default=None))  # type: ignore[arg-type]


def write_graph(saved: SavedModel, encoders: Mapping[str, nn.Module], file: Path) -> None:
    """Writes a model with its encoders as ONNX in single precision, its metadata included.

    Raises:
        RuntimeError: A part of the model has no form in ONNX.
        ValueError: `require_exportable` refuses the model.
    """
    import onnx

    graph = UtteranceGraph(saved, encoders).eval()
    limits = find_limits(encoders)
    # Two clips of unlike lengths, so that neither batch nor mask are taken for constants.
    size = limits.shortest + SAMPLE_RATE // 2
    inputs = (torch.zeros(2, size), torch.tensor([size, limits.shortest]))
    try:
        # Fused attention lays its output out in another way than its form in ONNX.
        with sdpa_kernel(SDPBackend.MATH), _quiet():
            program = torch.onnx.export(
                graph,
                inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=["waveforms", "lengths"],
                output_names=["probabilities"],
                dynamic_shapes=({0: "batch", 1: "samples"}, {0: "batch"}),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise RuntimeError(
            f"the model cannot be written as ONNX ({type(error).__name__}: "
            f"{str(error).split('. ')[0]}); export one with --head logistic, superb or linear"
        ) from error
    assert program is not None
    proto = program.model_proto
    for key, value in _metadata(saved.card, encoders, limits).items():
        proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps exporter and quantiser from printing what they pass over."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _metadata(card: Card, encoders: Mapping[str, nn.Module], limits: Limits) -> dict[str, str]:
    return {
        "labels": json.dumps(card.labels),
        "sampling_rate": str(SAMPLE_RATE),
        "min_samples": str(limits.shortest),
        "max_samples": str(limits.longest or ""),
        "front_end": json.dumps({name: one.front_end for name, one in encoders.items()}),
        "card": TypeAdapter(Card).dump_json(card).decode(),
    }


def quantise(file: Path, target: Path) -> None:
    """Writes a graph with the weights of its linear maps in 8 bits, a scale for each output.

    What they multiply is rounded to 8 bits as it comes; convolutions, which would be slower so, and
    constants of a front end, such as mel filters, stay as they are. So do maps to fewer features:
    they follow the nonlinearity of a block, whose few very large activations leave no steps for the
    others. Weights use 7 of the bits:
    processors without VNNI add two products in 16 bits, which overflow (probabilities of
    whisper-base-lower differed by 0.12 with 8 bits, by 0.005 with 7).
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(file).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    kept = [
        node.name
        for node in graph.node
        if any("lifted_tensor" in name or _narrows(shapes.get(name, ())) for name in node.input)
    ]
    with _quiet():
        quantize_dynamic(
            file,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
        )


def _narrows(shape: tuple[int, ...]) -> bool:
    """Whether a matrix, inputs first, maps to fewer features."""
    return len(shape) == 2 and shape[0] > shape[1]


class Agreement(NamedTuple):
    """How a graph's probabilities compare with those of the saved model.

    Attributes:
        num_clips: Clips of the comparison.
        difference: Largest absolute difference of a probability.
        num_same: Clips with the same most probable class.
    """

    num_clips: int
    difference: float
    num_same: int


def compare(
    file: Path, clips: Sequence[NDArray[np.float32]], expected: NDArray[np.floating]
) -> Agreement:
    """Runs a graph on padded batches of clips, and compares with (N, C) probabilities."""
    found = run_graph(file, clips)
    same = found.argmax(axis=1) == expected.argmax(axis=1)
    return Agreement(len(clips), float(np.abs(found - expected).max()), int(same.sum()))


def run_graph(file: Path, clips: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Predicts clips with onnxruntime: N x (S,) -> (N, C)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    parts = []
    for first in range(0, len(clips), _AT_ONCE):
        some = clips[first : first + _AT_ONCE]
        lengths = np.array([len(clip) for clip in some])
        waveforms = np.zeros((len(some), lengths.max()), np.float32)
        for row, clip in zip(waveforms, some, strict=True):
            row[: len(clip)] = clip
        (part,) = session.run(None, {"waveforms": waveforms, "lengths": lengths})
        parts.append(np.asarray(part))
    return np.concatenate(parts)


class Exported(NamedTuple):
    """What was written, and why recordings were not compared, by their names."""

    files: dict[Path, Agreement]
    left_out: dict[str, str]


def export(
    predictor: Predictor,
    encoders: Mapping[str, nn.Module],
    recordings: Sequence[Path],
    folder: Path,
) -> Exported:
    """Writes ``model.onnx`` and ``model.int8.onnx`` into a folder, once the first is checked.

    Args:
        predictor: The saved model with its own encoders, whose predictions are expected.
        encoders: The same encoders as modules that can be exported, see `UtteranceGraph`.
        recordings: What both predict.
        folder: Where to write, made if it is not there.

    Raises:
        FileExistsError: The folder is a file.
        RuntimeError: Probabilities differ by more than `TOLERANCE`, or a part of the model has no
            form in ONNX; nothing is written.
        ValueError: The model cannot be exported, or no recording can be compared.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips, expected, left_out = _predict(predictor, recordings, find_limits(encoders))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        written = {name: Path(place) / name for name in ("model.onnx", "model.int8.onnx")}
        whole, small = written.values()
        write_graph(predictor.saved, encoders, whole)
        found = compare(whole, clips, expected)
        if not found.difference <= TOLERANCE:
            raise RuntimeError(
                f"onnxruntime gives probabilities that differ by up to {found.difference:.1e} from "
                f"those of the saved model on {found.num_clips} recordings, expected at most "
                f"{TOLERANCE:.0e}; nothing is written, please report it with this model's card"
            )
        quantise(whole, small)
        agreements = (found, compare(small, clips, expected))
        files = [file.replace(folder / name) for name, file in written.items()]
    return Exported(dict(zip(files, agreements, strict=True)), left_out)


def _predict(
    predictor: Predictor, recordings: Sequence[Path], limits: Limits
) -> tuple[list[NDArray[np.float32]], NDArray[np.floating], dict[str, str]]:
    """Reads what can be compared -> clips, probabilities (N, C), and why others are left out."""
    clips: dict[Path, NDArray[np.float32]] = {}
    left_out: dict[str, str] = {}
    for path in recordings:
        try:
            clip = read_audio(path)
        except AudioError as error:
            left_out[printable(path)] = str(error).removeprefix(f"{printable(path)}: ")
            continue
        if limits.admit(len(clip)):
            clips[path] = clip
        else:
            seconds = [limits.shortest / SAMPLE_RATE, (limits.longest or np.inf) / SAMPLE_RATE]
            left_out[printable(path)] = (
                f"{len(clip) / SAMPLE_RATE:.3g} s, the graph takes {seconds[0]:.3g} to "
                f"{seconds[1]:.4g} s"
            )
    if not clips:
        name, why = next(iter(left_out.items()))
        raise ValueError(
            f"none of {len(recordings)} recordings can be compared, first {name}: {why}; pass "
            "others with --root"
        )
    table = predictor.predict([*clips])
    expected = table[[f"p_{label}" for label in predictor.saved.card.labels]].to_numpy()
    return [*clips.values()], expected, left_out
