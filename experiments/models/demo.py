"""Opens the demo in the browser: upload or record a conversation, and see who felt what and when.

    conversation-emotion demo
    conversation-emotion demo --model voices --max-minutes 30

Needs gradio: pip install 'conversation-emotion[demo]'. Only this computer can see the pages, at
127.0.0.1, and nothing is sent from it. Recordings lie in a temporary folder, are removed some
minutes after their upload, and all when Ctrl-C ends the demo. Many can use it at once; recordings
wait for each other.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from conversation_emotion.settings.turns import TurnSettings
from experiments.framework.commandline import launch


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Which model predicts, and how much it takes."""

    model: str = "default"
    """As of `predict`: a registered model, a run, the folder of a saved model, or default."""

    turns: TurnSettings = field(default_factory=TurnSettings)

    port: int | None = None
    """Port to listen on; none takes 7860, or the next that is free."""

    max_mib: float = 50.0
    """Largest file, in MiB."""

    max_minutes: float = 10.0
    """Longest recording."""

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"--port must lie between 1 and 65535, got {self.port}")
        for name in ("max_mib", "max_minutes"):
            if not 0 < getattr(self, name) < float("inf"):
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be above 0, got {getattr(self, name):g}")


@contextmanager
def serve(settings: DemoSettings) -> Iterator[str]:
    """Serves the demo, and yields its address; errors as of `open_pages` and `Predictor.load`."""
    from conversation_emotion.inference.page import read_about, render_page
    from conversation_emotion.inference.predictor import Predictor
    from conversation_emotion.inference.recordings import predict_rows, read_rows
    from conversation_emotion.inference.saved_model import find_model
    from conversation_emotion.settings.cache import passing_cache
    from conversation_emotion.settings.page import PageSettings
    from conversation_emotion.utterances.audio import measure_seconds
    from experiments.models.demo_pages import open_pages

    folder = find_model(settings.model)
    predictor = Predictor.load(folder)
    card = predictor.saved.card
    about = read_about(folder, card)

    def predict(path: Path) -> str:
        minutes, mib = measure_seconds(path) / 60, path.stat().st_size / 2**20
        if minutes > settings.max_minutes or mib > settings.max_mib:
            raise ValueError(
                f"{path.name} has {minutes:.1f} minutes and {mib:.1f} MiB, the demo takes "
                f"{settings.max_minutes:g} and {settings.max_mib:g}; cut it, or use "
                "`conversation-emotion predict --report`, which takes any length"
            )
        with passing_cache():  # nothing of what people upload stays
            rows = read_rows([path], settings.turns, is_conversation=card.is_conversation)
            table = predict_rows(predictor, rows, classes=(), min_confidence=0.0)
        return render_page(table, card, PageSettings(), about=about, title=path.name)

    with open_pages(
        predict, _introduce(settings), max_bytes=int(settings.max_mib * 2**20), port=settings.port
    ) as address:
        yield address


def _introduce(settings: DemoSettings) -> str:
    return f"""# Emotions of a conversation

Upload a recording, or record one: up to {settings.max_minutes:g} minutes and
{settings.max_mib:g} MiB. It stays on this computer and is removed some minutes later.

Acted emotion is not felt emotion: what a model says of a voice is a guess, and no ground to judge
people. Use it with the consent of all who speak. At work and in education the EU's AI Act
(Article 5(1)(f)) forbids inferring emotions."""


def run(settings: DemoSettings) -> None:
    """Serves the demo until it is interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the uploads are removed then too
    try:
        with serve(settings) as address:
            print(f"the demo is at {address} (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("\nended")


main = partial(launch, run, DemoSettings, "models.demo")

if __name__ == "__main__":
    main()
