"""Settings of an emotion2vec model: its three sizes, its dropouts, its labels."""

from transformers import PreTrainedConfig

from speech_encoders.settings import Size

SIZES: dict[Size, dict[str, int]] = {
    "mini": {
        "conv_dim": 256,
        "hidden_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "decoder_dim": 128,
    },
    "base": {},
    "large": {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096},
}
"""What each size changes in the default settings, which are those of ``base``."""


class Emotion2vecConfig(PreTrainedConfig):
    """Shape and dropouts of emotion2vec (Ma et al., 2024), by default of ``base``.

    Kernels and strides of the feature extractor are no settings: a frame is always 20 ms of 16 kHz
    speech, see `speech_encoders.emotion2vec.front_end`.

    Args:
        conv_dim: Channels of the feature extractor (C).
        hidden_size: Features of a frame (D).
        num_hidden_layers: Blocks, the released model's four prenet blocks among them.
        num_attention_heads: Heads of each block.
        intermediate_size: Units of a block's feed-forward part.
        conv_pos_layers: Convolutions of the positional encoder.
        conv_pos_kernel: Their kernel in frames; odd.
        conv_pos_groups: Groups of each of them.
        num_extra_tokens: Learned tokens before the frames.
        decoder_dim: Channels of the pre-training decoder.
        decoder_layers: Convolutions of the decoder.
        decoder_kernel: Their kernel in frames; odd.
        decoder_groups: Groups of each of them.
        decoder_dropout: Dropout before the decoder.
        input_dropout: Dropout before the first block.
        hidden_dropout: Dropout after attention and after the feed-forward part.
        attention_dropout: Dropout of attention weights.
        layerdrop: Probability of leaving out a block in training (Fan et al., 2020).
        layer_norm_eps: Added to the variance by every layer norm.
        initializer_range: Deviation of the initial weights of linear maps.
        masked_labels: Labels that a classifier never predicts at inference; None stands for
            ``<unk>`` and those that begin with ``unuse``.
    """

    model_type = "emotion2vec"

    conv_dim: int = 512
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    conv_pos_layers: int = 5
    conv_pos_kernel: int = 19
    conv_pos_groups: int = 16
    num_extra_tokens: int = 10
    decoder_dim: int = 384
    decoder_layers: int = 4
    decoder_kernel: int = 7
    decoder_groups: int = 16
    decoder_dropout: float = 0.1
    input_dropout: float = 0.1
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    layerdrop: float = 0.05
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    masked_labels: list[str] | None = None

    def __post_init__(self, **kwargs: object) -> None:
        super().__post_init__(**kwargs)
        divisors = {
            "num_attention_heads": (self.num_attention_heads, self.hidden_size, "hidden_size"),
            "conv_pos_groups": (self.conv_pos_groups, self.hidden_size, "hidden_size"),
            "decoder_groups": (self.decoder_groups, self.decoder_dim, "decoder_dim"),
        }
        for name, (divisor, size, size_name) in divisors.items():
            if size % divisor:
                raise ValueError(f"{name} must divide {size_name} {size}, got {divisor}")
        for name in ("conv_pos_kernel", "decoder_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd, got {getattr(self, name)}")

    @classmethod
    def of_size(cls, size: Size, **settings: object) -> "Emotion2vecConfig":
        """Returns the settings of a size, ``settings`` changed.

        Args:
            size: ``mini`` has 8 million parameters, ``base`` 94, ``large`` 163.
            settings: Settings by name, those of every transformers configuration included.

        Raises:
            ValueError: There is no such size.
        """
        if size not in SIZES:
            raise ValueError(f"emotion2vec has no size {size!r}; choose one of {', '.join(SIZES)}")
        return cls.from_dict({**SIZES[size], **settings})
