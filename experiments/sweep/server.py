"""A server before a database, so that many machines can work on the sweeps that are kept in it.

    python -m experiments.sweep.server --storage postgresql://USER:PASSWORD@HOST/DATABASE
    python -m experiments.sweep epc --workers 4 --storage grpc://127.0.0.1:13000

Workers then need neither a driver nor a connection to the database of their own. The server speaks
gRPC without encryption or password: keep it on 127.0.0.1 and reach it through `ssh -L
13000:127.0.0.1:13000 HOST`, or give --host an address of a network that you trust. It runs until it
is interrupted.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from experiments import commandline as _cli
from experiments._ports import GRPC_PORT


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
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


def run(config: ServerConfig) -> None:
    """Serves the database until interrupted."""
    from experiments.sweep.storage import serve

    serve(config.storage, config.host, config.port, config.threads)


def main() -> None:
    """Runs the server from the command line."""
    _cli.launch(run, ServerConfig)


if __name__ == "__main__":
    main()
