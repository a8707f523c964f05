"""The registered model's code, run by MLflow wherever the model is loaded; it holds no pickle.

Input: all working slices [N, 2, H, W] (T1, T2) of one volume in [-1, 1], inferior to superior, -1 outside the
brain: models that restore use a slice's neighbours. Output: the same at 3 T.
"""

from pathlib import Path
from typing import Any

import mlflow
import torch
from mlflow.pyfunc import PythonModel

from trainers.data import channels
from trainers.export import Translator


class ServedTranslator(PythonModel):  # type: ignore[misc]
    """An exported translator as a pyfunc."""

    def load_context(self, context: Any) -> None:
        """Open the translator among the model's artifacts."""
        self.translator = Translator.open(Path(context.artifacts["translator"]))

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """The slices [N, 2, H, W] of a volume to slices [N, contrasts, H, W]."""
        layout = self.translator.channels
        t1, t2 = torch.as_tensor(model_input, dtype=torch.float32).unbind(1)
        output = self.translator.slices(channels.stack(t1, t2, layout), t1 > -1)
        return torch.stack(list(channels.split(output, layout).values()), 1).numpy()


mlflow.models.set_model(ServedTranslator())
