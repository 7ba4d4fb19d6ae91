"""Settings of a CPC model: sizes, input gain, norms of the convolutions."""

from transformers import PreTrainedConfig


class CpcConfig(PreTrainedConfig):
    """Shape of contrastive predictive coding, by default as in Li et al. (2021).

    Kernels and strides are no settings: a frame is always 10 ms of 16 kHz speech, see
    `speech_encoders.cpc.modeling`.

    Args:
        conv_dim: Channels of the four convolutions, features of a latent (C).
        hidden_size: Units of the GRU, features of a context (D).
        num_steps: Frames ahead that pre-training predicts (K).
        input_gain: Factor of the samples. Speech has a deviation of some hundredths; clips are not
            normalised, since their loudness is part of the emotion.
        has_norms: Whether the channels of each convolution are normalised before the ReLU
            (Rivière et al., 2020). Li et al. mention no norms; without them trial runs from random
            weights were still near chance after a minute, with them not.
    """

    model_type = "cpc"

    conv_dim: int = 128
    hidden_size: int = 256
    num_steps: int = 12
    input_gain: float = 10.0
    has_norms: bool = True

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)
        for name in ("conv_dim", "hidden_size", "num_steps", "input_gain"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
