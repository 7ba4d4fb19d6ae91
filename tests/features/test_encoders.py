"""Encoders whose features are stored are identified, not loaded."""

from collections.abc import Sequence

import numpy as np
import pytest

import speech_encoders.pretrained
import text_encoders.bert
from conversation_emotion.features.encoders import LazyEncoder, load_encoder
from conversation_emotion.features.sources import Source, encode_source
from tests.features.test_features import FakeTextEncoder, table_of, write_clip
from tests.speech_encoders.test_pretrained_speech import VARIANTS
from tests.speech_encoders.test_pretrained_speech import save_model as save_speech
from tests.text_encoders.test_text_encoders import save_model as save_text


def refuse(*given: object) -> None:
    raise ZeroDivisionError("it was loaded")


@pytest.mark.parametrize("modality", ["speech", "text"])
def test_an_encoder_is_loaded_once_something_new_has_to_be_encoded(tmp_path, monkeypatch, modality):
    table = table_of([write_clip(tmp_path / f"{n}.wav", n / 10) for n in range(3)])
    table["text"] = ["happy", "sad", "angry"]
    if modality == "speech":
        save_speech(tmp_path / "model", *VARIANTS["hubert-group"])
    else:
        save_text(tmp_path / "model")
    source = Source(modality, str(tmp_path / "model"), "last", "mean", half_precision=False)

    def extract(rows: slice) -> Sequence:
        encoder = load_encoder(modality, source.encoder, "cpu")
        return encode_source(table[rows], source, encoder, tmp_path / "cache").states

    first = extract(slice(2))
    monkeypatch.setattr(text_encoders.bert, "load_bert", refuse)
    monkeypatch.setattr(speech_encoders.pretrained, "load", refuse)
    again = extract(slice(2))
    np.testing.assert_array_equal(np.stack(again), np.stack(first))
    with pytest.raises(ZeroDivisionError, match="it was loaded"):
        extract(slice(3))


def test_an_encoder_whose_files_change_before_it_is_loaded_is_refused():
    encoder = LazyEncoder("weights of yesterday", FakeTextEncoder)
    with pytest.raises(RuntimeError, match="changed while it was used: fake, expected weights of"):
        encoder(["a text"])
