"""Whisper models of random size whose words are planted: the same for any clip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

SPECIAL = (
    *("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>"),
    *("<|nospeech|>", "<|notimestamps|>"),
)
WORDS = ("Guten", "Morgen", "(la)", "la", *SPECIAL)
NUMBERS = {word: number for number, word in enumerate(WORDS)}
PROMPT = 4  # positions before the first word: start, language, task, no timestamps

_SHAPE: dict[str, Any] = {
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 8),
    "d_model": 16,
    "vocab_size": len(WORDS),
    "max_source_positions": 50,  # windows of one second
    "max_target_positions": 64,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), NUMBERS["<|endoftext|>"]),
    "decoder_start_token_id": NUMBERS["<|startoftranscript|>"],
}


def save_writer(
    folder: Path, words: Sequence[str], *, first: str = "<|de|>", is_sure: bool = True
) -> Path:
    """Saves a model that writes ``words``; ``first`` is most probable after the start.

    One that is not sure gives every other word nearly the same probability, a sixth.

    Blocks of the decoder add nothing, so that a position alone decides about the next token.
    """
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**_SHAPE)).eval()
    decoder = model.model.decoder
    with torch.no_grad():
        for name, parameter in decoder.layers.named_parameters():
            if "out_proj" in name or "fc2" in name:
                parameter.zero_()
        decoder.embed_tokens.weight.zero_()
        decoder.embed_tokens.weight[:, : len(WORDS)] = 5 * torch.eye(len(WORDS))
        decoder.embed_positions.weight.zero_()
        ends = ["<|endoftext|>"] * (64 - PROMPT + 1 - len(words))
        for position, word in enumerate([first, *ends[: PROMPT - 2], *words, *ends][:64]):
            if position and not is_sure:
                decoder.embed_positions.weight[position, :6] = 0.95e4
            decoder.embed_positions.weight[position, NUMBERS[word]] = 1e4
    model.generation_config = GenerationConfig(
        is_multilingual=True,
        lang_to_id={name: NUMBERS[name] for name in ("<|en|>", "<|de|>")},
        task_to_id={"transcribe": NUMBERS["<|transcribe|>"]},
        no_timestamps_token_id=NUMBERS["<|notimestamps|>"],
        max_length=60,
        **{key: _SHAPE[key] for key in _SHAPE if key.endswith("token_id")},
    )
    model.save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel(NUMBERS, unk_token="<|nospeech|>"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
    ).save_pretrained(folder)
    return folder
