"""Warm starts of pre-training: weights of data2vec, data2vec 2.0 or emotion2vec itself.

data2vec (Baevski et al., 2022) is emotion2vec without extra tokens, ALiBi and decoder: those keep
their initial weights, and with ALiBi's scale at zero both models compute the same. Checkpoints of
data2vec 2.0 have emotion2vec's layout with another number of extra tokens, which are then also
initial.
"""

from pathlib import Path

import torch
from torch import Tensor
from transformers import Data2VecAudioConfig, Data2VecAudioModel, PreTrainedModel

from speech_encoders import read_model_type
from speech_encoders.checkpoint import find_checkpoint, load_model
from speech_encoders.emotion2vec.front_end import KERNELS
from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.released import read_released

_MAY_BE_INITIAL = ("emotion2vec.extra_tokens", "emotion2vec.alibi_scale", "decoder.")


def start_from(student: Emotion2vecForPreTraining, name: str) -> list[str]:
    """Fills a student with the weights of a checkpoint.

    Args:
        student: Model of the checkpoint's size.
        name: A released ``.pt`` file; or a folder or hub id of a data2vec-audio model or of one of
            this package's own.

    Returns:
        Weights that stay initial: the decoder, the extra tokens and ALiBi's scale, where the
        checkpoint has none that fit.

    Raises:
        FileNotFoundError: The checkpoint is neither local nor available from the hub.
        ValueError: It is of another model family or size.
    """
    path = Path(name).expanduser()
    weights = _prefix(read_released(path).model) if path.suffix == ".pt" else _read_folder(name)
    own = student.state_dict()
    fitting = {key: tensor for key, tensor in weights.items() if _fits(own, key, tensor, name)}
    initial = sorted(own.keys() - fitting.keys())
    if lost := [key for key in initial if not key.startswith(_MAY_BE_INITIAL)]:
        raise ValueError(
            f"{name}: lacks {len(lost)} weights of such a model, first {lost[0]!r}; "
            "pass a checkpoint of the same --size"
        )
    student.load_state_dict(fitting, strict=False)
    return initial


def _fits(own: dict[str, Tensor], key: str, tensor: Tensor, name: str) -> bool:
    if key not in own:
        return False
    if own[key].shape != tensor.shape and not key.startswith(_MAY_BE_INITIAL):
        raise ValueError(
            f"{name}: weight {key!r} has shape {tuple(tensor.shape)}, the model's has "
            f"{tuple(own[key].shape)}; pass a checkpoint of the same --size"
        )
    return own[key].shape == tensor.shape


def _prefix(model: PreTrainedModel) -> dict[str, Tensor]:
    """Returns the weights with the names of a model that contains the encoder."""
    state = model.state_dict()
    return (
        state
        if model.base_model is not model
        else {f"emotion2vec.{n}": t for n, t in state.items()}
    )


def _read_folder(name: str) -> dict[str, Tensor]:
    folder = find_checkpoint(name)
    family = read_model_type(folder)
    readers: dict[str, type[PreTrainedModel]] = {
        "emotion2vec": Emotion2vecForPreTraining,
        "data2vec-audio": Data2VecAudioModel,
    }
    if family is None or family not in readers:
        raise ValueError(
            f"{name}: is a {family} model, expected one of {', '.join(readers)}; "
            "other families have another shape"
        )
    model, absent = load_model(readers[family], folder)
    state = {key: tensor for key, tensor in model.state_dict().items() if key not in absent}
    if family == "emotion2vec":
        return state
    assert isinstance(model, Data2VecAudioModel)
    return _translate_data2vec(state, model.config)


def _translate_data2vec(state: dict[str, Tensor], config: Data2VecAudioConfig) -> dict[str, Tensor]:
    """Returns the weights of a `Data2VecAudioModel` with this package's names and layout."""
    base = "emotion2vec"
    names = {
        "feature_projection.layer_norm": f"{base}.front_end.projection_norm",
        "feature_projection.projection": f"{base}.front_end.projection",
        "encoder.layer_norm": f"{base}.encoder.norm",
    }
    translated: dict[str, Tensor] = {}
    for layer in range(1 + len(KERNELS)):
        old, new = f"feature_extractor.conv_layers.{layer}", f"{base}.front_end"
        kernel = state[f"{old}.conv.weight"]  # (C', C, kernel) -> (C', kernel * C)
        translated[f"{new}.convolutions.{layer}.weight"] = kernel.transpose(1, 2).flatten(1)
        names[f"{old}.layer_norm"] = f"{new}.norms.{layer}"
    for layer in range(config.num_conv_pos_embeddings):
        names[f"encoder.pos_conv_embed.layers.{layer}.conv"] = (
            f"{base}.positional.convolutions.{layer}"
        )
    for number in range(config.num_hidden_layers):
        old, new = f"encoder.layers.{number}", f"{base}.encoder.blocks.{number}"
        names |= {
            f"{old}.attention.out_proj": f"{new}.attention.output",
            f"{old}.layer_norm": f"{new}.attention_norm",
            f"{old}.feed_forward.intermediate_dense": f"{new}.up",
            f"{old}.feed_forward.output_dense": f"{new}.down",
            f"{old}.final_layer_norm": f"{new}.output_norm",
        }
        for part in ("weight", "bias"):
            heads = [state[f"{old}.attention.{kind}_proj.{part}"] for kind in "qkv"]
            translated[f"{new}.attention.query_key_value.{part}"] = torch.cat(heads)
    for old, new in names.items():
        translated |= {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias")}
    return translated
