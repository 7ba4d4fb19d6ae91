"""emotion2vec's online distillation: masks, targets, teacher, losses."""

import math

import pytest
import torch

from speech_encoders.emotion2vec import Emotion2vecForPreTraining, Emotion2vecModel
from speech_encoders.emotion2vec.anchor import Acoustics, Anchor, RunningStandard
from speech_encoders.emotion2vec.distillation import (
    DistillationTargets,
    OnlineDistillation,
    compute_targets,
    distillation_distance,
    make_teacher,
    update_teacher,
)
from speech_encoders.emotion2vec.masking import draw_masks
from speech_encoders.emotion2vec.pretraining import Emotion2vecStudentOutput
from speech_encoders.emotion2vec.released import read_released
from speech_encoders.settings import DistillationSettings
from tests.emotion2vec_models import STORED, make_config, normalise

CLIPS = torch.randn(4, 8_000, generator=torch.Generator().manual_seed(1))


ALONE: dict[str, object] = {"teacher": "whisper", "frame_weight": 0.0, "utterance": "none"}
"""Only the frozen teacher is predicted."""

STATES = torch.randn(4, 25, 3, 6, generator=torch.Generator().manual_seed(2)).half()
"""Of a teacher of three layers, one frame more than the student has of `CLIPS`."""


def make_objective(num_states: int = 0, **settings: object) -> OnlineDistillation:
    torch.manual_seed(0)
    student = Emotion2vecForPreTraining(make_config(layerdrop=0.0))
    few = {} if "teacher" in settings else {"top_blocks": 2, "num_clones": 2}
    chosen = DistillationSettings(**{**few, **settings})  # pyright: ignore[reportArgumentType]
    return OnlineDistillation(student, chosen, num_states=num_states)


def moving_average(objective: OnlineDistillation) -> Emotion2vecModel:
    assert objective.teacher is not None
    return objective.teacher


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mean_run(masks: torch.Tensor) -> float:
    starts = masks[:, 0].sum() + (masks[:, 1:] & ~masks[:, :-1]).sum()
    return float(masks.sum() / starts)


def test_blocks_hide_exactly_the_share_of_every_clip_in_runs_as_long_as_data2vecs():
    masks = draw_masks("blocks", 512, 499, generator=generator())
    assert masks.sum(dim=1).unique().tolist() == [249]
    assert mean_run(masks) == pytest.approx(4.4, abs=0.2)  # measured with fairseq's function
    assert masks.float().mean(dim=0).std() < 0.05  # no place is masked much more than others


@pytest.mark.parametrize(("num_clips", "share"), [(1, 0.410), (64, 0.369)])
def test_spans_overlap_and_hide_what_data2vecs_hide(num_clips, share):
    draws = [draw_masks("spans", num_clips, 499, generator=generator(seed)) for seed in range(64)]
    assert all(len(masks.sum(dim=1).unique()) == 1 for masks in draws)
    hidden = sum(float(masks.float().mean()) for masks in draws) / len(draws)
    assert hidden == pytest.approx(share, abs=0.01)  # measured with fairseq's function


