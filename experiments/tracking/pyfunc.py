"""A saved model as MLflow loads it: "models from code", so that nothing is pickled.

    mlflow.pyfunc.load_model("models:/NAME/1").predict(rows)

Rows and predictions are those of `conversation_emotion.inference.predictor.Predictor.predict`.
"""

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from conversation_emotion.inference.predictor import Predictor
from conversation_emotion.settings.cache import passing_cache


class EmotionModel(PythonModel):
    """Predicts from raw recordings and texts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads weights and encoders, once."""
        self.predictor = Predictor.load(context.artifacts["saved_model"])

    def predict(  # type: ignore[override]  # MLflow's own returns nothing
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Predicts every row, and keeps nothing; there are no parameters."""
        del context, params
        with passing_cache():
            return self.predictor.predict(model_input)


set_model(EmotionModel())
