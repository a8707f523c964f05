"""MLflow: records of a study that outlive its failures. Only this package and models import MLflow."""
