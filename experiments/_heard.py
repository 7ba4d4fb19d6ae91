"""What encoders heard in pre-training, said beside every score on a corpus that was among it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from conversation_emotion.settings.features import split_encoder

HEARD: dict[str, dict[str, str]] = {
    "emotion2vec-mini": {
        "ravdess": "its 720 clips of actors 01 to 12, without labels",
        "tess": "its 2,800 clips, without labels",
    },
    "emotion2vec_base": dict.fromkeys(
        ("iemocap", "meld", "cmu-mosei", "mead", "msp-podcast"), "without labels"
    ),
}
"""Corpora by encoder; of others it is not known here."""


def describe_heard(encoders: Iterable[str], corpora: Iterable[str]) -> Iterator[str]:
    """Says which of the corpora each encoder was pre-trained on."""
    corpora = list(corpora)
    for encoder in dict.fromkeys(part for name in encoders for part in split_encoder(name)):
        heard = HEARD.get(Path(encoder).name, {})
        for corpus in corpora:
            if corpus in heard:
                yield f"{encoder} was pre-trained on {corpus}: {heard[corpus]}"
