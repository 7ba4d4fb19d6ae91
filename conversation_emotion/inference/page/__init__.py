"""Pages of predictions: timelines with their sound, and what the model is."""

from conversation_emotion.figures.documents import write_page
from conversation_emotion.inference.page.page import read_about, render_page

__all__ = ["read_about", "render_page", "write_page"]
