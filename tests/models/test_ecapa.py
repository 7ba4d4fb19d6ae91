"""ECAPA-TDNN: SpeechBrain's function where nothing is padded, and nothing else's frames in it."""

import pytest
import torch

from conversation_emotion.models.ecapa import EcapaPooling


def make(dropout: float = 0.0, input_size: int = 5) -> EcapaPooling:
    torch.manual_seed(0)
    pooling = EcapaPooling(input_size, hidden_size=16, output_size=7, dropout=dropout)
    for module in pooling.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            module.running_mean.normal_()
    return pooling


def pad(clips: list[torch.Tensor], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads with what must not matter."""
    frames = torch.full((len(clips), width, 5), 9.0, dtype=clips[0].dtype)
    mask = torch.zeros(len(clips), width, dtype=torch.bool)
    for row, clip in enumerate(clips):
        frames[row, : len(clip)], mask[row, : len(clip)] = clip, True
    return frames, mask


@torch.inference_mode()
def test_it_is_speechbrains_network_but_for_the_edges():
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Conv1d

    pooling = make().eval()
    theirs = ECAPA_TDNN(
        5, lin_neurons=7, channels=[16] * 4 + [48], attention_channels=8, se_channels=8
    ).eval()
    for module in theirs.modules():
        if isinstance(module, Conv1d):
            module.padding_mode = "constant"
    ours = [tensor for name, tensor in pooling.state_dict().items()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours, strict=True)))
    frames = torch.randn(3, 40, 5)
    found = pooling(frames, torch.ones(3, 40, dtype=torch.bool))
    torch.testing.assert_close(found, theirs(frames).squeeze(1))


@torch.inference_mode()
def test_an_utterance_is_the_same_alone_and_among_longer_ones():
    pooling = make().eval()
    clips = [torch.randn(length, 5) for length in (1, 3, 17, 60, 77)]
    together = pooling(*pad(clips, 80))
    for row, clip in enumerate(clips):
        torch.testing.assert_close(together[row], pooling(*pad([clip], len(clip)))[0])


def test_padding_changes_neither_training_nor_the_kept_statistics():
    clips = [torch.randn(length, 5, dtype=torch.float64) for length in (9, 12)]
    found = []
    for width in (12, 30):
        pooling = make().double().train()
        pooled = pooling(*pad(clips, width))
        pooled.square().sum().backward()
        found.append([pooled, *pooling.buffers(), *(p.grad for p in pooling.parameters())])
    for narrow, wide in zip(*found, strict=True):
        torch.testing.assert_close(narrow, wide)


def test_one_utterance_alone_and_one_without_frames_can_be_trained_on():
    pooling = make().train()
    frames, mask = torch.randn(1, 6, 5), torch.zeros(1, 6, dtype=torch.bool)
    pooled = pooling(frames, mask)
    pooled.sum().backward()
    assert torch.isfinite(pooled).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in pooling.parameters())


def test_channels_that_cannot_be_cut_in_eight_are_an_error():
    with pytest.raises(ValueError, match="multiples of 8, got 20"):
        EcapaPooling(5, hidden_size=20)
