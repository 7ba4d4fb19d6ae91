"""The words of clips by Whisper (Radford et al., 2023), with the generation of transformers."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import AutoTokenizer, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from speech_encoders import read_model_type
from speech_encoders.checkpoint import (
    find_checkpoint,
    fingerprint,
    library_versions,
    load_model,
    naming_errors,
    quiet_loading,
)
from speech_encoders.waveforms import SAMPLE_RATE, real_positions
from speech_encoders.whisper.modeling import (
    SAMPLES_PER_FRAME,
    WhisperModel,
    contextualise,
    convolve,
    window_frames,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = 1
"""How words are read and left out; another way gets another number, since words are kept."""

NO_SPEECH = 0.6
"""Probability that nobody speaks above which words are left out, if they are improbable as well."""

MEAN_LOG_PROBABILITY = -1.0
"""Mean log-probability of the tokens below which words are improbable."""

COMPRESSION = 2.4
"""Bytes of a text per byte once compressed, above which it repeats itself."""

_EVENT = re.compile(r"\([^)]*\)|\[[^\]]*\]|\*[^*]*\*")
"""What Whisper writes of sounds, such as (soft music)."""

_TOKENS, _TOKENS_PER_SECOND = 32, 25
"""Most tokens of a clip: a bound on loops, beyond what the fastest speech of any script takes."""

_CONFIGS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json",
    "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "normalizer.json",
)  # fmt: skip
_GENERATION = "generation_config.json"


class Transcript(NamedTuple):
    """What is said in a clip.

    Attributes:
        text: The words; empty if there are none.
        language: Code of their language, such as ``en``.
        problem: Why there are no words.
    """

    text: str
    language: str
    problem: str = ""


class Transcriber:
    """Waveforms in, words out: greedy, each clip padded to the 30 s that Whisper was trained on.

    Words are left out where the model's own measures say that they are none, with the limits that
    Whisper was published with: that of `NO_SPEECH` and `MEAN_LOG_PROBABILITY` together, as in
    silence; or that of `COMPRESSION`, where it repeats itself. So are names of sounds that stand
    alone, such as (soft music).

    Args:
        model: Encoder and decoder in evaluation mode, with their configuration of generation.
        tokenizer: Its tokenizer.
        name: What the user calls it, for errors.
        identity: All that the words depend on, but sound and language.
    """

    def __init__(
        self,
        model: WhisperForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        identity: str,
    ) -> None:
        self.name = name
        self.identity = identity
        self._model = model
        self._tokenizer = tokenizer
        self._config: Any = model.generation_config
        tokens = self._config.lang_to_id if self._config.is_multilingual else {}
        self._codes = {number: token.strip("<|>") for token, number in tokens.items()}
        self.languages = tuple(sorted(self._codes.values())) or ("en",)
        self.max_samples = window_frames(self._encoder) * SAMPLES_PER_FRAME

    @property
    def _encoder(self) -> WhisperModel:
        return cast(WhisperModel, self._model.model.encoder)

    def find_language(self, name: str) -> str:
        """Returns the code of a language that the model writes.

        Raises:
            ValueError: It has no such language.
        """
        plain = name.strip().strip("<|>").lower()
        code = TO_LANGUAGE_CODE.get(plain, plain)
        code = code if code in self.languages else code.replace("_", "-").partition("-")[0]
        if code not in self.languages:
            known = ", ".join(self.languages)
            raise ValueError(f"{self.name} has no language {name!r}; it has {known}")
        return code

    def detect(self, waveforms: Tensor, lengths: Tensor) -> list[str]:
        """Returns the code of the language of each clip: (B, S), (B,) -> B."""
        with torch.inference_mode(), quiet_loading():
            return self._listen(self._encode(waveforms, lengths))[0]

    def __call__(
        self, waveforms: Tensor, lengths: Tensor, languages: Sequence[str | None]
    ) -> list[Transcript]:
        """Writes down clips of up to ``max_samples`` at 16 kHz: (B, S), (B,) -> B.

        Args:
            waveforms: Clips; samples after their lengths may be anything.
            lengths: Samples of each.
            languages: Code of the language of each; None to detect it from the clip.
        """
        with torch.inference_mode(), quiet_loading():
            encoded = self._encode(waveforms, lengths)
            detected, no_speech = self._listen(encoded)
            codes = [given or found for given, found in zip(languages, detected, strict=True)]
            seconds = int(lengths.max()) / SAMPLE_RATE
            texts, certainties = self._write(encoded, codes, seconds)
        clips = zip(texts, codes, certainties, no_speech, strict=True)
        return [_check(*clip) for clip in clips]

    def _encode(self, waveforms: Tensor, lengths: Tensor) -> BaseModelOutput:
        """Encodes clips padded to a window: (B, S), (B,) -> (B, T, D)."""
        device = self._model.device
        waveforms, lengths = waveforms.to(device), lengths.to(device)
        clips = waveforms.where(real_positions(lengths, waveforms.size(1)), 0.0)
        windows = pad(clips, (0, self.max_samples - clips.size(1)))
        frames, sizes = convolve(self._encoder, windows, torch.full_like(lengths, self.max_samples))
        states = contextualise(self._encoder, frames, sizes)[-1]
        return BaseModelOutput(last_hidden_state=cast(torch.FloatTensor, states))

    def _listen(self, encoded: BaseModelOutput) -> tuple[list[str], list[float]]:
        """Returns each clip's language, and the probability that nobody speaks in it."""
        assert encoded.last_hidden_state is not None
        size = len(encoded.last_hidden_state)
        start = torch.full(
            (size, 1), self._config.decoder_start_token_id, device=self._model.device
        )
        logits = self._model(encoder_outputs=encoded, decoder_input_ids=start).logits[:, 0]
        no_speech = logits.float().softmax(dim=-1)[:, self._config.no_timestamps_token_id - 1]
        numbers = torch.tensor(list(self._codes), dtype=torch.long, device=logits.device)
        if not len(numbers):
            return ["en"] * size, no_speech.tolist()
        best = numbers[logits[:, numbers].argmax(dim=1)]
        return [self._codes[number] for number in best.tolist()], no_speech.tolist()

    def _write(
        self, encoded: BaseModelOutput, codes: Sequence[str], seconds: float
    ) -> tuple[list[str], list[float]]:
        """Returns the words of each clip, and the mean log-probability of their tokens."""
        given: dict[str, Any] = {}
        if self._config.is_multilingual:
            given = {"language": [f"<|{code}|>" for code in codes], "task": "transcribe"}
        most = self._model.config.max_target_positions - 8  # room for what begins the text
        model: Any = self._model
        found = model.generate(
            encoder_outputs=encoded,
            do_sample=False,
            num_beams=1,
            max_new_tokens=min(most, _TOKENS + round(_TOKENS_PER_SECOND * seconds)),
            # Else a time that the model writes begins the same window again, maybe without end.
            force_unique_generate_call=True,
            return_dict_in_generate=True,
            output_scores=True,
            **given,
        )
        scores = model.compute_transition_scores(
            found.sequences, found.scores, normalize_logits=True
        )
        tokens = found.sequences[:, -scores.size(1) :]
        # The end is a token of the text, the padding after it is none, and may be the same token.
        is_open = (tokens == self._config.eos_token_id).cumsum(dim=1) == 0
        num_tokens = (is_open.sum(dim=1) + 1).clamp(max=tokens.size(1))
        is_real = real_positions(num_tokens, tokens.size(1))
        means = scores.where(is_real, 0.0).sum(dim=1) / is_real.sum(dim=1)
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [text.strip() for text in texts], means.tolist()


