"""A trained model as a folder: weights, and the card with all that a prediction needs.

    model.safetensors    the weights, the statistics of train among them; of an ensemble, of all
    domain.safetensors   where the features of train lie, see `conversation_emotion.models.domain`;
                         models that were saved before there was any have none
    config.json          a `Card`: classes in the order of the outputs, settings of model and
                         features, identities of the encoders, the training
    README.md            the same for people

Nothing is pickled. The encoders are not inside: they are loaded by the names in the settings, and
must be those of the training.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import load_file as load_numbers
from safetensors.numpy import save_file as save_numbers
from safetensors.torch import save_file
from torch import Tensor, nn

from conversation_emotion.features.sources import list_sources
from conversation_emotion.inference.card import FORMAT, Card, describe
from conversation_emotion.models.build import build_model
from conversation_emotion.models.committees import DeepEnsemble
from conversation_emotion.models.domain import Domain
from conversation_emotion.models.fine_tuned import read_weights
from conversation_emotion.models.perception import Standardisation
from conversation_emotion.settings.models import ConversationModelSettings, UtteranceModelSettings
from conversation_emotion.settings.recognition import SHIPPED

WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"

DOMAIN = "domain.safetensors"

MODELS = "conversation_emotion.models"
"""Entry points that find the folder of a saved model by name; ``mlflow`` is the registry."""

_EXPERIMENTS = {"epc": ConversationModelSettings, "ser": UtteranceModelSettings}
"""Settings of the model by the name of the experiment, which cards of format 1 hold."""

Value = TypeVar("Value")


class SavedModel(NamedTuple):
    """A model that was loaded.

    Attributes:
        card: Everything but the weights.
        model: The network in evaluation mode.
        shapes: Layers and features (L, D) of the hidden states of each source.
        domains: Where the features of train lie, by source; none of older models.
    """

    card: Card
    model: nn.Module
    shapes: dict[str, tuple[int, int]]
    domains: Mapping[str, Domain] = {}


def save_model(
    folder: Path, model: nn.Module, card: Card, domains: Mapping[str, Domain] | None = None
) -> None:
    """Writes weights, card and its text into a folder, which is made, and domains if any."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    save_file(
        {name: value.cpu().contiguous().clone() for name, value in state.items()}, folder / WEIGHTS
    )
    if domains:
        numbers = {
            f"{source}.{name}": value
            for source, domain in domains.items()
            for name, value in domain._asdict().items()
        }
        save_numbers(numbers, folder / DOMAIN)
    (folder / CONFIG).write_bytes(TypeAdapter(Card).dump_json(card, indent=2))
    (folder / README).write_text(describe(card), "utf-8")


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
        ValueError: The card is of another format, or its settings are none of this version.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no saved model in {folder}: it has no {name}")
    card = read_card(folder / CONFIG)
    weights = read_weights(folder / WEIGHTS)
    try:
        with torch.device("meta"):  # no memory for weights that the file does not have
            _build_all(card, weights).load_state_dict(weights, assign=True)
        model = _build_all(card, weights)
        model.load_state_dict(weights)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{folder / WEIGHTS}: not the weights that {CONFIG} describes ({why}); fetch both again"
        ) from error
    first = "members.0." if card.num_members else ""
    found = {n: _find_standardisation(weights, n, first) for n in list_sources(card.features)}
    shapes = {name: (len(one.centre), one.centre.shape[1]) for name, one in found.items()}
    return SavedModel(card, model.eval(), shapes, _read_domains(folder, card))


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
    sources = list_sources(card.features)
    return build_model(
        card.model,
        card.features,
        {name: _find_standardisation(weights, name, prefix) for name in sources},
        num_outputs=len(card.labels),
        num_emotions=len(card.emotions),
    )


def _read_domains(folder: Path, card: Card) -> dict[str, Domain]:
    """Reads the domain of each source; a card that has none has no file."""
    if card.novelty is None:
        return {}
    file = folder / DOMAIN
    if not file.is_file():
        raise FileNotFoundError(f"no domain of the saved model in {folder}: it has no {DOMAIN}")
    numbers = load_numbers(file)
    names = {name.rpartition(".")[0] for name in numbers}
    return {
        source: Domain._make(numbers[f"{source}.{field}"] for field in Domain._fields)
        for source in sorted(names)
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
