"""emotion2vec (Ma et al., 2024), a self-supervised encoder of emotion in speech, in plain PyTorch.

Importing this package registers the model with the library's ``AutoConfig``, ``AutoModel``,
``AutoFeatureExtractor`` and their kin. Released files become folders for ``from_pretrained`` with::

    python -m speech_encoders.emotion2vec.convert emotion2vec_base.pt --output emotion2vec_base

`iterate_windows` reads recordings of any length; `frame_times` returns the time of each frame, and
``frame_times(first_frame + num_frames)[first_frame:]`` those of a window.
"""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
)

from speech_encoders.emotion2vec.classification import Emotion2vecForSequenceClassification
from speech_encoders.emotion2vec.configuration import Emotion2vecConfig
from speech_encoders.emotion2vec.encoder import Emotion2vecEncoder
from speech_encoders.emotion2vec.feature_extraction import Emotion2vecFeatureExtractor
from speech_encoders.emotion2vec.front_end import frame_times
from speech_encoders.emotion2vec.modeling import Emotion2vecModel, Emotion2vecOutput
from speech_encoders.emotion2vec.pretraining import Emotion2vecForPreTraining
from speech_encoders.emotion2vec.windows import iterate_windows, normalize

__all__ = [
    "Emotion2vecConfig", "Emotion2vecEncoder", "Emotion2vecFeatureExtractor",
    "Emotion2vecForPreTraining", "Emotion2vecForSequenceClassification", "Emotion2vecModel",
    "Emotion2vecOutput", "frame_times", "iterate_windows", "normalize",
]  # fmt: skip

AutoConfig.register(Emotion2vecConfig.model_type, Emotion2vecConfig, exist_ok=True)
AutoFeatureExtractor.register(Emotion2vecConfig, Emotion2vecFeatureExtractor, exist_ok=True)
AutoModel.register(Emotion2vecConfig, Emotion2vecModel, exist_ok=True)
AutoModelForPreTraining.register(Emotion2vecConfig, Emotion2vecForPreTraining, exist_ok=True)
for _auto in (AutoModelForAudioClassification, AutoModelForSequenceClassification):
    _auto.register(Emotion2vecConfig, Emotion2vecForSequenceClassification, exist_ok=True)
