"""Linear discriminant analysis as the head of an utterance model: solved, not trained."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from conversation_emotion.datasets.batches import Batch
from conversation_emotion.models.conversation import UtteranceModel

NEVER = -1e4
"""Score of a class of which train has no example; its probability is zero."""


def solve_head(
    model: UtteranceModel, train: Iterable[Batch], *, is_balanced: bool
) -> UtteranceModel:
    """Solves the one linear map of a model on the vectors of train, and leaves the rest as it is.

    With ``is_balanced`` each class is as probable as any other, else as frequent as in train.
    """
    model.eval()
    with torch.inference_mode():
        parts = [(model.perceive(batch), batch.targets) for batch in train]
    vectors, targets = (torch.cat(tensors).cpu().numpy() for tensors in zip(*parts, strict=True))
    weights, biases = fit_discriminants(
        vectors, targets, model.head.out_features, is_balanced=is_balanced
    )
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weights))
        model.head.bias.copy_(torch.from_numpy(biases))
    return model


def fit_discriminants(
    vectors: NDArray[np.floating],
    targets: NDArray[np.int64],
    num_classes: int,
    *,
    is_balanced: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fits a discriminant for each class, with the covariance of Ledoit and Wolf (2004).

    How far the covariance is drawn towards a diagonal follows from the vectors, so that nothing is
    left to select by valid.

    Returns:
        From vectors (N, D) and their classes (N,) weights (C, D) and biases (C,), whose softmax is
        the probability of each class.

    Raises:
        ValueError: There are fewer than two classes in train.
    """
    present = np.unique(targets)
    if len(present) < 2:
        raise ValueError(f"discriminants need two classes in train, got {len(present)}")
    priors = np.full(len(present), 1 / len(present)) if is_balanced else None
    analysis = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=priors)
    analysis.fit(vectors.astype(np.float64), targets)
    found, offsets = np.asarray(analysis.coef_), np.asarray(analysis.intercept_)
    if len(present) == 2:  # one discriminant, of the second class against the first
        found, offsets = np.stack([0 * found[0], found[0]]), np.array([0.0, offsets[0]])
    weights = np.zeros((num_classes, vectors.shape[1]), dtype=np.float32)
    biases = np.full(num_classes, NEVER, dtype=np.float32)
    weights[present], biases[present] = found, offsets
    return weights, biases
