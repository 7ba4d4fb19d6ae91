"""A trained model as a folder: weights, and the card with all that a prediction needs.

    model.safetensors    the weights, the statistics of train among them; of an ensemble, of all
    domain.safetensors   where the features of train lie, see `conversation_emotion.models.domain`;
                         models that were saved before there was any have none
    statistics.safetensors  of features that are standardised by speaker or corpus, what those of
                         few utterances are drawn towards
    voices.safetensors   of a model that is adapted to speakers, what is other for each of them
    config.json          a `Card`: classes in the order of the outputs, settings of model and
                         features, identities of the encoders, the training
    README.md            the same for people
    SHA256SUMS           of the files of weights, as sha256sum writes and checks them; models that
                         were saved before there was any have none

Nothing is pickled. The encoders are not inside: they are loaded by the names in the settings, and
must be those of the training.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import load_file as load_numbers
from safetensors.numpy import save_file as save_numbers
from safetensors.torch import save_file
from torch import Tensor, nn

from conversation_emotion.datasets.group_statistics import Statistics
from conversation_emotion.features.sources import list_sources
from conversation_emotion.inference.card import FORMAT, Card, describe
from conversation_emotion.models.build import build_model
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.models.domain import Domain
from conversation_emotion.models.fine_tuned import read_weights
from conversation_emotion.models.perception import Standardisation
from conversation_emotion.settings.features import BY_GROUP
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.recognition import SHIPPED

WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"

SUMS = "SHA256SUMS"

DOMAIN, VOICES = "domain.safetensors", "voices.safetensors"

STATISTICS = "statistics.safetensors"

MODELS = "conversation_emotion.models"
"""Entry points that find the folder of a saved model by name; ``mlflow`` is the registry."""

_EXPERIMENTS = {"epc": ConversationModelSettings, "ser": UtteranceModelSettings}
"""Settings of the model by the name of the experiment, which cards of format 1 hold."""

Value = TypeVar("Value")
Named = TypeVar("Named", Domain, Statistics)


class SavedModel(NamedTuple):
    """A model that was loaded.

    Attributes:
        card: Everything but the weights.
        model: The network in evaluation mode.
        shapes: Layers and features (L, D) of the hidden states of each source.
        domains: Where the features of train lie, by source; none of older models.
        statistics: Of a model whose features are standardised by group, those of all of its groups
            together, by source.
        voices: Networks that are adapted to a speaker, by name; others have that of ``model``.
    """

    card: Card
    model: nn.Module
    shapes: dict[str, tuple[int, int]]
    domains: Mapping[str, Domain] = {}
    voices: Mapping[str, nn.Module] = {}
    statistics: Mapping[str, Statistics] = {}

    def map_models(self, change: Callable[[nn.Module], nn.Module]) -> "SavedModel":
        """Returns the same with each network changed."""
        voices = {name: change(one) for name, one in self.voices.items()}
        return self._replace(model=change(self.model), voices=voices)


def save_model(
    folder: Path,
    model: nn.Module,
    card: Card,
    domains: Mapping[str, Domain] | None = None,
    *,
    voices: Mapping[str, nn.Module] | None = None,
    statistics: Mapping[str, Statistics] | None = None,
) -> None:
    """Writes weights, card and its text into a folder, which is made, and the rest if any."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: one.cpu().contiguous().clone() for name, one in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    if voices:
        other = {
            f"{number}.{name}": value.cpu().contiguous().clone()
            for number, voice in enumerate(voices.values())
            for name, value in voice.state_dict().items()
            if not torch.equal(value.cpu(), state[name])
        }
        save_file(other, folder / VOICES)
    for file, found in ((DOMAIN, domains), (STATISTICS, statistics)):
        numbers = {
            f"{source}.{name}": np.ascontiguousarray(value)
            for source, one in (found or {}).items()
            for name, value in one._asdict().items()
        }
        if numbers:
            save_numbers(numbers, folder / file)
    (folder / CONFIG).write_bytes(TypeAdapter(Card).dump_json(card, indent=2))
    (folder / README).write_text(describe(card), "utf-8")
    lines = [f"{_digest(file)}  {file.name}\n" for file in sorted(folder.glob("*.safetensors"))]
    (folder / SUMS).write_text("".join(lines), "utf-8")


