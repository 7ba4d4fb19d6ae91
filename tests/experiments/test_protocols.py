"""Published protocols by name: what they fix, and flags that contradict them."""

import dataclasses

import pytest

from conversation_emotion.settings.corpus import CorpusSettings
from conversation_emotion.settings.models import UtteranceModelSettings
from conversation_emotion.settings.protocols import resolve
from conversation_emotion.settings.recognition import SERSettings


def test_a_protocol_fixes_what_was_published():
    config = resolve(SERSettings(protocol="emotion2vec-session"))
    fixed = config.training
    assert (config.data.split, config.model.head, config.model.hidden_size) == (
        "emotion2vec-session",
        "emotion2vec",
        256,
    )
    assert (fixed.optimizer, fixed.schedule, fixed.learning_rate) == ("rmsprop", "cyclic", 5e-4)
    assert (fixed.batch_size, fixed.epochs, fixed.select_by) == (128, 100, "wa")


def test_the_name_of_a_split_fixes_the_split_alone():
    config = SERSettings(
        model=UtteranceModelSettings(hidden_size=7), protocol="leave-one-speaker-out"
    )
    split = dataclasses.replace(config.data, split="leave-one-speaker-out")
    assert resolve(config) == dataclasses.replace(config, data=split)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model": UtteranceModelSettings(head="auto", hidden_size=64)},
            "--protocol emobox sets --hidden-size to 128, got 64",
        ),
        ({"data": CorpusSettings(split="official")}, "sets --split to emobox, got official"),
        ({"data": CorpusSettings(speeds=(0.9,))}, "recordings alone, not on --speeds"),
    ],
)
def test_a_flag_against_the_protocol_is_an_error(changed, message):
    with pytest.raises(ValueError, match=message):
        resolve(SERSettings(protocol="emobox", **changed))
