"""Published protocols of utterance emotion by name: what each fixes, and what is wrong with it."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from experiments.ser import SERConfig


class Protocol(NamedTuple):
    """What a published protocol fixes.

    Attributes:
        settings: Values by the path of the field, ``group.field``.
        remarks: What a reader of its figures has to know.
    """

    settings: dict[str, object]
    remarks: tuple[str, ...] = ()


_LINEAR_PROBE = {
    "features.standardise": "none",
    "features.layer_mixture": "sum",
    "features.aggregator": "mean",
    "dropout": 0.0,
    "training.weight_decay": 0.0,
    "training.class_weights": "none",
    "training.select_by": "wa",
    "training.average_best": 1,
}

_EMOTION2VEC = {
    **_LINEAR_PROBE,
    "data.labels": "4-class",
    "features.speech_layers": "last",
    "head": "emotion2vec",
    "hidden_size": 256,
    "training.optimizer": "rmsprop",
    "training.schedule": "cyclic",
    "training.learning_rate": 5e-4,
    "training.batch_size": 128,
    "training.epochs": 100,
    "training.patience": 100,
}

PROTOCOLS: dict[str, Protocol] = {
    "superb": Protocol(
        {
            **_LINEAR_PROBE,
            "data.split": "superb",
            "data.labels": "4-class",
            "features.speech_layers": "all",
            "head": "superb",
            "hidden_size": 256,
            "training.optimizer": "adam",
            "training.learning_rate": 1e-4,
            "training.batch_size": 32,
            "training.updates": 30_000,
            "training.evaluate_every": 1_000,
            "training.patience": 30,
        },
        (
            "valid is drawn by utterance: its dialogues and speakers are learnt from too",
            "a batch is 32 at once; s3prl adds up 8 of 4",
        ),
    ),
    "emotion2vec-session": Protocol(
        {**_EMOTION2VEC, "data.split": "emotion2vec-session"},
        (
            "valid is drawn by utterance: its dialogues and speakers are learnt from too",
            "the starred figures of the paper select on the tested session; these do not",
        ),
    ),
    "emotion2vec-speaker": Protocol(
        {**_EMOTION2VEC, "data.split": "emotion2vec-speaker"},
        (
            "who validates is not published: here the other speaker of the tested session, so that "
            "valid and test are two sides of the same conversations",
            "the starred figures of the paper select on the tested speaker; these do not",
        ),
    ),
    "emobox": Protocol(
        {
            **_LINEAR_PROBE,
            "data.split": "emobox",
            "features.standardise": "clip",
            "features.speech_layers": "last",
            "head": "emotion2vec",
            "hidden_size": 128,
            "training.optimizer": "adam",
            "training.learning_rate": 1e-4,
            "training.batch_size": 32,
            "training.epochs": 100,
            "training.patience": 100,
        },
        (
            "valid is drawn by utterance: its speakers are learnt from too",
            "where EmoBox ignores speakers, as in EmoDB, those tested are learnt from as well",
            "sizes and epochs are those of EmoBox's instructions, 128 and 100; its settings "
            "file says 256 and 20",
        ),
    ),
}


def resolve(config: "SERConfig") -> "SERConfig":
    """Returns the settings with all that the protocol fixes.

    The name of a split alone fixes nothing but the split.

    Raises:
        ValueError: A flag was given that the protocol fixes to something else.
    """
    if config.protocol == "auto":
        return config
    protocol = PROTOCOLS.get(config.protocol, Protocol({"data.split": config.protocol}))
    if config.data.speeds and config.protocol in PROTOCOLS:
        raise ValueError(f"--protocol {config.protocol} learns from recordings alone, not --speeds")
    default = type(config)()
    for path, wanted in protocol.settings.items():
        given = _read(config, path)
        if given != wanted and given != _read(default, path):
            flag = "--" + path.split(".")[-1].replace("_", "-")
            raise ValueError(
                f"--protocol {config.protocol} sets {flag} to {wanted}, got {given}; leave one of "
                "the two out"
            )
        config = _write(config, path, wanted)
    return config


def remarks(name: str) -> tuple[str, ...]:
    """Returns what a reader of a protocol's figures has to know."""
    return PROTOCOLS[name].remarks if name in PROTOCOLS else ()


def _read(config: object, path: str) -> object:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def _write(config: "SERConfig", path: str, value: object) -> "SERConfig":
    group, _, name = path.rpartition(".")
    if not group:
        return dataclasses.replace(config, **{name: value})  # type: ignore[arg-type]
    changed = dataclasses.replace(getattr(config, group), **{name: value})
    return dataclasses.replace(config, **cast("dict", {group: changed}))
