"""Where features and unpacked recordings are kept."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Returns ``CONVERSATION_EMOTION_CACHE`` or the user's cache folder; makes neither."""
    given = os.environ.get("CONVERSATION_EMOTION_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("conversation-emotion")
