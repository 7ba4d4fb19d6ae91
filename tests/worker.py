"""A process of a parallel session, forked from the one that has imported the libraries.

xdist starts it as it would start a Python, with ``-u -c LINE``, and speaks with it through its
standard streams, which the forked process takes over.
"""

import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import processes


def serve(
    line: str, streams: tuple[Connection, Connection], environment: Mapping[str, str]
) -> None:
    """Runs a line as a Python does that has these standard streams and variables."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin = os.fdopen(0, closefd=False)
    exec(line, {"__name__": "__main__"})


if __name__ == "__main__":
    processes.join_forkserver()
    given = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    sys.exit(processes.fork(serve, sys.argv[-1], given, dict(os.environ)))
