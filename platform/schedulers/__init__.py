"""Which trials train on: schedulers, made by name by ``factory``, and ``early_stopping``, which applies one.

Import from the modules.
"""
