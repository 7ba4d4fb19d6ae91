"""Loads speech encoders that can be trained."""

from speech_encoders import load_speech_encoder
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from speech_encoders.emotion2vec.tuning import TunableEmotion2vec
from speech_encoders.tunable import TunableEncoder
from speech_encoders.tunable_wav2vec2 import TunableWav2Vec2
from speech_encoders.wav2vec2 import Wav2Vec2Encoder


def load_tunable(name: str, *, trains_front_end: bool = False) -> TunableEncoder:
    """Loads an encoder to be trained, in float32 on the CPU.

    Args:
        name: As for `speech_encoders.load_speech_encoder`, of wav2vec 2.0, HuBERT, WavLM,
            data2vec-audio or emotion2vec.
        trains_front_end: Whether the convolutions are trained too; the inputs are then samples.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ValueError: The encoder cannot be trained, or its checkpoint lacks weights.
    """
    encoder = load_speech_encoder(name)
    if isinstance(encoder, Emotion2vecEncoder):
        return TunableEmotion2vec(encoder.model, trains_front_end=trains_front_end)
    if isinstance(encoder, Wav2Vec2Encoder):
        return TunableWav2Vec2(
            encoder.model, do_normalize=encoder.do_normalize, trains_front_end=trains_front_end
        )
    raise ValueError(
        f"{name}: {type(encoder).__name__} cannot be trained; choose a checkpoint of wav2vec 2.0, "
        "HuBERT, WavLM, data2vec-audio or emotion2vec"
    )
