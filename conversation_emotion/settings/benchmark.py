"""Settings of the board: which encoders, on which tasks, of which corpora."""

from dataclasses import dataclass
from pathlib import Path

from conversation_emotion.settings.corpus import list_corpora, parse_places
from conversation_emotion.settings.features import check_encoders
from conversation_emotion.settings.flags import check_unique

KINDS = ("ser", "shuffled", "cross", "erc", "epc", "sentiment", "dimensions")
"""What is asked of an encoder: the emotion of single utterances, that with speakers in train and
test, that on another corpus, of the turn that just ended, of the turn to come, the sentiment, and
activation, valence and dominance."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """Settings of one board."""

    speech_encoder: tuple[str, ...] = ("fbank", "mfcc", "emotion2vec-mini", "whisper-base-lower")
    """Speech encoders, by name, hub id or folder."""

    text_encoder: tuple[str, ...] = ("all-MiniLM-L6-v2",)
    """Text encoders, by name, hub id or folder."""

    joined: bool = False
    """Also every speech encoder with every text encoder, fused early, where turns have both."""

    roots: tuple[str, ...] = ("demo",)
    """Corpora with their folders, such as demo emodb=EmoDB meld=MELD.Raw."""

    tasks: tuple[str, ...] = ()
    """Tasks to measure, by name such as epc-demo or by kind such as epc; none takes all that the
    corpora allow, without dimensions, which take minutes an encoder."""

    output: Path = Path("mlruns") / "benchmark"
    """Folder of the results, a file for each task and encoder, and of the board. What is there is
    not measured again."""

    also: tuple[Path, ...] = ()
    """Folders of results that others measured, which join the board."""

    def __post_init__(self) -> None:
        for flag, names in (
            ("--speech-encoder", self.speech_encoder),
            ("--text-encoder", self.text_encoder),
            ("--roots", self.roots),
        ):
            check_unique(flag, names)
        if self.speech_encoder:
            check_encoders(self.speech_encoder)
        if self.joined and not (self.speech_encoder and self.text_encoder):
            raise ValueError("--joined needs encoders of speech and of text")
        if not (self.speech_encoder or self.text_encoder or self.also):
            raise ValueError("--speech-encoder and --text-encoder are empty; name one")
        self.places()

    def places(self) -> dict[str, Path | None]:
        """Returns the folder of each corpus; demo has none."""
        named = [root for root in self.roots if root != "demo"]
        own: dict[str, Path | None] = {"demo": None} if "demo" in self.roots else {}
        return own | {**parse_places("--roots", named, tuple(list_corpora()))}
