"""InfoNCE against a slow double loop, its negatives, and that it learns what can be predicted."""

import math

import pytest
import torch

from speech_encoders.cpc import (
    ContrastivePrediction,
    CpcConfig,
    CpcForPreTraining,
    contrast,
    draw_negatives,
)
from speech_encoders.settings import ContrastSettings


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def contrast_slowly(predictions, latents, negatives, temperature):
    """The definition, frame by frame and horizon by horizon: -> losses, accuracies (K,)."""
    num_clips, num_frames, num_steps, size = predictions.shape
    frames = latents.reshape(-1, size)
    losses, accuracies = [], []
    for step in range(1, num_steps + 1):
        terms, hits = [], []
        for clip in range(num_clips):
            for now in range(num_frames - step):
                said, target = predictions[clip, now, step - 1], now + step
                right = said @ latents[clip, target] / temperature
                wrong = torch.stack(
                    [said @ frames[number] / temperature for number in negatives[clip, target]]
                )
                terms.append(torch.log(1 + torch.exp(wrong - right).sum()))
                hits.append(float(right > wrong.max()))
        losses.append(torch.stack(terms).mean())
        accuracies.append(sum(hits) / len(hits))
    return torch.stack(losses), torch.tensor(accuracies)


@pytest.mark.parametrize("source", ["same", "other"])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_losses_accuracies_and_gradients_are_those_of_the_double_loop(source, temperature):
    predictions = torch.randn(3, 9, 4, 5, generator=generator(1), requires_grad=True)
    latents = torch.randn(3, 9, 5, generator=generator(2), requires_grad=True)
    negatives = draw_negatives(3, 9, 6, source, generator(3))
    found = contrast(predictions, latents, negatives, temperature)
    expected, accuracies = contrast_slowly(predictions, latents, negatives, temperature)
    torch.testing.assert_close(found.losses, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.accuracies, accuracies)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    fast, slow = (
        torch.autograd.grad((weights * losses).sum(), (predictions, latents))
        for losses in (found.losses, expected)
    )
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_loss_worked_out_by_hand():
    latents = torch.tensor([[[0.0], [1.0], [2.0]]])
    predictions = torch.tensor([[[[1.0], [0.5]], [[-1.0], [9.0]], [[9.0], [9.0]]]])
    negatives = torch.tensor([[[1], [0], [1]]])
    found = contrast(predictions, latents, negatives)
    # One ahead: 1 * 1 against 1 * 0, and -1 * 2 against -1 * 1. Two ahead: 0.5 * 2 and 0.5 * 1.
    one_ahead = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert found.losses.tolist() == pytest.approx([one_ahead, math.log(1 + math.exp(-0.5))])
    assert found.accuracies.tolist() == [0.5, 1.0]


def test_horizons_beyond_the_clip_are_left_out():
    found = contrast(
        torch.randn(2, 3, 5, 4), torch.randn(2, 3, 4), draw_negatives(2, 3, 6, "same", generator())
    )
    assert found.is_reached.tolist() == [True, True, False, False, False]
    assert found.losses[2:].tolist() == [0.0, 0.0, 0.0]
    objective = ContrastivePrediction(make_model(num_steps=5), ContrastSettings(negatives=4))
    waveforms = 0.1 * torch.randn(2, 425 + 2 * 160)  # three frames
    predictions, latents = objective.model(waveforms)
    losses, _ = contrast_slowly(
        predictions[:, :, :2], latents, draw_negatives(2, 3, 4, "same", generator(8)), 1.0
    )
    torch.testing.assert_close(objective(waveforms, seed=8).loss, losses.mean())


@pytest.mark.parametrize("source", ["same", "other"])
def test_negatives_are_uniform_and_never_the_target(source):
    num_clips, num_frames = 3, 5
    negatives = draw_negatives(num_clips, num_frames, 4_000, source, generator())
    clips, frames = negatives // num_frames, negatives % num_frames
    for clip in range(num_clips):
        for target in range(num_frames):
            drawn = clips[clip, target] * num_frames + frames[clip, target]
            counts = torch.bincount(drawn, minlength=15).view(num_clips, num_frames)
            allowed = torch.zeros(num_clips, num_frames)
            if source == "same":
                allowed[clip] = 1
                allowed[clip, target] = 0
            else:
                allowed[:] = 1
                allowed[clip] = 0
            expected = 4_000 * allowed / allowed.sum()
            assert (counts[allowed == 0] == 0).all()
            assert (counts - expected).abs().max() < 6 * (4_000 / allowed.sum()) ** 0.5


def test_the_same_seed_draws_the_same_negatives():
    first, again = (draw_negatives(2, 8, 5, "same", generator(7)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, draw_negatives(2, 8, 5, "same", generator(8)))


def test_negatives_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="need two frames or more, got 1; pass longer clips"):
        draw_negatives(2, 1, 5, "same", generator())
    with pytest.raises(ValueError, match="need two clips in a batch or more, got 1"):
        draw_negatives(1, 9, 5, "other", generator())


def make_model(**settings: int) -> CpcForPreTraining:
    torch.manual_seed(0)
    return CpcForPreTraining(
        CpcConfig.from_dict({"conv_dim": 16, "hidden_size": 24, "num_steps": 3, **settings})
    )


def test_coming_frames_are_distinguished_the_nearer_the_better():
    """A tone whose pitch wanders can be followed for a while, white noise cannot."""

    def draw_clips(seed: int) -> torch.Tensor:
        steps = torch.randn(6, 10, generator=generator(seed)).cumsum(dim=1) * 150 + 1_500
        hertz = steps.clamp(200, 6_000).repeat_interleave(400, dim=1)
        return 0.1 * (2 * math.pi * hertz.cumsum(dim=1) / 16_000).sin()

    objective = ContrastivePrediction(make_model(num_steps=6), ContrastSettings(negatives=10))
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for step in range(120):
        optimizer.zero_grad()
        output = objective(draw_clips(step), step)
        output.loss.backward()
        optimizer.step()
    metrics = objective(draw_clips(999), 999).metrics
    assert metrics["accuracy_01"] > 0.3  # chance is 1 / 11
    assert metrics["accuracy_01"] > metrics["accuracy_06"] + 0.1
    noise = objective(0.1 * torch.randn(6, 16_000, generator=generator(5)), 0).metrics
    assert noise["accuracy_06"] < 0.2


def test_the_objective_repeats_itself_for_a_seed_and_reaches_every_weight():
    objective = ContrastivePrediction(make_model(), ContrastSettings(negatives=5))
    waveforms = 0.1 * torch.randn(3, 4_000)
    first, again, other = (objective(waveforms, seed) for seed in (3, 3, 4))
    assert first.loss == again.loss != other.loss
    first.loss.backward()
    gradients = {name: weight.grad for name, weight in objective.named_parameters()}
    assert [name for name, g in gradients.items() if g is None or not g.any()] == []
