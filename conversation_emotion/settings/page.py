"""What a page of predictions holds."""

from dataclasses import dataclass
from pathlib import Path

from conversation_emotion.settings.flags import check_at_least


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """Whether there is a page, and how large it may become."""

    report: Path | None = None
    """Page to write as well (.html): one file, which needs no network, with the timeline of each
    conversation, its sound, and what the model is. None without it."""

    report_audio_mib: float = 20.0
    """MiB of sound within the page, enough for two hours; from the first recording that does not
    fit on, they are silent, and the page says so. 0 leaves all sound out."""

    report_recordings: int = 20
    """Recordings within the page; what is beyond is in the table alone, and the page says so."""

    def __post_init__(self) -> None:
        check_at_least(self, 0, "report_audio_mib")
        check_at_least(self, 1, "report_recordings")
        if self.report is not None and self.report.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"--report must end in .html, got {self.report}")
