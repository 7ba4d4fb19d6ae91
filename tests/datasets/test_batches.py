"""Features of utterances as batches take them."""

import numpy as np

from conversation_emotion.datasets.batches import ModalityArrays
from conversation_emotion.features.extract import Features


def test_each_layer_of_a_clip_is_normalised_by_itself():
    rng = np.random.default_rng(0)
    loud, quiet = rng.normal(50, 20, (5, 3)), rng.normal(-1, 0.1, (5, 3))
    clip = np.stack([loud, quiet]).astype(np.float32)  # L = 2, T = 5, D = 3
    arrays = ModalityArrays(Features([clip], {}), "speech", normalise_clips=True)
    states = arrays.stack_frames(np.array([0]))  # (T, L, D)
    for number, layer in enumerate((loud, quiet)):
        expected = (layer - layer.mean()) / layer.std()
        np.testing.assert_allclose(states[:, number], expected, atol=1e-4)
