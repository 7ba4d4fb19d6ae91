"""How representations of utterances lie: on a plane by UMAP, and how well they separate classes."""

import warnings
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

MIN_UTTERANCES = 5
"""Fewest points that a plane is made of."""


class Separation(NamedTuple):
    """How well representations separate their classes.

    Attributes:
        silhouette: Mean silhouette (Rousseeuw, 1987), -1 to 1, higher is better.
        compactness: Mean distance between centres of classes over the mean distance of an utterance
            from the centre of its class: 0 and more, higher is better. Above 1, classes lie farther
            apart than they are wide.
        num_labelled: Utterances that have a class.
    """

    silhouette: float
    compactness: float
    num_labelled: int


def check_umap() -> None:
    """Checks that UMAP is installed without loading it, which takes seconds to compile.

    Raises:
        ModuleNotFoundError: umap-learn is not installed.
    """
    if find_spec("umap") is None:
        raise ModuleNotFoundError(
            "UMAP is not installed; pip install 'conversation-emotion[visual]'"
        )


def project_to_plane(
    representations: NDArray[np.floating], *, num_neighbors: int = 15, seed: int = 0
) -> NDArray[np.float32]:
    """Places similar representations near each other by UMAP: (N, H) -> (N, 2).

    Uniform manifold approximation and projection (McInnes et al., 2018). Distances are Euclidean,
    and the same seed gives the same plane.

    Raises:
        ModuleNotFoundError: umap-learn is not installed.
        ValueError: There are fewer than `MIN_UTTERANCES`.
    """
    count = len(representations)
    if count < MIN_UTTERANCES:
        raise ValueError(f"{count} utterances make no plane, expected {MIN_UTTERANCES} or more")
    check_umap()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that it could use as well
        from umap import UMAP

    reducer = UMAP(n_neighbors=min(num_neighbors, count - 1), random_state=seed, n_jobs=1)
    with threadpool_limits():  # Numba sets the threads of OpenMP, and so those of PyTorch
        return np.asarray(reducer.fit_transform(representations), dtype=np.float32)


def measure_separation(
    representations: NDArray[np.floating], classes: NDArray[np.int64]
) -> Separation:
    """Measures in the space of the representations itself, not on a plane: (N, H), (N,).

    Both numbers are undefined (nan) with fewer than two classes, and where no class has two
    utterances.

    Args:
        representations: Of N utterances.
        classes: Class of each, below 0 where it has none and is left out.
    """
    representations, classes = representations[classes >= 0], classes[classes >= 0]
    found, numbers = np.unique(classes, return_inverse=True)
    if not 1 < len(found) < len(classes):
        return Separation(float("nan"), float("nan"), len(classes))
    centres = np.stack([representations[classes == label].mean(axis=0) for label in found])
    width = np.linalg.norm(representations - centres[numbers], axis=1).mean()
    return Separation(
        float(silhouette_score(representations, classes)),
        float(pdist(centres).mean() / width) if width > 0 else float("inf"),
        len(classes),
    )
