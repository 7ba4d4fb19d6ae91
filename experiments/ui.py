"""Opens MLflow's pages on the runs of this folder, to compare them in the browser.

    python -m experiments.ui
    python -m experiments.ui --port 5001

The store is `mlruns/` of the current folder, or that which MLFLOW_TRACKING_URI names. Only this
computer can see the pages, unless --host says otherwise: MLflow asks nobody for a password. Ctrl-C
ends it.
"""

from dataclasses import dataclass
from functools import partial

from experiments.commandline import launch


@dataclass(frozen=True, kw_only=True)
class UISettings:
    """Where the pages are served."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets anybody in the network read and change the runs."""

    port: int | None = None
    """Port to listen on; none takes 5000, or any that is free."""

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"--port must lie between 1 and 65535, got {self.port}")


def run(settings: UISettings) -> None:
    """Serves the pages until it is interrupted."""
    from experiments.tracking.server import serve

    try:
        with serve(settings.host, settings.port) as pages:
            print(f"the runs are at {pages.address} (Ctrl-C ends it)", flush=True)
            status = pages.server.wait()
    except KeyboardInterrupt:
        print("\nended")
    else:
        raise OSError(f"MLflow's server ended by itself, with status {status}")


main = partial(launch, run, UISettings, "ui")

if __name__ == "__main__":
    main()
