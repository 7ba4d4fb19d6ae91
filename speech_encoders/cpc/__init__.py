"""Contrastive predictive coding for emotion (Li et al., 2021), in plain PyTorch.

Importing this package registers the model with the library's ``AutoConfig``, ``AutoModel`` and
their kin. A folder's feature extractor is the library's own of wav2vec 2.0, without normalisation.
"""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForPreTraining,
    Wav2Vec2FeatureExtractor,
)

from speech_encoders.cpc.encoder import CpcEncoder
from speech_encoders.cpc.modeling import CpcConfig, CpcModel, CpcOutput, frame_times
from speech_encoders.cpc.pretraining import (
    Contrast,
    ContrastivePrediction,
    CpcForPreTraining,
    contrast,
    draw_negatives,
)

__all__ = [
    "Contrast", "ContrastivePrediction", "CpcConfig", "CpcEncoder", "CpcForPreTraining",
    "CpcModel", "CpcOutput", "contrast", "draw_negatives", "frame_times",
]  # fmt: skip

AutoConfig.register(CpcConfig.model_type, CpcConfig, exist_ok=True)
AutoFeatureExtractor.register(CpcConfig, Wav2Vec2FeatureExtractor, exist_ok=True)
AutoModel.register(CpcConfig, CpcModel, exist_ok=True)
AutoModelForPreTraining.register(CpcConfig, CpcForPreTraining, exist_ok=True)
