"""CPC as a speech encoder: clips and recordings in, contexts out."""

import hashlib
import json
from typing import cast

import torch
from torch import Tensor, nn

from speech_encoders.checkpoint import find_checkpoint, library_versions, quiet_loading
from speech_encoders.cpc.modeling import HOP, RECEPTIVE_FIELD, CpcModel
from speech_encoders.waveforms import SAMPLE_RATE, check_waveforms, real_positions

FORMAT = 1
"""Number in the identity; grows when the same weights give other features."""

PREFIX = "cpc:"
"""Before a hub id; a local folder needs none."""


class CpcEncoder:
    """The contexts of the GRU as the one layer, at 100 Hz; the latents stay inside.

    An instance is a `speech_encoders.SpeechEncoder`.

    Args:
        model: The model in evaluation mode.
    """

    frame_rate = SAMPLE_RATE / HOP
    min_samples = RECEPTIVE_FIELD
    num_layers = 1

    def __init__(self, model: CpcModel) -> None:
        self.model = model
        self.hidden_size: int = model.config.hidden_size
        self.identity = f"cpc format={FORMAT} sha256={_digest(model)} {library_versions()}"

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes a batch: (B, S), (B,) -> (B, 1, T, D), (B,); see `SpeechEncoder`."""
        check_waveforms(waveforms, lengths, self.min_samples)
        device = self.model.device
        waveforms, lengths = waveforms[:, : int(lengths.max())].to(device), lengths.to(device)
        output = self.model(waveforms, real_positions(lengths, waveforms.size(1)))
        states = output.last_hidden_state.masked_fill(~output.frame_mask[..., None], 0.0)
        return states[:, None], output.frame_mask.sum(dim=1)


def load_cpc(name: str, device: str) -> CpcEncoder:
    """Loads CPC in float32 from a folder or hub id, with or without ``cpc:`` before it.

    Raises:
        FileNotFoundError: The weights are neither here nor to be had from the hub.
        ValueError: The weights are incomplete or of another model.
    """
    model = read_encoder(name.removeprefix(PREFIX))
    nn.Module.to(model.eval(), device)
    return CpcEncoder(model)


def read_encoder(name: str) -> CpcModel:
    """Reads the encoder of a folder or hub id in float32, its predictors left behind.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It lacks weights, or is of another model.
    """
    folder = find_checkpoint(name)
    model_type = json.loads((folder / "config.json").read_text()).get("model_type")
    if model_type != "cpc":
        raise ValueError(f"{name}: model type {model_type!r} is not cpc; leave out the prefix")
    with quiet_loading():
        loaded = CpcModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    model, report = cast("tuple[CpcModel, dict[str, set[str]]]", loaded)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(
            f"{name}: the checkpoint lacks {len(missing)} weights, first {missing[0]!r}; without "
            "them the features would be random"
        )
    return model


def _digest(model: CpcModel) -> str:
    """Digests all that contexts depend on."""
    digest = hashlib.sha256(f"{model.config.input_gain}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
