"""Gaussian processes that predict what a training will reach; import from the modules."""
