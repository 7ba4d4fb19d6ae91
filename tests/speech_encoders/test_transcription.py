"""Whisper writes down clips: its words, languages, guards, and checkpoints that cannot."""

import json
import shutil

import pytest
import torch

from speech_encoders import load_transcriber
from tests.speech_encoders.test_whisper import save_whisper
from tests.whisper_writers import save_writer

CLIPS = (
    torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0)),
    torch.tensor([8_000, 5_000]),
)


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """The folder of a model that writes two German words."""
    return save_writer(tmp_path_factory.mktemp("writer"), ["Guten", "Morgen"])


def test_each_clip_gets_its_words_and_its_language_detected_or_given(writer):
    transcriber = load_transcriber(str(writer))
    assert transcriber.languages == ("de", "en")
    found = transcriber(*CLIPS, [None, "en"])
    assert [one.text for one in found] == ["Guten Morgen"] * 2
    assert [one.language for one in found] == ["de", "en"]
    assert transcriber.detect(*CLIPS) == ["de", "de"]


def test_a_model_is_identified_by_its_files_wherever_they_lie(writer, tmp_path):
    identity = load_transcriber(str(writer)).identity
    copy = shutil.copytree(writer, tmp_path / "copy")
    assert load_transcriber(str(copy)).identity == identity
    generation = copy / "generation_config.json"
    generation.write_text(generation.read_text().replace('"max_length": 60', '"max_length": 50'))
    assert load_transcriber(str(copy)).identity != identity


def test_words_are_those_of_generation_on_clips_that_the_library_pads(writer):
    transcriber = load_transcriber(str(writer))
    encoded = transcriber._encode(*CLIPS).last_hidden_state
    padded = torch.nn.functional.pad(CLIPS[0][1, :5_000], (0, 11_000))
    alone = transcriber._encode(padded[None], torch.tensor([16_000])).last_hidden_state
    assert encoded is not None
    assert alone is not None
    torch.testing.assert_close(encoded[1], alone[0])
    assert encoded.shape == (2, 50, 16)


@pytest.mark.parametrize(
    ("words", "first", "is_sure", "problem"),
    [
        (["la"], "<|nospeech|>", False, "nobody speaks"),
        (["la"] * 40, "<|de|>", True, "the words repeat themselves"),
        ([], "<|de|>", True, "nobody speaks"),
        (["(la)"], "<|de|>", True, "nobody speaks"),
    ],
)
def test_words_that_the_model_doubts_are_left_out(tmp_path, words, first, is_sure, problem):
    transcriber = load_transcriber(str(save_writer(tmp_path, words, first=first, is_sure=is_sure)))
    found = transcriber(*CLIPS, ["de", "de"])
    assert [(one.text, one.problem) for one in found] == [("", problem)] * 2


def test_improbable_words_alone_and_silence_alone_leave_words_in(tmp_path):
    unsure = load_transcriber(str(save_writer(tmp_path / "a", ["la"], is_sure=False)))
    silent = load_transcriber(str(save_writer(tmp_path / "b", ["la"], first="<|nospeech|>")))
    for transcriber in (unsure, silent):
        assert [one.text for one in transcriber(*CLIPS, ["de", "de"])] == ["la", "la"]


@pytest.mark.parametrize("name", ["German", "de", "DE-at", "<|de|>"])
def test_a_language_is_found_by_name_or_tag(writer, name):
    assert load_transcriber(str(writer)).find_language(name) == "de"


def test_a_language_that_the_model_does_not_have_is_named_with_those_it_has(writer):
    with pytest.raises(ValueError, match=r"has no language 'Klingon'; it has de, en$"):
        load_transcriber(str(writer)).find_language("Klingon")


def test_an_english_model_writes_english_alone(writer, tmp_path):
    save_writer(tmp_path, ["la"])
    file = tmp_path / "generation_config.json"
    given = json.loads(file.read_text())
    file.write_text(json.dumps({**given, "is_multilingual": False}))
    transcriber = load_transcriber(str(tmp_path))
    assert transcriber.languages == ("en",)
    assert [one.language for one in transcriber(*CLIPS, [None, "en"])] == ["en", "en"]


def test_an_encoder_alone_and_another_model_are_refused(tmp_path):
    save_whisper(tmp_path / "encoder")
    for name in ("tokenizer.json", "generation_config.json"):
        source = save_writer(tmp_path / "writer", ["la"]) / name
        (tmp_path / "encoder" / name).write_bytes(source.read_bytes())
    with pytest.raises(ValueError, match="the checkpoint is an encoder alone, first missing"):
        load_transcriber(str(tmp_path / "encoder"))
    config = tmp_path / "encoder" / "config.json"
    config.write_text(config.read_text().replace('"whisper"', '"hubert"'))
    with pytest.raises(ValueError, match="model type 'hubert' writes no words"):
        load_transcriber(str(tmp_path / "encoder"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("tokenizer.json", "has no tokenizer"),
        ("generation_config.json", "has no generation_config.json, which names languages"),
    ],
)
def test_a_checkpoint_without_what_words_need_is_refused(tmp_path, file, message):
    (save_writer(tmp_path, ["la"]) / file).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        load_transcriber(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{}", r"is no configuration .*\(KeyError"), ('{"is_multilingual": true}', "lacks no_timest")],
)
def test_a_broken_configuration_of_generation_is_refused(tmp_path, content, message):
    (save_writer(tmp_path, ["la"]) / "generation_config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_transcriber(str(tmp_path))
