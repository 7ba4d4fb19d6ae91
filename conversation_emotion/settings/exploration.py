"""Settings of the exploration of a corpus."""

from dataclasses import dataclass, field
from pathlib import Path

from conversation_emotion.settings.corpus import OneCorpusSettings
from conversation_emotion.settings.features import Layers, check_encoders
from conversation_emotion.settings.flags import check_at_least, check_unique


@dataclass(frozen=True, kw_only=True)
class ExploreSettings:
    """Which corpus, by which classes, and what the page holds."""

    data: OneCorpusSettings = field(default_factory=OneCorpusSettings)

    target: str = "emotion"
    """Column whose values are the classes: emotion, sentiment, or any other of the table, such as
    gender. All of its values count, as the corpus names them."""

    raters: tuple[str, ...] = ()
    """Columns that hold the labels of a rater each; without any, the column votes."""

    speech_encoder: tuple[str, ...] = ("whisper-base-lower",)
    """Encoders whose space is shown, named as in experiments.ser; followed by no name, none is.
    eGeMAPS is measured besides, where openSMILE is installed."""

    speech_layers: Layers = "last"
    """Layer to show: the last, the mean of the last four, or a number."""

    text_encoder: tuple[str, ...] = ("all-MiniLM-L6-v2",)
    """Encoders of the words whose space is shown, where most utterances have words of their own;
    followed by no name, none is."""

    sample: int = 1000
    """Utterances that encoders see, drawn at random from more; all others count everywhere else."""

    clips: int = 6
    """Odd clips that are shown of each kind, the oddest first."""

    audio_mib: float = 4.0
    """MiB of sound within the page; from the first clip that does not fit on, they are silent, and
    the page says so. 0 leaves all sound out."""

    output: Path | None = None
    """Page to write (.html), with its data next to it (.json); without it, mlruns/explore/ and the
    name of the corpus."""

    def __post_init__(self) -> None:
        if self.speech_encoder:
            check_encoders(self.speech_encoder, concatenated=False)
        check_unique("--text-encoder", self.text_encoder)
        check_unique("--raters", self.raters)
        check_at_least(self, 10, "sample")
        check_at_least(self, 0, "clips", "audio_mib")
        if self.speech_layers == "all":
            raise ValueError("--speech-layers all has several spaces; name one layer, or last-4")
        if self.output is not None and self.output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--output must end in .html, got {self.output}")
