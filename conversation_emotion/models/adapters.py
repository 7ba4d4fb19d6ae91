"""Low-rank adapters (LoRA; Hu et al., 2022) around the linear maps of an encoder's blocks."""

import copy
from typing import cast

from torch import nn

from conversation_emotion.models.averaging import Weights
from conversation_emotion.models.fine_tuned import EncoderModel, Encoding


def add_adapters(model: EncoderModel, rank: int) -> None:
    """Adds adapters to the encoder, in place, and freezes everything else of it but the heads.

    The rank is that of the trained changes.

    Raises:
        ModuleNotFoundError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--lora-rank needs peft; pip install 'conversation-emotion[lora]'"
        ) from error
    names = "|".join(cast(Encoding, model.encoder).adapted)
    targets = rf"(?:.*\.)?(?:layers?|blocks)\.\d+\.(?:.*\.)?(?:{names})"
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
    inject_adapter_in_model(config, model.encoder)
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_("lora_" in name)


def merge_adapters(model: nn.Module) -> Weights:
    """Returns the weights of a model without adapters that computes the same.

    Adapters are merged before checkpoints are averaged: the mean of products is not the product of
    means.
    """
    from peft.tuners.lora import LoraLayer

    merged = copy.deepcopy(model)
    layers = [(name, m) for name, m in merged.named_modules() if isinstance(m, LoraLayer)]
    for name, layer in layers:
        layer.merge()  # type: ignore[operator]
        parent, _, own = name.rpartition(".")
        setattr(merged.get_submodule(parent), own, layer.get_base_layer())
    return merged.state_dict()
