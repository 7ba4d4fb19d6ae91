"""Opens MLflow's pages on the runs of this folder, to compare them in the browser.

    python -m experiments.ui
    python -m experiments.ui --port 5001
    python -m experiments.ui RUN RUN

Prints the addresses of the newest command's runs, the best first, and of the charts that compare
them by what varies: the trials of a sweep, or the runs that are named. The store is `mlruns/` of
the current folder, or that which MLFLOW_TRACKING_URI names. Only this computer can see the pages,
unless --host says otherwise: MLflow asks nobody for a password. Ctrl-C ends it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import tyro

from experiments.framework.commandline import launch


@dataclass(frozen=True, kw_only=True)
class UISettings:
    """Where the pages are served."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Ids of runs to compare; of one sweep alone, its trials. None takes the newest command's."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets anybody in the network read and change the runs."""

    port: int | None = None
    """Port to listen on; none takes 5000, or any that is free."""

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"--port must lie between 1 and 65535, got {self.port}")


class Place(NamedTuple):
    """Something to see, and where below the server's address."""

    what: str
    path: str


def find_places(settings: UISettings) -> list[Place]:
    """Finds the runs to look at, and the page that compares them.

    Raises:
        FileNotFoundError: There is no store yet.
        ValueError: The store is a server that has pages of its own, or too many runs are named.
    """
    from experiments.tracking.addresses import (
        MOST,
        compare_runs,
        find_comparable,
        find_newest,
        show_runs,
    )
    from experiments.tracking.server import find_own_store
    from experiments.tracking.store import open_client

    find_own_store()
    if len(settings.runs) > MOST:
        raise ValueError(f"up to {MOST} runs are compared by name, got {len(settings.runs)}")
    client = open_client()
    named = [client.get_run(run) for run in settings.runs]
    newest = named[0] if named else find_newest(client)
    if newest is None:
        return [Place("MLflow's pages, without a run yet", "")]
    found = named if len(named) > 1 else find_comparable(client, newest) or [newest]
    experiments = {str(run.info.experiment_id) for run in found}
    if len(experiments) > 1:
        return [Place(f"{len(found)} runs compared", compare_runs(found))]
    name = client.get_experiment(experiments.pop()).name
    table, charts = show_runs(client, found)
    places = [Place(f"runs of {name}", table), Place(f"{len(found)} of them compared", charts)]
    return places[: len(found)]


def run(settings: UISettings) -> None:
    """Serves the pages until it is interrupted."""
    from experiments.tracking.server import serve

    places = find_places(settings)
    try:
        with serve(settings.host, settings.port) as pages:
            for place in places:
                print(f"{place.what}: {pages.address}{place.path}", flush=True)
            print("Ctrl-C ends it", flush=True)
            status = pages.server.wait()
    except KeyboardInterrupt:
        print("\nended")
    else:
        raise OSError(f"MLflow's server ended by itself, with status {status}")


main = partial(launch, run, UISettings, "ui")

if __name__ == "__main__":
    main()
