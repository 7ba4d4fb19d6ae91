"""Whether the process that works on a trial is still alive, on whatever machine.

On this machine `experiments.tracking.processes` answers that, elsewhere a heartbeat in the storage,
whatever the storage is. Clocks of machines are not compared: a heartbeat that does not change while
this process watches has stopped.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HEARTBEAT_SECONDS = 20.0
"""Between two heartbeats."""

GRACE_SECONDS = 120.0
"""Without a heartbeat, after which a process on another machine is taken for dead."""


@dataclass(eq=False)
class HeartbeatWatch:
    """Detects heartbeats that have stayed the same for a grace period."""

    grace_seconds: float = GRACE_SECONDS
    _seen: dict[object, tuple[object, float]] = field(default_factory=dict)

    def has_stopped(self, who: object, heartbeat: object, grace: float | None = None) -> bool:
        """Notes a heartbeat and returns whether it has been the same for the grace period."""
        now = time.monotonic()
        before, since = self._seen.setdefault(who, (heartbeat, now))
        if before != heartbeat:
            self._seen[who] = (heartbeat, now)
            return False
        return now - since > (self.grace_seconds if grace is None else grace)


@contextmanager
def send_heartbeats(
    write: Callable[[int], None], seconds: float = HEARTBEAT_SECONDS
) -> Iterator[None]:
    """Has heartbeats written, by their number, from a thread of its own while a block runs."""
    ended = threading.Event()

    def run() -> None:
        number = 0
        while not ended.wait(seconds):
            number += 1
            with suppress(Exception):  # the storage was away for a moment, or the trial is over
                write(number)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
