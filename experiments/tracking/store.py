"""The store of runs, for commands that only look into it."""

from pathlib import Path

from experiments.tracking.runs import tracking_uri


def find_store() -> str:
    """Returns the store to read from; unlike `tracking_uri` it has to be there.

    Raises:
        FileNotFoundError: No experiment has run here yet.
    """
    store = tracking_uri()
    file = Path(store.removeprefix("sqlite:///"))
    if store.startswith("sqlite:///") and not file.is_file():
        raise FileNotFoundError(
            f"no runs yet: there is no {file}; make the first with python -m experiments.epc, or "
            "go to the folder in which experiments were run"
        )
    return store
