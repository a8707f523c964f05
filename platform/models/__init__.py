"""The model registry, the model that MLflow serves, and the translation of scans by a model."""
