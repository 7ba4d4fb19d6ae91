"""Models that train an encoder: pooling of real frames, and adapters merged into the weights."""

import pytest
import torch

from conversation_emotion.models.fine_tuned import (
    EncoderModel,
    add_adapters,
    merge_adapters,
    pool_time,
)
from conversation_emotion.training.checkpoints import average_weights
from tests.small_tasks import TwoBlocks


def test_only_real_frames_are_pooled():
    frames = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [4.0], [9.0]]])
    counts = torch.tensor([2, 3])
    assert pool_time(frames, counts, "mean").flatten().tolist() == [2.0, 5.0]
    assert pool_time(frames, counts, "sum").flatten().tolist() == [4.0, 15.0]


def test_adapters_are_merged_before_they_are_averaged():
    pytest.importorskip("peft")
    model = EncoderModel(TwoBlocks(), 2)
    plain = set(model.state_dict())
    add_adapters(model, rank=2)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"encoder", "head"}
    assert all("lora_" in name for name in trained if name.startswith("encoder"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    merged = merge_adapters(model)
    assert set(merged) == plain
    twin = EncoderModel(TwoBlocks(), 2)
    twin.load_state_dict(merged)
    inputs, lengths = torch.randn(3, 5, 2), torch.tensor([5, 4, 3])
    expected = model.eval()(inputs, lengths).logits
    torch.testing.assert_close(twin.eval()(inputs, lengths).logits, expected)
    assert not torch.equal(
        merged["encoder.blocks.0.up.weight"],
        TwoBlocks().blocks[0]["up"].weight,  # type: ignore[index]
    )
    assert average_weights([merged, merged]).keys() == plain
