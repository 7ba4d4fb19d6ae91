"""The pages of the demo, by Gradio: a recording in, the page of its conversation out.

A request shares nothing with another: what it predicts is returned and not kept. Gradio takes
files from its own folder of uploads alone, which is a temporary one here.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.framework.commandline import describe_error

if TYPE_CHECKING:
    from gradio import Blocks

Predict = Callable[[Path], str]
"""Turns a recording into a page."""

HOST = "127.0.0.1"

WAITING = 20
"""Recordings that may wait for their turn; further ones are told to come back."""

SWEEP_SECONDS, KEEP_SECONDS = 60, 900
"""How often uploads are looked through, and the age from which they are removed."""

_STYLE = "footer { display: none !important; } iframe { width: 100%; height: 85vh; border: 0; }"

_DARKER = {
    f"button_primary_background_fill{state}{scheme}": "*primary_800"
    for state in ("", "_hover")
    for scheme in ("", "_dark")
}
"""White letters on Gradio's own blue lack contrast while the mouse is on them."""


@contextmanager
def open_pages(predict: Predict, about: str, *, max_bytes: int, port: int | None) -> Iterator[str]:
    """Serves the demo on this computer, and yields its address.

    Args:
        predict: Turns a recording into a page; what it raises is shown as a sentence.
        about: What is said above the form, as Markdown.
        max_bytes: Size beyond which an upload is refused.
        port: Port to listen on; None takes a free one.

    Raises:
        ModuleNotFoundError: gradio is not installed.
        OSError: The port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="conversation-emotion-demo-") as folder:
        # Gradio reads these when it is imported.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        pages = _build(predict, about)
        from gradio.themes import Base

        try:
            pages.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                run_history=False,
                enable_monitoring=False,
                max_file_size=max_bytes,
                footer_links=[],
                css=_STYLE,
                theme=Base(font=["system-ui"], font_mono=["ui-monospace"]).set(**_DARKER),
            )
            yield str(pages.local_url)
        finally:
            pages.close(verbose=False)


def _build(predict: Predict, about: str) -> "Blocks":
    gradio = _import()

    def answer(path: str | None) -> str:
        if path is None:
            return _say("choose a recording first, or record one")
        try:
            return frame(predict(Path(path)), Path(path).name)
        except Exception as error:  # of any kind: others go on
            return _say(describe_error(error).replace(f"{Path(path).parent}{os.sep}", ""))

    with gradio.Blocks(
        title="Emotions of a conversation",
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, KEEP_SECONDS),
    ) as pages:
        gradio.Markdown(about)
        sound = gradio.Audio(
            label="Recording",
            sources=["upload", "microphone"],
            type="filepath",
            buttons=[],
            waveform_options={"show_recording_waveform": False},
        )
        sound.async_move_resource_to_block_cache = _refuse_addresses(
            sound.async_move_resource_to_block_cache
        )
        button = gradio.Button("Show who felt what", variant="primary")
        answered = gradio.HTML(label="Timeline")
        button.click(answer, sound, answered, api_visibility="private")
    return pages.queue(max_size=WAITING, default_concurrency_limit=1)


def _refuse_addresses(move: Callable) -> Callable:
    """Keeps Gradio from fetching what a request names by an address in place of an upload."""

    async def move_upload(path: str) -> str | None:
        if "://" in path:
            raise ValueError("a recording is uploaded or recorded, and not fetched from an address")
        return await move(path)

    return move_upload


def frame(page: str, name: str) -> str:
    """Puts a page into one of its own within Gradio's, which it can neither read nor change."""
    # Gradio takes braces and dollars for its own templates.
    inner = escape(page).replace("{", "&#123;").replace("$", "&#36;")
    title = escape(f"Timeline of {name}").replace("{", "&#123;").replace("$", "&#36;")
    return f'<iframe title="{title}" sandbox="allow-scripts" srcdoc="{inner}"></iframe>'


def _say(sentence: str) -> str:
    shown = escape(sentence).replace("{", "&#123;").replace("$", "&#36;")
    return f'<p role="alert">{shown}</p>'


def _import():
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the demo needs gradio, which is not installed: "
            "pip install 'conversation-emotion[demo]'"
        ) from error
    return gradio
