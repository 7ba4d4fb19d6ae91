"""Published protocols of utterance emotion by name: what each fixes, and what is wrong with it."""

import dataclasses
from typing import Any, NamedTuple, TypeVar

from conversation_emotion.settings.flags import flag_of

Settings = TypeVar("Settings")


class PublishedProtocol(NamedTuple):
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
    "model.dropout": 0.0,
    "training.weight_decay": 0.0,
    "training.class_weights": "none",
    "training.select_by": "wa",
    "training.average_best": 1,
}

_EMOTION2VEC = {
    **_LINEAR_PROBE,
    "data.labels": "4-class",
    "features.speech_layers": "last",
    "model.head": "emotion2vec",
    "model.hidden_size": 256,
    "training.optimizer": "rmsprop",
    "training.schedule": "cyclic",
    "training.learning_rate": 5e-4,
    "training.batch_size": 128,
    "training.epochs": 100,
    "training.patience": 100,
}

PROTOCOLS: dict[str, PublishedProtocol] = {
    "superb": PublishedProtocol(
        {
            **_LINEAR_PROBE,
            "data.split": "superb",
            "data.labels": "4-class",
            "features.speech_layers": "all",
            "model.head": "superb",
            "model.hidden_size": 256,
            "training.optimizer": "adam",
            "training.learning_rate": 1e-4,
            "training.batch_size": 32,
            "training.updates": 30_000,
            "training.evaluate_every": 1_000,
            "training.patience": 30,
        },
        (
            "valid is drawn by utterance: its dialogues and speakers are also in train",
            "a batch is 32 at once; s3prl adds up 8 of 4",
        ),
    ),
    "emotion2vec-session": PublishedProtocol(
        {**_EMOTION2VEC, "data.split": "emotion2vec-session"},
        (
            "valid is drawn by utterance: its dialogues and speakers are also in train",
            "the starred figures of the paper select on the tested session; these do not",
        ),
    ),
    "emotion2vec-speaker": PublishedProtocol(
        {**_EMOTION2VEC, "data.split": "emotion2vec-speaker"},
        (
            "who validates is not published: here the other speaker of the tested session, so that "
            "valid and test are two sides of the same conversations",
            "the starred figures of the paper select on the tested speaker; these do not",
        ),
    ),
    "emobox": PublishedProtocol(
        {
            **_LINEAR_PROBE,
            "data.split": "emobox",
            "features.standardise": "clip",
            "features.speech_layers": "last",
            "model.head": "emotion2vec",
            "model.hidden_size": 128,
            "training.optimizer": "adam",
            "training.learning_rate": 1e-4,
            "training.batch_size": 32,
            "training.epochs": 100,
            "training.patience": 100,
        },
        (
            "valid is drawn by utterance: its speakers are also in train",
            "where EmoBox ignores speakers, as in EmoDB, those of test are also in train",
            "sizes and epochs are those of EmoBox's instructions, 128 and 100; its settings "
            "file says 256 and 20",
        ),
    ),
}


def resolve(settings: Settings) -> Settings:
    """Returns the settings with everything that their ``protocol`` fixes.

    The name of a split alone fixes nothing but the split.

    Args:
        settings: A dataclass with a field ``protocol`` and groups of fields.

    Raises:
        ValueError: A flag was given that the protocol fixes to something else.
    """
    given: Any = settings
    name = given.protocol
    if name == "auto":
        return settings
    protocol = PROTOCOLS.get(name, PublishedProtocol({"data.split": name}))
    if given.data.speeds and name in PROTOCOLS:
        raise ValueError(f"--protocol {name} trains on recordings alone, not on --speeds")
    default = type(given)()
    for path, wanted in protocol.settings.items():
        group, _, field = path.partition(".")
        value = getattr(getattr(given, group), field)
        if value != wanted and value != getattr(getattr(default, group), field):
            raise ValueError(
                f"--protocol {name} sets {flag_of(field)} to {wanted}, got {value}; leave one of "
                "the two out"
            )
        changed = dataclasses.replace(getattr(given, group), **{field: wanted})
        given = dataclasses.replace(given, **{group: changed})
    return given


def remarks(name: str) -> tuple[str, ...]:
    """Returns what a reader of a protocol's figures has to know."""
    return PROTOCOLS[name].remarks if name in PROTOCOLS else ()
