"""Step sizes of fine-tuning: smaller for each block below, larger for the heads."""

import re

from torch import nn

from conversation_emotion.training.optimisation import parameter_groups

_BLOCK = re.compile(r"\.(?:layers?|blocks)\.(\d+)\.")


def block_number(name: str) -> int:
    """Tells from the name of a weight in which block it is: 1, 2, ...; 0 before the first.

    What stands behind the last block, such as a final norm, counts as before the first.
    """
    found = _BLOCK.search(f".{name}")
    return int(found.group(1)) + 1 if found else 0


def layered_groups(
    model: nn.Module,
    num_blocks: int,
    *,
    learning_rate: float,
    head_learning_rate: float,
    decay: float,
    weight_decay: float,
) -> list[dict[str, object]]:
    """Divides what is trained into groups with step sizes of their own.

    Args:
        model: Holds the encoder by the name ``encoder`` and its heads beside it.
        num_blocks: Blocks of the encoder (L).
        learning_rate: Of the last block; block b has this times decay^(L - b), and what stands
            before the blocks decay^L.
        head_learning_rate: Of the heads.
        decay: 1 for the same everywhere.
        weight_decay: Of all but biases and norms.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rates: dict[float, nn.ParameterDict] = {}
    for name, parameter in trained:
        is_head = not name.startswith("encoder.")
        depth = num_blocks - min(block_number(name), num_blocks)
        rate = head_learning_rate if is_head else learning_rate * decay**depth
        rates.setdefault(rate, nn.ParameterDict())[name.replace(".", "/")] = parameter
    return [
        {**group, "lr": rate, "peak": rate}
        for rate, parameters in sorted(rates.items(), key=lambda pair: pair[0])
        for group in parameter_groups(parameters, weight_decay)
        if group["params"]
    ]
