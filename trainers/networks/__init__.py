"""Network architectures, without losses or training."""
