"""Speech encoders to be trained: emotion2vec, Whisper, wav2vec 2.0 and models of its shape."""

import json
from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from transformers import (
    SequenceFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from speech_encoders import load_speech_encoder
from speech_encoders.checkpoint import digest_weights, library_versions
from speech_encoders.contract import SampleEncoder, WaveformEncoder
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from speech_encoders.emotion2vec.feature_extraction import Emotion2vecFeatureExtractor
from speech_encoders.emotion2vec.front_end import FRAMING
from speech_encoders.emotion2vec.modeling import Emotion2vecModel
from speech_encoders.emotion2vec.windows import normalize
from speech_encoders.tunable import TunableEncoder
from speech_encoders.wav2vec2 import (
    Wav2Vec2Encoder,
    convolution_norm,
    mixed_masks,
    positions_read_padding,
    prepare_waveforms,
)
from speech_encoders.waveforms import (
    encode_by_length,
    join_windows,
    real_positions,
    split_windows,
)
from speech_encoders.whisper import modeling as whisper
from speech_encoders.whisper.encoder import WhisperEncoder

_ADAPTED = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")


def load_tunable(name: str, *, trains_front_end: bool = False) -> "TunableSpeechEncoder":
    """Loads an encoder to be trained, in float32 on the CPU.

    Args:
        name: As for `speech_encoders.load_speech_encoder`, of wav2vec 2.0, HuBERT, WavLM,
            data2vec-audio, Whisper or emotion2vec.
        trains_front_end: Whether the convolutions are trained too; the inputs are then samples.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ValueError: The encoder cannot be trained, or its checkpoint lacks weights.
    """
    frozen = load_speech_encoder(name)
    if isinstance(frozen, Emotion2vecEncoder):
        return TunableEmotion2vec(frozen, trains_front_end=trains_front_end)
    if isinstance(frozen, Wav2Vec2Encoder):
        return TunableWav2Vec2(frozen, trains_front_end=trains_front_end)
    if isinstance(frozen, WhisperEncoder) and not frozen.padded:
        return TunableWhisper(frozen, trains_front_end=trains_front_end)
    raise ValueError(
        f"{name}: {type(frozen).__name__} cannot be trained; choose a checkpoint of wav2vec 2.0, "
        "HuBERT, WavLM, data2vec-audio, Whisper (not padded) or emotion2vec"
    )


class TunableSpeechEncoder(TunableEncoder):
    """An encoder of clips, whose convolutions are trained or frozen.

    The inputs are the samples themselves, or the output of the convolutions, which is worth storing
    where they are frozen, since it never changes.

    Args:
        frozen: The encoder as loaded, whose model is trained in place.
        extractor: How the model expects its clips.
        blocks: Name of the Transformer blocks within the model.
        trains_front_end: Whether the convolutions are trained.

    Attributes:
        reader: Turns clips into inputs.
    """

    reader: WaveformEncoder

    def __init__(
        self,
        frozen: Emotion2vecEncoder | Wav2Vec2Encoder | WhisperEncoder,
        extractor: SequenceFeatureExtractor,
        blocks: str,
        *,
        trains_front_end: bool,
    ) -> None:
        super().__init__(frozen.model, extractor, blocks)
        self.frozen = frozen
        self.trains_front_end = trains_front_end
        self.reader = (
            SampleEncoder(frozen.min_samples) if trains_front_end else ConvolutionReader(self)
        )

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes: (B, S, 1) or (B, T, C), (B,) -> (B, T, D), (B,)."""
        if self.trains_front_end:
            inputs, lengths = self.convolve(inputs.squeeze(-1), lengths)
        return self.contextualise(inputs, lengths), lengths

    @abstractmethod
    def describe_front_end(self) -> tuple[str, Mapping[str, Tensor], int]:
        """Returns what the convolutions depend on, their weights by name, and their channels."""

    @abstractmethod
    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""

    @abstractmethod
    def contextualise(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        """Runs projection and Transformer: (B, T, C), (B,) -> (B, T, D)."""


class ConvolutionReader(WaveformEncoder):
    """The output of an encoder's frozen convolutions as the one layer."""

    num_layers = 1

    def __init__(self, encoder: TunableSpeechEncoder) -> None:
        self._encoder = encoder
        self.frame_rate = encoder.frozen.frame_rate
        self.min_samples = encoder.frozen.min_samples
        kind, weights, self.hidden_size = encoder.describe_front_end()
        self.identity = json.dumps(
            {
                "front_end": kind,
                "format": 1,
                "sha256": digest_weights(weights),
                "versions": library_versions(),
            }
        )

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions: (B, S), (B,) -> (B, 1, T, C), (B,)."""
        device = self._encoder.model.device
        frames, num_frames = self._encoder.convolve(waveforms.to(device), lengths.to(device))
        return frames[:, None], num_frames


class TunableEmotion2vec(TunableSpeechEncoder):
    """emotion2vec with gradients.

    Clips are encoded whole, whatever their length: only the frozen encoder reads long recordings by
    windows.
    """

    adapted = ("query_key_value", "output", "up", "down")
    model: Emotion2vecModel

    def __init__(self, frozen: Emotion2vecEncoder, *, trains_front_end: bool) -> None:
        extractor = Emotion2vecFeatureExtractor()
        super().__init__(frozen, extractor, "encoder.blocks", trains_front_end=trains_front_end)
        self.model.requires_grad_(True)
        for part in (self.model.front_end.convolutions, self.model.front_end.norms):
            part.requires_grad_(trains_front_end)

    def describe_front_end(self) -> tuple[str, Mapping[str, Tensor], int]:
        """Returns what the convolutions depend on, their weights by name, and their channels."""
        weights = self.model.front_end.state_dict().items()
        own = {name: weight for name, weight in weights if not name.startswith("projection")}
        config = self.model.config
        return f"emotion2vec eps={config.layer_norm_eps}", own, config.conv_dim

    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
        clips = [
            normalize(waveform[:length])
            for waveform, length in zip(waveforms, lengths.tolist(), strict=True)
        ]
        padded = nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return self.model.front_end.extract(padded), FRAMING.count_each(lengths)

    def contextualise(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        """Runs projection and Transformer: (B, T, C), (B,) -> (B, T, D)."""
        front_end = self.model.front_end
        frames = front_end.projection(front_end.projection_norm(frames))
        is_real = real_positions(num_frames, frames.size(1))
        mask = None if bool(is_real.all()) else is_real
        frames = frames + self.model.positional(frames, mask)
        outputs = self.model.encode(frames, mask=mask)
        return outputs.last[:, self.model.config.num_extra_tokens :]


class TunableWav2Vec2(TunableSpeechEncoder):
    """A model of the shape of wav2vec 2.0 with gradients.

    Convolutions whose group norm reads the padding get clips of one length at a time, and so do
    Transformers whose positional convolutions read it. Batch norms keep their pretrained
    statistics: with those of a batch, clips would change each other.
    """

    frozen: Wav2Vec2Encoder

    def __init__(self, frozen: Wav2Vec2Encoder, *, trains_front_end: bool) -> None:
        extractor = Wav2Vec2FeatureExtractor(do_normalize=frozen.do_normalize)
        super().__init__(frozen, extractor, "encoder.layers", trains_front_end=trains_front_end)
        # The library's own WavLM reads the weights of its maps directly, past adapters around them,
        # and adapters of a checkpoint may be used with it.
        is_wavlm = self.model.config.model_type == "wavlm"
        self.adapted = _ADAPTED[4:] if is_wavlm else _ADAPTED
        self._front_end().requires_grad_(trains_front_end)

    def train(self, mode: bool = True) -> "TunableWav2Vec2":
        """Switches the mode; batch norms always keep their statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def describe_front_end(self) -> tuple[str, Mapping[str, Tensor], int]:
        """Returns what the convolutions depend on, their weights by name, and their channels."""
        config = self.model.config
        kind = (
            f"{config.model_type} {convolution_norm(config)} normalised={self.frozen.do_normalize}"
        )
        return kind, self._front_end().state_dict(), config.conv_dim[-1]

    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
        waveforms = prepare_waveforms(waveforms, lengths, do_normalize=self.frozen.do_normalize)
        num_frames = self.frozen.framing.count_each(lengths)
        if convolution_norm(self.model.config) == "layer":
            frames = self._convolve(waveforms, lengths)
            return frames[:, : int(num_frames.max())], num_frames
        return encode_by_length(self._convolve, waveforms, lengths), num_frames

    def contextualise(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        """Runs projection and Transformer: (B, T, C), (B,) -> (B, T, D)."""
        if positions_read_padding(self.model.config):
            return encode_by_length(self._contextualise, frames, num_frames)
        return self._contextualise(frames, num_frames)

    def _front_end(self) -> nn.Module:
        return self.model.get_submodule("feature_extractor")

    def _convolve(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        del lengths
        return self._front_end()(waveforms).transpose(1, 2)

    def _contextualise(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        config = self.model.config
        states = self.model.get_submodule("feature_projection")(frames)
        states = states[0] if isinstance(states, tuple) else states
        mask = real_positions(num_frames, frames.size(1))
        if frames.size(1) > config.mask_time_length:  # else there is no room for a masked span
            mask_states = self.model._mask_hidden_states  # pyright: ignore[reportCallIssue]
            states = mask_states(states, attention_mask=mask.long())  # pyright: ignore
        with mixed_masks():
            encode = self.model.get_submodule("encoder")
            output = encode(states, attention_mask=None if bool(mask.all()) else mask)
        return output.last_hidden_state


class TunableWhisper(TunableSpeechEncoder):
    """The encoder of Whisper with gradients, on the frames that the clips have.

    Log-mel and the places of frames are computed, not learnt; the two convolutions are its front
    end. A clip longer than 30 s is read window by window.
    """

    adapted = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    model: whisper.WhisperModel

    def __init__(self, frozen: WhisperEncoder, *, trains_front_end: bool) -> None:
        extractor = WhisperFeatureExtractor(feature_size=frozen.model.num_mel_bins)
        super().__init__(frozen, extractor, "layers", trains_front_end=trains_front_end)
        for part in (self.model.conv1, self.model.conv2):
            part.requires_grad_(trains_front_end)

    def describe_front_end(self) -> tuple[str, Mapping[str, Tensor], int]:
        """Returns what the convolutions depend on, their weights by name, and their channels."""
        weights = self.model.state_dict().items()
        own = {name: weight for name, weight in weights if name.startswith("conv")}
        return f"whisper window={whisper.window_frames(self.model)}", own, self.hidden_size

    def convolve(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs log-mel and convolutions on clips as recorded: (B, S), (B,) -> (B, T, C), (B,)."""
        frames, _ = whisper.convolve(self.model, waveforms, lengths)
        num_frames = whisper.count_frames(lengths)
        return join_windows(frames, num_frames, whisper.window_frames(self.model)), num_frames

    def contextualise(self, frames: Tensor, num_frames: Tensor) -> Tensor:
        """Runs the Transformer: (B, T, C), (B,) -> (B, T, D)."""
        size = whisper.window_frames(self.model)
        windows, sizes = split_windows(frames, num_frames, size)
        states = whisper.contextualise(self.model, windows, sizes)[-1]
        return join_windows(states, num_frames, size)
