"""Batches of clips: every clip once, padded little, in an order of seed and epoch alone."""

import numpy as np
import pytest
import torch

from conversation_emotion.datasets.clip_batches import ClipLoader, Clips
from tests.small_tasks import make_clips


@pytest.fixture
def clips() -> Clips:
    return make_clips()


def make_loader(clips: Clips, num_rows: int, **options) -> ClipLoader:
    rows = clips.usable(np.arange(num_rows))
    return ClipLoader(clips, rows, device=torch.device("cpu"), **options)


def test_an_epoch_has_every_clip_once_in_batches_that_fit(clips):
    clips = Clips(inputs=clips.inputs, classes=clips.classes, rate=1.0)
    loader = make_loader(clips, 40, batch_size=6, batch_seconds=20, seed=0)
    plans = [loader.plan(), loader.plan()]
    loader.epoch = 1
    plans.append(loader.plan())
    for plan in plans:
        assert sorted(np.concatenate(plan)) == sorted(loader.rows)
        for batch in plan:
            assert len(batch) <= 6
            assert len(batch) * max(clips.length(row) for row in batch) <= 20
    first, same, other = ([batch.tolist() for batch in plan] for plan in plans)
    assert first == same != other


def test_a_clip_longer_than_a_batch_is_alone(clips):
    plan = make_loader(clips, 8, batch_size=6, batch_seconds=1e-6, seed=0).plan()
    assert [len(batch) for batch in plan] == [1] * 8


def test_an_epoch_depends_on_its_number_alone(clips):
    def load(first_epoch: int) -> tuple[list[list[int]], list[float]]:
        loader = make_loader(clips, 40, batch_size=4, batch_seconds=60, seed=3)
        loader.epoch = first_epoch
        orders: list[list[int]] = []
        chances: list[float] = []
        for _ in range(2 - first_epoch):
            orders, chances = [], []
            for batch in loader:
                orders.append(batch.rows.tolist())
                chances.append(float(torch.rand(1)))
        return orders, chances

    assert load(0) == load(1)
