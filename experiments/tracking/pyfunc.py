"""A saved model as MLflow loads it: "models from code", so that nothing is pickled.

    mlflow.pyfunc.load_model("models:/NAME/1").predict(rows)

The rows and the answer are those of `conversation_emotion.inference.predictor.Judge.judge`.
"""

from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from conversation_emotion.inference.predictor import Judge
from conversation_emotion.inference.saved_model import load_model


class EmotionModel(PythonModel):
    """Judges raw recordings and texts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads weights and encoders, once."""
        self.judge = Judge(load_model(Path(context.artifacts["saved_model"])))

    def predict(  # type: ignore[override]  # MLflow's own answers nothing
        self, context: PythonModelContext, model_input: pd.DataFrame, params: object = None
    ) -> pd.DataFrame:
        """Judges every row; there are no parameters."""
        del context, params
        return self.judge.judge(model_input)


set_model(EmotionModel())
