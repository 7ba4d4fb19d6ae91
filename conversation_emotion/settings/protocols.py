"""Published protocols of utterance emotion by name: what each fixes, and what is wrong with it."""

from typing import Any, NamedTuple, TypeVar

from conversation_emotion.settings.flags import change, flag_of, flatten

Settings = TypeVar("Settings")


class PublishedProtocol(NamedTuple):
    """What a published protocol fixes.

    Attributes:
        settings: Values by flag.
        remarks: What a reader of its figures has to know.
    """

    settings: dict[str, object]
    remarks: tuple[str, ...] = ()


_LINEAR_PROBE = {
    "standardise": "none", "layer_mixture": "sum", "aggregator": "mean", "dropout": 0.0,
    "weight_decay": 0.0, "class_weights": "none", "reweight_groups": (), "select_by": "wa",
    "average_best": 1, "loss": "cross-entropy", "sampling": "natural", "mixup": 0.0,
}  # fmt: skip

_EMOTION2VEC = {
    **_LINEAR_PROBE, "labels": "4-class", "speech_layers": "last", "head": "emotion2vec",
    "hidden_size": 256, "optimizer": "rmsprop", "schedule": "cyclic", "learning_rate": 5e-4,
    "batch_size": 128, "epochs": 100, "patience": 100,
}  # fmt: skip

PROTOCOLS: dict[str, PublishedProtocol] = {
    "superb": PublishedProtocol(
        {
            **_LINEAR_PROBE,
            "split": "superb",
            "labels": "4-class",
            "speech_layers": "all",
            "head": "superb",
            "hidden_size": 256,
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "batch_size": 32,
            "updates": 30_000,
            "evaluate_every": 1_000,
            "patience": 30,
        },
        (
            "valid is drawn by utterance: its dialogues and speakers are also in train",
            "a batch is 32 at once; s3prl adds up 8 of 4",
        ),
    ),
    "emotion2vec-session": PublishedProtocol(
        {**_EMOTION2VEC, "split": "emotion2vec-session"},
        (
            "valid is drawn by utterance: its dialogues and speakers are also in train",
            "the starred figures of the paper select on the tested session; these do not",
        ),
    ),
    "emotion2vec-speaker": PublishedProtocol(
        {**_EMOTION2VEC, "split": "emotion2vec-speaker"},
        (
            "who validates is not published: here the other speaker of the tested session, so that "
            "valid and test are two sides of the same conversations",
            "the starred figures of the paper select on the tested speaker; these do not",
        ),
    ),
    "emobox": PublishedProtocol(
        {
            **_LINEAR_PROBE,
            "split": "emobox",
            "standardise": "clip",
            "speech_layers": "last",
            "head": "emotion2vec",
            "hidden_size": 128,
            "optimizer": "adam",
            "learning_rate": 1e-4,
            "batch_size": 32,
            "epochs": 100,
            "patience": 100,
        },
        (
            "valid is drawn by utterance: its speakers are also in train",
            "where EmoBox ignores speakers, as in EmoDB, those of test are also in train",
            "sizes and epochs are those of EmoBox's instructions, 128 and 100; its settings "
            "file says 256 and 20",
        ),
    ),
    "naturalistic": PublishedProtocol(
        {
            "split": "official",
            "labels": "8-class",
            "targets": ("distribution",),
            "no_agreement": "keep",
            "select_by": "macro_f1",
        },
        (
            "parts, classes and metric (macro F1) of the challenge of Interspeech 2025, soft "
            "targets and utterances without agreement as its best systems had them; encoder and "
            "head are free",
            "test is Test1: the labels of the challenge's own test part are not distributed",
            "soft labels are scored by JSD, KL and Brier from the shares of the votes",
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
    if given.protocol == "auto":
        return settings
    protocol = PROTOCOLS.get(given.protocol, PublishedProtocol({"split": given.protocol}))
    if given.protocol in PROTOCOLS and (given.data.speeds or given.data.trimmed):
        flag = "--speeds" if given.data.speeds else "--trimmed"
        raise ValueError(f"--protocol {given.protocol} trains on recordings alone, not on {flag}")
    values, defaults = flatten(given), flatten(type(given)())
    for name, wanted in protocol.settings.items():
        if values[name] not in (wanted, defaults[name]):
            raise ValueError(
                f"--protocol {given.protocol} sets {flag_of(name)} to {wanted}, got "
                f"{values[name]}; leave one of the two out"
            )
    return change(settings, **protocol.settings)


def remarks(name: str) -> tuple[str, ...]:
    """Returns what a reader of a protocol's figures has to know."""
    return PROTOCOLS[name].remarks if name in PROTOCOLS else ()
