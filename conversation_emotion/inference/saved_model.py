"""A trained model as a folder: weights, and all that it takes to hear and read as in training.

    model.safetensors    the weights, the statistics of train among them
    config.json          a `Card`: classes in the order of the outputs, settings, identities of the
                         encoders, how it was trained
    README.md            the same for people

Nothing is pickled. The encoders are not inside: they are loaded by the names in the settings, and
have to be those that the model was trained on.
"""

import json
from pathlib import Path
from typing import NamedTuple, TypeVar

from experiments._encoders import list_sources
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from conversation_emotion.inference.card import FORMAT, Card, describe
from conversation_emotion.models.perception import Standardisation
from experiments import _models
from experiments.epc import EPCConfig
from experiments.ser import SERConfig

WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"

SavedConfig = EPCConfig | SERConfig

CONFIGS: dict[str, type[SavedConfig]] = {"epc": EPCConfig, "ser": SERConfig}
"""The settings of each experiment whose models can be saved."""

Value = TypeVar("Value")


class SavedModel(NamedTuple):
    """A model that was loaded.

    Attributes:
        card: What is known of it.
        config: The settings of its experiment.
        model: The network, ready to judge.
        shapes: Layers and features (L, D) of the hidden states of each source.
    """

    card: Card
    config: SavedConfig
    model: nn.Module
    shapes: dict[str, tuple[int, int]]


def dump_settings(config: object) -> dict[str, object]:
    """Returns the settings fit for JSON; of the corpus' place only the last folder is kept."""
    settings: dict[str, object] = json.loads(TypeAdapter(type(config)).dump_json(config))
    data = settings["data"]
    assert isinstance(data, dict), "every experiment names its corpus"
    for name in ("root", "superb_folds"):
        if data[name] is not None:
            data[name] = Path(str(data[name])).name
    return settings


def save_model(folder: Path, model: nn.Module, card: Card) -> None:
    """Writes weights, card and its text into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    save_file(
        {name: value.cpu().contiguous().clone() for name, value in state.items()}, folder / WEIGHTS
    )
    (folder / CONFIG).write_bytes(TypeAdapter(Card).dump_json(card, indent=2))
    (folder / README).write_text(describe(card), "utf-8")


def load_model(folder: Path) -> SavedModel:
    """Loads a folder that `save_model` wrote.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The card is of another format, or its settings are none of this version.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no saved model in {folder}: it has no {name}")
    card = _read_card(folder / CONFIG)
    config = _read_settings(card, folder / CONFIG)
    weights = load_file(folder / WEIGHTS)
    found = {name: _find_standardisation(weights, name) for name in list_sources(card.features)}
    model = _build(config, card, found)
    model.load_state_dict(weights)
    shapes = {name: _shape(standardisation) for name, standardisation in found.items()}
    return SavedModel(card, config, model.eval(), shapes)


def _build(
    config: SavedConfig, card: Card, standardisations: dict[str, Standardisation]
) -> nn.Module:
    num_classes = len(card.labels)
    if isinstance(config, SERConfig):
        perceptions = _models.build_perceptions(
            card.features, standardisations, _models.frame_map_of(config)
        )
        return _models.build_utterance_model(config, perceptions, num_classes=num_classes)
    perceptions = _models.build_perceptions(card.features, standardisations)
    return _models.build_model(
        config, perceptions, num_classes=num_classes, num_emotions=len(card.emotions)
    )


def _find_standardisation(weights: dict[str, Tensor], source: str) -> Standardisation:
    """Takes what was fitted on train from the weights, whose shapes tell those of the model."""
    place = f"perceptions.{source}.standardisation"
    return Standardisation(
        weights[f"{place}.centre"], weights.get(f"{place}.components"), weights[f"{place}.scale"]
    )


def _shape(standardisation: Standardisation) -> tuple[int, int]:
    num_layers, size = standardisation.centre.shape
    return num_layers, size


def _read_card(file: Path) -> Card:
    written = json.loads(file.read_text("utf-8"))
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        found = written.get("format") if isinstance(written, dict) else None
        raise ValueError(f"{file}: a saved model of format {found!r}, expected {FORMAT}")
    return _read(Card, written, file)


def _read_settings(card: Card, file: Path) -> SavedConfig:
    if card.experiment not in CONFIGS:
        raise ValueError(
            f"{file}: a model of the experiment {card.experiment!r}, expected one of "
            f"{', '.join(CONFIGS)}"
        )
    return _read(CONFIGS[card.experiment], card.settings, file)


def _read(kind: type[Value], written: object, file: Path) -> Value:
    """Reads a dataclass that was written as JSON; a field it does not know is an error."""
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
