"""Names of encoders on the command line; ``A+B`` are two speech encoders heard side by side."""

from pathlib import Path

ONE_LAYER = ("fbank", "mfcc", "egemaps")
"""Speech encoders without layers to choose from."""

ONE_VECTOR = ("egemaps",)
"""Speech encoders whose frames need no pooling, there being one."""


def split_encoder(name: str) -> tuple[str, ...]:
    """Splits the name of encoders side by side; a path that exists is one encoder.

    Raises:
        ValueError: A name is empty or stands twice.
    """
    if "+" not in name or Path(name).expanduser().exists():
        return (name,)
    names = tuple(part.strip() for part in name.split("+"))
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(f"encoders side by side must be named and differ, as in A+B; got {name!r}")
    return names


def check_encoders(names: tuple[str, ...], *, side_by_side: bool = True) -> None:
    """Checks the encoders to compare.

    Args:
        names: What --encoders was given.
        side_by_side: Whether the experiment can hear several as one.

    Raises:
        ValueError: There is none, one is named twice, or there are several where one is needed.
    """
    if not names:
        raise ValueError("--encoders needs one encoder or more")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"--encoders names {repeated[0]} more than once")
    for name in names:
        if len(split_encoder(name)) > 1 and not side_by_side:
            raise ValueError(f"{name} are several encoders; one at a time is heard here")
