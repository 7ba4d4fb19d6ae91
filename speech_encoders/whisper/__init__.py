"""The encoder of Whisper (Radford et al., 2023): log-mel, two convolutions, Transformer blocks."""