def _check(text: str, language: str, certainty: float, no_speech: float) -> Transcript:
    """Leaves out words that are none."""
    if no_speech > NO_SPEECH and certainty < MEAN_LOG_PROBABILITY:
        return Transcript("", language, "nobody speaks")
    content = text.encode()
    if len(content) > COMPRESSION * len(zlib.compress(content)):
        return Transcript("", language, "the words repeat themselves")
    if not any(map(str.isalnum, _EVENT.sub("", text))):
        return Transcript("", language, "nobody speaks")
    return Transcript(text, language)


def load(name: str, device: str) -> Transcriber:
    """Loads a Whisper model with its decoder, in float32.

    Args:
        name: Folder or Hugging Face hub id.
        device: Where it computes.

    Raises:
        FileNotFoundError: There is no such checkpoint, or it lacks the tokenizer or the
            configuration of generation.
        ValueError: It is another model, or an encoder alone, or does not load.
    """
    remedy = "pass the folder of a Whisper checkpoint"
    folder = find_checkpoint(name, _CONFIGS, remedy=remedy)
    if (kind := read_model_type(folder)) != "whisper":
        raise ValueError(
            f"{name}: model type {kind!r} writes no words; expected a Whisper checkpoint with its "
            "decoder, such as openai/whisper-base"
        )
    _check_files(name, folder)
    model, missing = load_model(WhisperForConditionalGeneration, folder)
    if absent := [key for key in missing if key != "proj_out.weight"]:  # shared with the embedding
        is_encoder = any(key.startswith("model.decoder.") for key in absent)
        why = "is an encoder alone" if is_encoder else f"lacks {len(absent)} weights"
        raise ValueError(
            f"{name}: the checkpoint {why}, first missing is {absent[0]!r}; expected Whisper with "
            "its decoder, such as openai/whisper-base"
        )
    with quiet_loading(), naming_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        num_words = max(tokenizer.get_vocab().values()) + 1
    if num_words > model.config.vocab_size:
        raise ValueError(
            f"{name}: the tokenizer in {folder} has {num_words:,} tokens, the model "
            f"{model.config.vocab_size:,}; put the model's own tokenizer there"
        )
    torch.nn.Module.to(model.eval(), device)
    identity = f"whisper-words format={FORMAT} sha256={fingerprint(folder, _CONFIGS)}"
    return Transcriber(model, tokenizer, name, f"{identity} {library_versions()}")


def _check_files(name: str, folder: Path) -> None:
    """Refuses a folder without a tokenizer, or without what generation needs to know."""
    if not any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json")):
        raise FileNotFoundError(
            f"{name}: {folder} has no tokenizer (tokenizer.json, or vocab.json and merges.txt), "
            "without which tokens are no words; fetch it from the same checkpoint"
        )
    file = folder / _GENERATION
    if not file.is_file():
        raise FileNotFoundError(
            f"{name}: {folder} has no {_GENERATION}, which names languages and tasks; fetch it "
            "from the same checkpoint"
        )
    try:
        given = json.loads(file.read_text("utf-8"))
        is_multilingual = given["is_multilingual"]
        expected = ("no_timestamps_token_id", "decoder_start_token_id", "eos_token_id")
        missing = [key for key in expected if not isinstance(given.get(key), int)]
        missing += [
            key for key in ("lang_to_id", "task_to_id") if is_multilingual and key not in given
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file}: is no configuration of Whisper's generation ({type(error).__name__}: "
            f"{error}); fetch it from the same checkpoint"
        ) from error
    if missing:
        raise ValueError(
            f"{file}: lacks {', '.join(missing)}, so that words cannot be generated; fetch it from "
            "the same checkpoint"
        )
