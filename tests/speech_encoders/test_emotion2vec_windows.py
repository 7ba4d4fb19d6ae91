"""emotion2vec on recordings of any length: windows, their context, flat memory, frame times."""

import weakref

import pytest
import torch

from speech_encoders.emotion2vec import Emotion2vecModel, iterate_windows, normalize
from speech_encoders.emotion2vec.windows import CONTEXT_FRAMES, WINDOW_FRAMES, plan_windows
from tests.emotion2vec_models import make_model, normalise


@pytest.fixture
def model() -> Emotion2vecModel:
    return make_model()


def make_recording(num_frames: int, surplus: int = 0) -> torch.Tensor:
    """Noise of as many samples as give the frames, and some more: (S,)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(320 * (num_frames - 1) + 400 + surplus, generator=generator)


@pytest.mark.parametrize(("window", "context"), [(20, 0), (20, 4), (9, 4), (20, 9)])
def test_windows_give_every_frame_once_with_context_on_both_sides(window, context):
    for num_frames in (*range(1, 60), 149, 150, 151, 1_000):
        plan = plan_windows(num_frames, window_frames=window, context_frames=context)
        given = [frame for w in plan for frame in range(w.first, w.last)]
        assert given == list(range(num_frames))
        for w in plan:
            assert 0 <= w.start <= w.first < w.last <= w.stop <= num_frames
            assert w.first - w.start >= context or w.start == w.first == 0
            assert w.stop - w.last >= context or w.stop == w.last == num_frames


def test_windows_are_few_and_of_one_size():
    # A window of 20 gives 12 frames, the first and the last 4 more. 33 need (33 - 8) / 12 = 3, of
    # (33 - 8) / 3 + 8 = 17 frames; the last ends with the recording.
    plan = plan_windows(33, window_frames=20, context_frames=4)
    assert [(w.start, w.stop) for w in plan] == [(0, 17), (9, 26), (16, 33)]
    assert [(w.first, w.last) for w in plan] == [(0, 13), (13, 22), (22, 33)]


def test_a_recording_of_half_a_minute_is_one_window():
    assert len(plan_windows(WINDOW_FRAMES)) == 1
    assert len(plan_windows(WINDOW_FRAMES + 1)) == 2
    assert WINDOW_FRAMES * 0.02 == 30
    assert CONTEXT_FRAMES * 0.02 == 2.5


@pytest.mark.parametrize("context", [4, 9, -1])
def test_a_window_without_a_middle_is_refused(context):
    message = f"a window of 8 frames has no middle between two contexts of {context}"
    with pytest.raises(ValueError, match=message):
        plan_windows(100, window_frames=8, context_frames=context)


def test_a_recording_without_a_frame_is_refused(model):
    with pytest.raises(ValueError, match="a clip has 399 samples, expected 400 or more"):
        list(iterate_windows(model, torch.zeros(399)))


@pytest.mark.parametrize("surplus", [0, 319])
def test_a_recording_of_one_window_is_the_plain_forward_to_the_bit(model, surplus):
    recording = make_recording(40, surplus)
    (window,) = iterate_windows(
        model, recording, all_layers=True, window_frames=40, context_frames=4
    )
    with torch.inference_mode():
        output = model(recording[None], output_hidden_states=True)
    assert torch.equal(window.states, torch.cat(output.hidden_states))
    (last,) = iterate_windows(model, recording, window_frames=40, context_frames=4)
    assert torch.equal(last.states, output.last_hidden_state)


@torch.no_grad()
def test_a_window_is_the_forward_on_the_samples_of_its_frames(model):
    recording = make_recording(33, surplus=100)
    windows = list(iterate_windows(model, recording, window_frames=20, context_frames=4))
    # The second of `test_windows_are_few_and_of_one_size`: frames 9 to 25, of which 13 to 21.
    alone = model(recording[None, 9 * 320 : 25 * 320 + 400]).last_hidden_state[:, 4:13]
    torch.testing.assert_close(windows[1].states, alone)
    assert windows[1].first_frame == 13


@torch.no_grad()
def test_frames_before_attention_are_those_of_the_whole_recording():
    # Five convolutions that see one frame on each side: five frames of context are enough.
    model = make_model(conv_pos_kernel=3, input_dropout=0.0)
    recording = make_recording(100)
    whole = model(recording[None], output_hidden_states=True).hidden_states[0]
    windows = iterate_windows(model, recording, all_layers=True, window_frames=30, context_frames=5)
    pieces = torch.cat([window.states[:1] for window in windows], dim=1)
    torch.testing.assert_close(pieces, whole)


@torch.no_grad()
def test_more_context_comes_closer_to_attention_over_the_whole(model):
    model.alibi_scale.data.fill_(4.0)
    recording = make_recording(300)
    whole = model(recording[None]).last_hidden_state
    errors = []
    for context in (0, 10, 50):
        windows = iterate_windows(
            model, recording, window_frames=60 + 2 * context, context_frames=context
        )
        pieces = torch.cat([window.states for window in windows], dim=1)
        errors.append((pieces - whole).abs().mean().item())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_windows_carry_the_numbers_of_their_frames(model):
    windows = iterate_windows(model, make_recording(100), window_frames=30, context_frames=5)
    sizes = {window.first_frame: window.states.size(1) for window in windows}
    numbers = [first + frame for first, size in sizes.items() for frame in range(size)]
    assert numbers == list(range(100))


def test_a_window_is_let_go_before_the_next_but_one(model):
    alive, most = [], 0
    for window in iterate_windows(model, make_recording(400), window_frames=30, context_frames=5):
        alive.append(weakref.ref(window.states))
        del window
        most = max(most, sum(states() is not None for states in alive))
    assert len(alive) == 20  # (400 - 10) / (30 - 10), rounded up
    assert most <= 1


def test_the_largest_tensor_does_not_grow_with_the_recording(model):
    sizes: list[int] = []
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.LayerNorm)):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.numel()))
    largest = []
    for num_frames in (110, 810):  # 5 and 40 windows, each full
        sizes.clear()
        recording = make_recording(num_frames)
        windows = iterate_windows(model, recording, window_frames=30, context_frames=5)
        largest.append((len(list(windows)), max(sizes)))
    (few, small), (many, large) = largest
    assert (few, many) == (5, 40)
    assert small == large


def test_the_caller_keeps_gradients_between_windows(model):
    for _ in iterate_windows(model, make_recording(60), window_frames=30, context_frames=5):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_recording_is_normalised_as_a_whole():
    recording = 0.1 * make_recording(60) + 0.3
    torch.testing.assert_close(normalize(recording), normalise(recording))
