"""Documents: pages of text, tables and sound, each one file that loads nothing.

A page is a template of this folder with the style of all and, where it has one, a script of its
name. Whatever a field holds is escaped; the page's policy allows this style and this script alone,
by their hashes, and forbids every request.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from conversation_emotion.features.store import write_whole
from conversation_emotion.figures.palette import look_of

SYMBOLS = {
    "circle": "●",
    "square": "■",
    "triangle-up": "▲",
    "diamond": "◆",
    "triangle-down": "▼",
    "cross": "✚",
    "x": "✖",
    "star": "★",
}
"""Letters that look like the symbols of a palette."""

LIGHTER = {"#000000": "#E6E6E6", "#0072B2": "#3D9BD9", "#8C6D00": "#C2A13A"}
"""Colours on a dark page in place of those that are lost on it."""

_NOT_CODE = Markup('<script type="application/json" id="data">{}</script>')


def render(template: str, **fields: object) -> str:
    """Writes a page.

    Args:
        template: Name of a template, without its suffix.
        **fields: What it shows; ``title`` among them. ``labels`` are the classes (C) that have
            colours, and ``data`` is what its script reads, none if missing.
    """
    labels = fields.setdefault("labels", ())
    assert isinstance(labels, Iterable)
    style = _read("document.css") + "".join(_write_colours(len(tuple(labels))))
    script = _read(f"{template}.js") if _folder().joinpath(f"{template}.js").is_file() else ""
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; media-src data:; form-action 'none'; base-uri 'none'"
    )
    return (
        _environment()
        .get_template(f"{template}.html")
        .render(
            fields,
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            data_block=_NOT_CODE.format(Markup(as_script(fields.get("data")))),
            version=version("conversation-emotion"),
        )
    )


def write_page(path: Path, page: str) -> None:
    """Writes a page, whole or not at all.

    Raises:
        ValueError: The path cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda place: place.write_text(page, "utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from error


def as_script(data: object) -> str:
    """Writes data so that nothing in it can end the script that holds it."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def format_markdown(text: str) -> Markup:
    """Turns Markdown into HTML, without its front matter; HTML within it is shown as text.

    Headings begin at the third level, to lie below those of the page; links become text, since a
    page goes to places where they mean nothing.
    """
    if text.startswith("---\n"):
        text = text.split("\n---\n", 1)[-1]
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "image"])
    tokens = parser.parse(text)
    for token in tokens:
        if token.tag in ("h1", "h2", "h3", "h4"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        if token.type == "table_open":
            token.attrSet("class", "numbers")
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def symbol_of(number: int) -> str:
    """Returns the letter of a class by its number."""
    return SYMBOLS[look_of(number).symbol]


def _write_colours(count: int) -> Iterator[str]:
    """Yields the style of each class, for light and dark pages."""
    looks = [look_of(number) for number in range(count)]
    for number, look in enumerate(looks):
        dark = LIGHTER.get(look.colour, look.colour)
        yield f".e{number} {{ --e: {look.colour}; }}\n"
        yield f"@media (prefers-color-scheme: dark) {{ .e{number} {{ --e: {dark}; }} }}\n"


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _folder():
    return files("conversation_emotion.figures").joinpath("templates")


def _read(name: str) -> str:
    return _folder().joinpath(name).read_text("utf-8")


@cache
def _environment() -> Environment:
    loader = PackageLoader("conversation_emotion.figures")
    found = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["symbol_of"] = symbol_of
    return found