def find_model(source: str | Path) -> Path:
    """Returns the folder of a saved model.

    Args:
        source: One of `SHIPPED`; or the folder; or a registered model or run, see
            `experiments.tracking.registry.find_model`.

    Raises:
        FileNotFoundError: There is no such model.
        ModuleNotFoundError: The source is no such folder, and this package is not installed.
    """
    if (Path(source) / CONFIG).is_file():
        return Path(source)
    if str(source) in SHIPPED:
        return Path(__file__).with_name(str(source))
    finders = entry_points(group=MODELS, name="mlflow")
    if not finders:
        raise ModuleNotFoundError(
            f"{str(source)!r} is no folder of a saved model, and names are found only where this "
            "package is installed: run 'pip install -e .' in the folder of pyproject.toml"
        )
    return next(iter(finders)).load()(str(source))


def load_model(folder: Path) -> SavedModel:
    """Loads a folder that `save_model` wrote, of this format or the one before.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The card is of another format, or its settings are none of this version, or
            weights are others than were saved.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no saved model in {folder}: it has no {name}")
    card = read_card(folder / CONFIG)
    weights = read_weights(folder / WEIGHTS)
    _check_sums(folder)  # after what tells more of a file that is broken
    try:
        with torch.device("meta"):  # no memory for weights that the file does not have
            _build_all(card, weights).load_state_dict(weights, assign=True)
        model = build_network(card, weights)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{folder / WEIGHTS}: not the weights that {CONFIG} describes ({why}); fetch both again"
        ) from error
    first = "members.0." if card.num_members else ""
    found = {n: _find_standardisation(weights, n, first) for n in list_sources(card.features)}
    shapes = {name: (len(one.centre), one.centre.shape[1]) for name, one in found.items()}
    voices = _read_voices(folder, card, weights)
    domains, statistics = {}, {}
    if card.novelty is not None:
        domains = _read_numbers(folder, DOMAIN, Domain, "domain")
    if card.features.standardise in BY_GROUP:
        statistics = _read_numbers(folder, STATISTICS, Statistics, "statistics")
    return SavedModel(card, model, shapes, domains, voices, statistics)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check_sums(folder: Path) -> None:
    """Checks the files of weights against their sums, if the folder has any.

    Raises:
        ValueError: A file is another than that which was saved.
    """
    if not (folder / SUMS).is_file():
        return
    for line in (folder / SUMS).read_text("utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        file = folder / Path(name).name
        if file.is_file() and _digest(file) != digest:
            raise ValueError(
                f"{file}: is another than was saved, for its SHA-256 is not that in {SUMS}; fetch "
                "both again"
            )


def build_network(card: Card, weights: Mapping[str, Tensor]) -> nn.Module:
    """Builds the network of a card, or the ensemble, in evaluation mode with these weights."""
    model = _build_all(card, weights)
    model.load_state_dict(weights)
    return model.eval()


def _read_voices(folder: Path, card: Card, weights: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """Reads the network of each speaker that the model is adapted to."""
    if card.adaptation is None or not card.adaptation.speakers:
        return {}
    if not (folder / VOICES).is_file():
        raise FileNotFoundError(f"no voices of the saved model in {folder}: it has no {VOICES}")
    other, found = read_weights(folder / VOICES), {}
    for number, speaker in enumerate(card.adaptation.speakers):
        prefix = f"{number}."
        own = {n.removeprefix(prefix): one for n, one in other.items() if n.startswith(prefix)}
        found[speaker] = build_network(card, {**weights, **own})
    return found


def _build_all(card: Card, weights: Mapping[str, Tensor]) -> nn.Module:
    """Builds a model, of an ensemble all members, without its weights."""
    if not card.num_members:
        return _build(card, weights, "")
    if card.num_members > len(weights):
        raise ValueError(f"{card.num_members} members, and {len(weights)} weights")
    numbers = range(card.num_members)
    return DeepEnsemble([_build(card, weights, f"members.{number}.") for number in numbers])


def _build(card: Card, weights: Mapping[str, Tensor], prefix: str) -> nn.Module:
    """Builds a model, or the member of an ensemble whose weights have a prefix."""
    sources, head = list_sources(card.features), weights.get(f"{prefix}head.bias")
    return build_model(
        card.model,
        card.features,
        {name: _find_standardisation(weights, name, prefix) for name in sources},
        num_outputs=len(card.labels),
        num_emotions=len(card.emotions),
        # Models of the votes of raters have several heads, each of all classes.
        num_heads=1 if head is None else max(1, len(head) // len(card.labels)),
    )


def _read_numbers(folder: Path, name: str, kind: type[Named], what: str) -> dict[str, Named]:
    """Reads the arrays of each source from a file of the folder."""
    file = folder / name
    if not file.is_file():
        raise FileNotFoundError(f"no {what} of the saved model in {folder}: it has no {name}")
    numbers = load_numbers(file)
    fields = [*kind.__annotations__]
    return {
        source: kind(*(numbers[f"{source}.{field}"] for field in fields))
        for source in sorted({key.rpartition(".")[0] for key in numbers})
    }


def read_card(file: Path) -> Card:
    """Reads the card of a saved model.

    Raises:
        ValueError: It is of another format, or its settings are none of this version.
    """
    try:
        written = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{file}: is no card of a saved model ({error}); fetch it again"
        ) from error
    found = written.get("format") if isinstance(written, dict) else None
    if found == 1:
        written = _upgrade(written, file)
    elif found != FORMAT:
        raise ValueError(f"{file}: a saved model of format {found!r}, expected {FORMAT} or 1")
    # A union would blame the settings of the wrong model for what is wrong with those of the right.
    model = written.get("model")
    is_conversation = isinstance(model, dict) and "horizon" in model
    kind = ConversationModelSettings if is_conversation else UtteranceModelSettings
    _read(kind, model, file)
    return _read(Card, written, file)


def _upgrade(written: dict[str, object], file: Path) -> dict[str, object]:
    """Turns a card of format 1, which held the settings of a command, into one of `FORMAT`."""
    card = json.loads(json.dumps(written))
    experiment, settings = card.pop("experiment", None), card.pop("settings", {})
    if experiment not in _EXPERIMENTS:
        raise ValueError(
            f"{file}: a model of the experiment {experiment!r}, expected one of "
            f"{', '.join(_EXPERIMENTS)}"
        )
    names = [field.name for field in fields(_EXPERIMENTS[experiment])]
    model = {name: settings[name] for name in names if name in settings}
    if model.get("learn_from") == "judged":
        model["learn_from"] = "targets"
    training = card["training"]
    for part in ("valid", "test"):
        training[part]["num_targets"] = training[part].pop("num_judged")
        training[part]["score"] = training[part].pop("uar")
    return {**card, "format": FORMAT, "model": model, "training": {**training, "select_by": "uar"}}


def _find_standardisation(
    weights: Mapping[str, Tensor], source: str, prefix: str
) -> Standardisation:
    """Returns the statistics of train, whose shapes are those of the model's inputs."""
    place = f"{prefix}perceptions.{source}.standardisation"
    return Standardisation(
        weights[f"{place}.centre"], weights.get(f"{place}.components"), weights[f"{place}.scale"]
    )


def _read(kind: type[Value], written: object, file: Path) -> Value:
    """Reads a dataclass that was written as JSON; a field it does not have is an error."""
    adapter = TypeAdapter(kind)
    version = "the model was saved by another version of conversation-emotion"
    try:
        value = adapter.validate_json(json.dumps(written))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{file}: {place}: {first['msg']}, got {first['input']!r}; {version}"
        ) from error
    if unknown := _unknown_names(written, json.loads(adapter.dump_json(value))):
        raise ValueError(f"{file}: unknown setting {unknown[0]}; {version}")
    return value


def _unknown_names(written: object, read: object) -> list[str]:
    """Lists the names that were written and not read, at any depth."""
    if not isinstance(written, dict) or not isinstance(read, dict):
        return []
    unknown = [str(name) for name in written if name not in read]
    for name in written.keys() & read.keys():
        unknown += [f"{name}.{inner}" for inner in _unknown_names(written[name], read[name])]
    return sorted(unknown)
