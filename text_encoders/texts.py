"""The border of every text encoder: what it accepts."""

from collections.abc import Sequence


def check_texts(texts: Sequence[str]) -> None:
    """Checks texts before they are encoded.

    Raises:
        ValueError: There are no texts, or one is empty.
    """
    if isinstance(texts, str) or not texts:
        raise ValueError(f"texts are {texts!r}, expected a sequence of one text or more")
    if empty := [position for position, text in enumerate(texts) if not text.strip()]:
        raise ValueError(
            f"text {empty[0]} is empty ({len(empty)} of {len(texts)} are); "
            "mask utterances without words before encoding"
        )
