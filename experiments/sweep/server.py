"""A server in front of a database, so that many machines can work on the sweeps it holds.

    python -m experiments.sweep.server --storage postgresql://USER:PASSWORD@HOST/DATABASE
    python -m experiments.sweep epc --workers 4 --storage grpc://127.0.0.1:13000

Workers then need neither a driver nor a connection to the database of their own. The server speaks
gRPC without encryption or password: keep it on 127.0.0.1 and reach it through `ssh -L
13000:127.0.0.1:13000 HOST`, or give --host an address of a network that you trust. It runs until it
is interrupted.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from experiments.framework.commandline import launch
from experiments.sweep.settings import GRPC_PORT


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of the server."""

    storage: str
    """URL of the database."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = GRPC_PORT
    """Port to listen on."""

    threads: int = 10
    """Requests answered at once."""

    def __post_init__(self) -> None:
        if urlsplit(self.storage).scheme in ("", "grpc"):
            raise ValueError(
                "--storage must be the URL of a database, such as postgresql://USER@HOST/DATABASE: "
                "a journal cannot be served"
            )


def run(settings: ServerSettings) -> None:
    """Serves a database to the workers of other machines until interrupted.

    Raises:
        ValueError: It cannot be opened, or grpcio is not installed.
    """
    import warnings
    from concurrent.futures import ThreadPoolExecutor

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import run_grpc_proxy_server

    from experiments.sweep.storage import INSTALL, describe, open_storage

    host, port, pool = settings.host, settings.port, ThreadPoolExecutor(settings.threads)
    storage = open_storage(settings.storage)
    print(
        f"serves {describe(settings.storage)} at grpc://{host}:{port}; Ctrl-C ends it", flush=True
    )
    try:
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            run_grpc_proxy_server(storage, host=host, port=port, thread_pool=pool)
    except ImportError as error:
        raise ValueError(f"the server needs grpcio: {INSTALL}") from error
    except KeyboardInterrupt:
        print("ended")


def main() -> None:
    """Runs the server from the command line."""
    launch(run, ServerSettings, "sweep.server")


if __name__ == "__main__":
    main()
