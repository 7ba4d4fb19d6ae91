"""emotion2vec's classifier: the mean it sees, labels it never answers, learning, saving."""

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForPreTraining,
)

from speech_encoders.emotion2vec import (
    Emotion2vecForPreTraining,
    Emotion2vecForSequenceClassification,
)
from speech_encoders.emotion2vec.classification import masked_classes
from tests.emotion2vec_models import make_config


def make_classifier(*labels: str, **settings: object) -> Emotion2vecForSequenceClassification:
    torch.manual_seed(0)
    config = make_config(**settings, id2label=dict(enumerate(labels)))
    return Emotion2vecForSequenceClassification(config).eval()


@torch.no_grad()
def test_the_head_sees_the_mean_of_the_real_frames():
    classifier = make_classifier("angry", "happy", "sad")
    clips, mask = torch.randn(2, 8_000), torch.arange(8_000) < torch.tensor([[8_000], [5_000]])
    logits = classifier(clips, mask).logits
    frames = classifier.emotion2vec(clips[1:, :5_000]).last_hidden_state[0]
    mean = torch.stack([frame / len(frames) for frame in frames]).sum(0)
    expected = classifier.classifier.weight @ mean
    torch.testing.assert_close(logits[1], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("configured", "asked", "expected"),
    [
        (None, None, [1, 3]),
        (["sad"], None, [2]),
        ([], None, []),
        (["sad"], ["angry", "<unk>"], [0, 3]),
    ],
)
def test_masked_labels_are_never_answered_in_evaluation(configured, asked, expected):
    classifier = make_classifier("angry", "unuse_1", "sad", "<unk>", masked_labels=configured)
    logits = classifier(torch.randn(1, 800), masked_labels=asked).logits[0]
    assert logits.isinf().nonzero().flatten().tolist() == expected
    assert not classifier.train()(torch.randn(1, 800), masked_labels=asked).logits.isinf().any()


def test_the_loss_counts_every_class_masked_or_not():
    classifier = make_classifier("angry", "<unk>")
    clip, label = torch.randn(1, 800), torch.tensor([1])
    output = classifier(clip, labels=label)
    logits = classifier(clip, masked_labels=[]).logits[0]
    expected = logits.exp().sum().log() - logits[1]
    torch.testing.assert_close(output.loss, expected)
    assert output.logits[0, 1] == -torch.inf


def test_masking_what_is_no_label_or_all_labels_is_refused():
    config = make_classifier("angry", "sad").config
    with pytest.raises(ValueError, match=r"\['bored'\] are not among .*\['angry', 'sad'\]"):
        masked_classes(config, ["bored"])
    with pytest.raises(ValueError, match=r"all labels \['angry', 'sad'\] are masked"):
        masked_classes(config, ["sad", "angry"])


def test_the_head_learns_to_separate_two_kinds_of_clips():
    classifier = make_classifier("low", "high", layerdrop=0.0)
    times = torch.arange(1_600) / 16_000
    clips = torch.stack([(2 * torch.pi * pitch * times).sin() for pitch in (100, 110, 1000, 1100)])
    labels = torch.tensor([0, 0, 1, 1])
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        classifier.train()(clips, labels=labels).loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert classifier.eval()(clips).logits.argmax(1).tolist() == labels.tolist()


def test_saved_models_come_back_through_the_auto_classes(tmp_path):
    torch.manual_seed(0)
    trained = Emotion2vecForPreTraining(make_config())
    for parameter in trained.parameters():
        parameter.data = torch.randn_like(parameter)
    trained.save_pretrained(tmp_path / "trained")
    classifier = make_classifier("angry", "sad")
    classifier.save_pretrained(tmp_path / "classifier")

    for auto, name, expected in (
        (AutoModelForPreTraining, "trained", trained),
        (AutoModel, "trained", trained.emotion2vec),
        (AutoModelForAudioClassification, "classifier", classifier),
    ):
        loaded = auto.from_pretrained(tmp_path / name)
        assert type(loaded) is type(expected)
        for key, tensor in expected.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[key], tensor)
    assert AutoConfig.from_pretrained(tmp_path / "classifier").id2label == {0: "angry", 1: "sad"}