@pytest.mark.parametrize("kind", ["blocks", "spans"])
def test_masks_follow_their_seed_and_length(kind):
    one, same, other = (draw_masks(kind, 3, 60, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    short, long = (draw_masks(kind, 64, 499, length=n, generator=generator()) for n in (2, 12))
    assert mean_run(long) > 1.5 * mean_run(short)


@pytest.mark.parametrize(("num_frames", "share"), [(5, 0.5), (60, 0.0), (60, 1.0), (60, 0.01)])
def test_masks_that_cannot_be_drawn_are_refused(num_frames, share):
    with pytest.raises(ValueError, match=f"cannot mask {share:.0%} of {num_frames} frames"):
        draw_masks("blocks", 2, num_frames, share=share)


@torch.no_grad()
def test_targets_are_those_of_funasr():
    stages = torch.load(STORED / "stages.pt", weights_only=True)
    model = read_released(STORED / "released.pt").encoder
    frames = model.front_end(normalise(stages["waveform"])[None])
    targets = compute_targets(model, frames, top_blocks=2)  # the two after the prenet block
    torch.testing.assert_close(targets.frames[0], stages["targets"], atol=1e-4, rtol=0)
    expected = (stages["feed_forward_0"] + stages["feed_forward_1"]).mean(dim=0) / 2
    torch.testing.assert_close(targets.utterance[0], expected, atol=1e-4, rtol=0)


def test_the_literal_target_of_an_utterance_is_zero_and_the_default_separates_clips():
    goals = {}
    for kind in ("literal", "clips", "channels"):
        objective = make_objective(utterance_target=kind)
        frames = objective.student.emotion2vec.front_end(CLIPS)
        targets = compute_targets(moving_average(objective), frames.detach(), 2)
        goals[kind] = objective._utterance_target(targets)
    assert goals["literal"].abs().max() < 1e-5
    torch.testing.assert_close(goals["clips"].mean(dim=0), torch.zeros(32), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        goals["clips"].var(dim=0, correction=0), torch.ones(32), atol=0.01, rtol=0
    )
    torch.testing.assert_close(goals["channels"].mean(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
    assert goals["channels"].std(dim=0).mean() > 0.01


def test_mean_and_deviation_of_the_utterances_settle_over_batches():
    standard, mean = RunningStandard(32), torch.arange(32.0)
    for seed in range(400):
        standard(mean + 3 * torch.randn(4, 32, generator=generator(seed)), follows=True)
    goal = standard(torch.stack([mean, mean + 3]), follows=False)
    torch.testing.assert_close(goal[0], torch.zeros(32), atol=0.5, rtol=0)
    assert float(goal[1].mean()) == pytest.approx(1.0, abs=0.1)
    assert float(standard.num_batches) == 400


def test_the_anchor_measures_pitch_and_spectrum_of_every_frame():
    acoustics = Acoustics()
    times = torch.arange(8_000) / 16_000
    clips = torch.stack([(2 * torch.pi * pitch * times).sin() for pitch in (100.0, 200.0)])
    measured = acoustics(clips)
    assert measured.shape == (2, 24, 144)
    for clip, pitch in zip(measured[:, 3:-3], (100, 200), strict=True):
        correlation = clip[:, 80:].mean(dim=0)
        repeats = acoustics.periods[correlation > 0.95] * pitch / 16_000
        assert (repeats - repeats.round()).abs().max() < 0.06  # whole periods
        assert len(repeats) > 0
    assert (measured[0, 5, :80].argmax() < measured[1, 5, :80].argmax()).item()


def test_the_anchor_leaves_the_published_losses_and_teaches_the_student_too():
    plain, anchored = make_objective(), make_objective(anchor_weight=0.5)
    anchored.student.load_state_dict(plain.student.state_dict())
    moving_average(anchored).load_state_dict(moving_average(plain).state_dict())
    outputs = []
    for objective in (plain, anchored):
        torch.manual_seed(0)  # of the decoder's noise
        outputs.append(objective.eval()(CLIPS, 1))
    expected, output = outputs
    anchors = sum(output.metrics[f"anchor_{part}_loss"] for part in ("frame", "utterance"))
    torch.testing.assert_close(output.metrics["frame_loss"], expected.metrics["frame_loss"])
    torch.testing.assert_close(output.loss, expected.loss + 0.5 * anchors)
    assert plain.anchor is None
    anchored.train()(CLIPS, 1).loss.backward()
    assert anchored.anchor is not None
    assert anchored.anchor.frames.weight.grad is not None
    assert anchored.anchor.frames.weight.grad.abs().sum() > 0


def test_maps_that_learned_nothing_yet_leave_the_student_as_it_is():
    anchor, given = Anchor(2, 3), torch.randn(2, 8, 3)
    frames, utterances = (torch.randn(size, 2, requires_grad=True) for size in (16, 2))
    losses = anchor(given, torch.ones(2, 8, dtype=torch.bool), frames, utterances)
    torch.stack(losses).sum().backward()
    assert frames.grad is not None
    assert not frames.grad.any()
    assert anchor.frames.weight.grad is not None
    assert anchor.frames.weight.grad.any()


def test_an_anchor_compares_each_chosen_frame_with_its_own_properties():
    anchor = Anchor(2, 1)
    anchor.frames.weight.data = torch.tensor([[1.0, 0.0]])
    anchor.utterance.weight.data.zero_()
    anchor.frames.bias.data.zero_()
    anchor.utterance.bias.data.zero_()
    given = torch.tensor([[[1.0], [3.0], [5.0]], [[8.0], [8.0], [2.0]]])  # deviations 1.63, 2.83
    where = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 1]]).bool()  # twice each clip
    low, high, down, up = -2 / 1.643, 2 / 1.643, -4 / 2.838, 2 / 2.838
    right = torch.tensor([[low], [high], [high], [up], [up], [down]])
    frames = torch.cat([right, torch.randn(6, 1)], dim=1)
    frame, utterance = anchor(given, where, frames, torch.randn(4, 2))
    assert frame.item() == pytest.approx(0.0, abs=1e-5)
    assert utterance.item() == pytest.approx(1.0, abs=1e-4)  # always the mean: all the variance
    frames[3, 0] += 3.0
    assert anchor(given, where, frames, torch.randn(4, 2))[0].item() == pytest.approx(1.5, abs=1e-3)


def test_every_state_of_a_teacher_counts_alike_however_large_it_is():
    torch.manual_seed(0)
    anchor, given = Anchor(2, 3).eval(), torch.randn(4, 24, 3)
    inputs = torch.ones(4, 24).bool(), torch.randn(96, 2), torch.randn(4, 2)
    scale = torch.tensor([1.0, 1000.0, 10.0])
    torch.testing.assert_close(
        anchor(1000 + scale * given, *inputs)[0], anchor(given, *inputs)[0], rtol=0.02, atol=0
    )


def test_a_teacher_alone_teaches_the_whole_student_and_masks_nothing():
    objective = make_objective(18, **ALONE)
    assert objective.frozen is not None
    objective.frozen.frames.weight.data.normal_()  # as after an update
    objective.student.emotion2vec.encoder.register_forward_hook(
        lambda _, inputs, __: shapes.append(inputs[0].shape)
    )
    shapes: list[torch.Size] = []
    output = objective.train()(CLIPS, 0, STATES)
    output.loss.backward()
    assert shapes == [(4, 10 + 24, 32)]  # ten extra tokens, all frames, once
    assert objective.teacher is None
    for name, parameter in objective.student.emotion2vec.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert output.metrics.keys() == {"loss", "teacher_frame_loss", "teacher_utterance_loss"}
    objective.after_step(0.5)


def test_the_teacher_is_predicted_beside_online_distillation_by_its_weight():
    plain = make_objective()
    objective = make_objective(
        18, teacher="whisper", teacher_weight=0.5, top_blocks=2, num_clones=2
    )
    objective.load_state_dict(plain.state_dict(), strict=False)
    outputs = []
    for one, states in ((plain, ()), (objective, (STATES,))):
        torch.manual_seed(0)  # of the decoder's noise
        outputs.append(one.eval()(CLIPS, 1, *states))
    expected, output = outputs
    taught = sum(output.metrics[f"teacher_{part}_loss"] for part in ("frame", "utterance"))
    torch.testing.assert_close(output.loss, expected.loss + 0.5 * taught)


def test_a_frame_that_the_student_does_not_get_is_not_asked_of_it_by_the_teacher():
    objective = make_objective(18, teacher="whisper", top_blocks=2, num_clones=2)
    asked: list[torch.Tensor] = []
    assert objective.frozen is not None
    objective.frozen.register_forward_hook(lambda _, inputs, __: asked.append(inputs[1]))
    objective(CLIPS, 7, STATES)
    masked = draw_masks("blocks", 8, 24, generator=generator(7))
    assert torch.equal(asked[0], ~masked)


def test_hidden_states_that_end_before_the_clip_are_refused():
    objective = make_objective(18, **ALONE)
    with pytest.raises(ValueError, match="states of a clip of 24 frames are 23 frames"):
        objective(CLIPS, 0, STATES[:, :23])
    with pytest.raises(ValueError, match="states of a clip of 24 frames are none"):
        objective(CLIPS, 0)


def test_the_frame_loss_counts_hidden_frames_alone():
    objective = make_objective(utterance="none").eval()
    predictions = torch.zeros(8, 24, 32)
    clones = torch.zeros(4, 24, 32)
    masked = torch.zeros(8, 24, dtype=torch.bool)
    masked[:, 3:5] = True
    clones[:, 3] = 2.0  # every other hidden frame is 2 away in each of 32 features
    clones[:, 7] = 100.0  # shown, so it does not count
    states = torch.zeros(8, 10, 32)
    output = Emotion2vecStudentOutput(predictions, states, states)
    targets = DistillationTargets(clones, torch.zeros(4, 32))
    loss, _ = objective._compare(output, targets, masked)
    assert loss.item() == pytest.approx(0.5 * 32 * 4 / math.sqrt(32))


def test_the_distance_is_the_squared_one_over_the_root_of_the_size():
    distance = distillation_distance(torch.tensor([[1.0, 2, 3, 4]]), torch.zeros(1, 4))
    assert distance.item() == pytest.approx((1 + 4 + 9 + 16) / 2)


@pytest.mark.parametrize(
    ("utterance", "expected"),
    [("token", "last"), ("chunk", "tokens"), ("global", "frames")],
)
def test_the_utterance_is_pooled_as_the_settings_say(utterance, expected):
    objective = make_objective(utterance=utterance).eval()
    frames = objective.student.emotion2vec.front_end(CLIPS)
    masked = draw_masks("blocks", 4, frames.size(1), generator=generator())
    output = objective.student.predict(frames, masked)
    by_hand = {
        "last": output.extra_tokens[:, 9],
        "tokens": sum(output.extra_tokens[:, n] for n in range(10)) / 10,
        "frames": sum(output.last_hidden_state.unbind(1)) / output.last_hidden_state.size(1),
    }[expected]
    torch.testing.assert_close(objective._utterance(output), by_hand)


def test_losses_add_up_by_their_weights():
    values = {}
    for weight in (0.0, 1.0, 10.0):
        objective = make_objective(utterance_weight=weight).eval()
        values[weight] = {n: float(v) for n, v in objective(CLIPS, 3).metrics.items()}
    for weight, metrics in values.items():
        assert metrics["frame_loss"] == pytest.approx(values[1.0]["frame_loss"])
        expected = metrics["frame_loss"] + weight * metrics["utterance_loss"]
        assert metrics["loss"] == pytest.approx(expected)


def test_every_clip_is_masked_several_ways_but_passes_the_front_end_once(monkeypatch):
    objective = make_objective(num_clones=5)
    encoded, masks = [], []
    objective.student.emotion2vec.front_end.register_forward_hook(
        lambda _, inputs, __: encoded.append(len(inputs[0]))
    )
    predict = objective.student.predict
    monkeypatch.setattr(
        objective.student, "predict", lambda f, masked: masks.append(masked) or predict(f, masked)
    )
    objective(CLIPS, 0)
    assert encoded == [4]
    assert masks[0].shape == (20, 24)
    assert len({tuple(row.tolist()) for row in masks[0][:5]}) == 5


def test_the_student_learns_and_the_teacher_only_follows():
    objective = make_objective()
    objective.train()(CLIPS, 0).loss.backward()
    assert all(parameter.grad is None for parameter in moving_average(objective).parameters())
    for name, parameter in objective.student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert objective.student.training
    assert not moving_average(objective).training
    assert not objective.eval().student.training
    assert moving_average(objective).front_end is None
    assert objective.student.emotion2vec.front_end is not None


def test_the_teacher_moves_by_its_share_towards_the_student():
    objective = make_objective()
    teacher, student = moving_average(objective), objective.student.emotion2vec
    before = {name: p.clone() for name, p in teacher.named_parameters()}
    for parameter in student.parameters():
        parameter.data += 1.0
    update_teacher(teacher, student, tau=0.75)
    for name, parameter in teacher.named_parameters():
        torch.testing.assert_close(parameter, before[name] + 0.25)
    assert {name.split(".")[0] for name in before} == {
        "positional", "extra_tokens", "alibi_scale", "encoder",
    }  # fmt: skip


@pytest.mark.parametrize(("progress", "tau"), [(0.0, 0.9), (0.05, 0.925), (0.2, 1.0), (0.9, 1.0)])
def test_tau_rises_linearly_and_stays(progress, tau):
    objective = make_objective(tau_start=0.9, tau_end=1.0, tau_anneal=0.2)
    assert objective.tau(progress) == pytest.approx(tau)


def test_tau_rises_over_a_fifth_of_the_training_by_default():
    # emotion2vec's template: from 0.999 to 0.99999 over 20,000 of 100,000 updates.
    settings = DistillationSettings()
    assert (settings.tau_start, settings.tau_end) == (0.999, 0.99999)
    objective = make_objective()
    assert objective.tau(0.1) == pytest.approx((0.999 + 0.99999) / 2)
    assert objective.tau(0.2) == pytest.approx(0.99999)


def test_a_new_teacher_encodes_as_its_student():
    student = make_objective().student.emotion2vec.eval()
    frames = student.front_end(CLIPS)
    torch.testing.assert_close(
        make_teacher(student).encode(frames).last, student.encode(frames).last
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_blocks": 4}, "targets of 4 blocks need as many, the model has 3"),
        ({"num_clones": 0}, "--num-clones must be 1 or more, got 0"),
        ({"tau_start": 0.9, "tau_end": 0.8}, r"must rise within \[0, 1\], got 0.9 to 0.8"),
        ({"frame_weight": -1.0}, "--frame-weight must be 0 or more, got -1.0"),
        ({"frame_weight": 0.0, "utterance": "none"}, "neither frames nor utterances"),
        ({**ALONE, "teacher_weight": 0.0}, "neither frames nor utterances"),
        ({"teacher_weight": 2.0}, "--teacher-weight 2.0 has no effect without --teacher"),
        ({"teacher_layers": "2-4"}, "--teacher-layers 2-4 has no effect without --teacher"),
        ({"teacher": "x", "teacher_layers": "4-2"}, "or a range such as 2-4, got '4-2'"),
        ({"teacher": "x", "teacher_layers": "last"}, "or a range such as 2-4, got 'last'"),
        ({"teacher": "x", "teacher_weight": -1.0}, "--teacher-weight must be 0 or more, got -1.0"),
        ({**ALONE, "mask_share": 0.3}, "--mask-share 0.3 has no effect where --teacher alone"),
        ({**ALONE, "anchor_weight": 1.0}, "--anchor-weight 1.0 has no effect where --teacher al"),
        ({**ALONE, "tau_end": 1.0}, "--tau-end 1.0 has no effect where --teacher alone"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_objective(**settings)
