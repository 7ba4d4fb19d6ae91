"""The recogniser of ratings: its attention, padding, silence, end to end."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from conversation_emotion.models.perception import Frames, LayerSum, Standardisation
from conversation_emotion.models.ratings import (
    AttentionHead,
    FeatureFront,
    WaveformFront,
)


def make_front(size: int, stride: int = 1, num_layers: int = 1) -> FeatureFront:
    standardisation = Standardisation(
        torch.zeros(num_layers, size), None, torch.ones(num_layers, size)
    )
    return FeatureFront(standardisation, LayerSum(num_layers, size), stride)


def test_attention_is_that_of_its_definition():
    torch.manual_seed(0)
    head = AttentionHead(6, 3, num_heads=2, attention_size=8, hidden_size=5).eval()
    frames = torch.randn(1, 4, 6)
    queries, keys, values = head.attend(frames[0]).split(8, dim=1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = queries[:, part] @ keys[:, part].T / 4**0.5
        heads.append(scores.softmax(dim=1) @ values[:, part])
    joined = head.join(torch.cat(heads, dim=1))
    pooled = torch.cat([joined.mean(dim=0), joined.std(dim=0, correction=0)])
    expected = head.output(head.layers(pooled))
    found = head(Frames(frames, torch.ones(1, 4, dtype=torch.bool)))
    torch.testing.assert_close(found[0], expected)


def test_the_head_has_the_sizes_of_the_paper():
    head = AttentionHead(256, 3)
    assert head.num_heads == 8
    # 512 units, back to the 256 of the contexts, their mean and deviation, two layers of 128.
    assert (head.attend.out_features, head.join.out_features) == (3 * 512, 256)
    shapes = [(m.in_features, m.out_features) for m in head.layers if isinstance(m, nn.Linear)]
    assert shapes == [(512, 128), (128, 128)]
    assert [m.p for m in head.layers if isinstance(m, nn.Dropout)] == [0.2, 0.2]


@pytest.mark.parametrize("stride", [1, 3])
def test_neither_padding_nor_batch_mates_change_a_rating(stride):
    torch.manual_seed(0)
    front, head = make_front(5, stride), AttentionHead(5, 3).eval()
    lengths = [11, 4, 1]
    states = torch.randn(3, 1, 11, 5)
    mask = torch.arange(11) < torch.tensor(lengths)[:, None]
    together = head(front(states * mask[:, None, :, None], mask))
    for row, length in enumerate(lengths):
        alone = head(front(states[row : row + 1, :, :length], mask[row : row + 1, :length]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-4)


def test_neighbouring_frames_are_averaged_and_the_last_are_fewer():
    states = torch.tensor([[1.0, 3.0, 5.0, 7.0, 9.0]])[:, None, :, None]
    mask = torch.tensor([[True, True, True, True, True]])
    frames = make_front(1, stride=2)(states, mask)
    assert frames.states.flatten().tolist() == [2.0, 6.0, 9.0]
    assert frames.mask.tolist() == [[True, True, True]]


def test_an_utterance_without_speech_is_rated_like_the_mean_of_train():
    front, head = make_front(5), AttentionHead(5, 3).eval()
    absent = torch.zeros(2, 1, 7, 5)
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[1] = True
    nothing, mean = head(front(absent, mask))
    torch.testing.assert_close(nothing, mean)  # standardised, the mean is zero
    assert nothing.isfinite().all()


class Halves(nn.Module):
    """An encoder whose frames are the sums of two samples, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, waveforms: torch.Tensor, mask: torch.Tensor) -> SimpleNamespace:
        frames = self.weight * (waveforms * mask).unfold(1, 2, 2).sum(dim=2)
        return SimpleNamespace(
            last_hidden_state=frames[..., None], frame_mask=mask.unfold(1, 2, 2).all(dim=2)
        )


def test_waveforms_are_encoded_by_an_encoder_that_is_trained():
    front = WaveformFront(Halves(), output_size=1, min_samples=4)
    samples = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    frames = front(samples[:, None, :, None], mask)
    assert frames.states[..., 0].tolist() == [[6.0, 14.0, 22.0], [4.0, 4.0, 0.0]]
    assert frames.mask.tolist() == [[True, True, True], [True, True, False]]
    frames.states.sum().backward()
    assert front.encoder.weight.grad == 25.0
    missing = front(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, dtype=torch.bool))
    assert missing.mask.tolist() == [[True, True]]  # the shortest clip, of silence
