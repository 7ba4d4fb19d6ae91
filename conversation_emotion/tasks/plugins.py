"""Tasks that other packages bring."""

from importlib.metadata import entry_points


def find_tasks() -> dict[str, type]:
    """Returns the classes of tasks by name, of the entry points of conversation_emotion.tasks."""
    return {entry.name: entry.load() for entry in entry_points(group="conversation_emotion.tasks")}
