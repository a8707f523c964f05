"""The model registry, the model that MLflow serves, and a registered model's card."""
