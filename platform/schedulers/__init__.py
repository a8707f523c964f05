"""Which trials train on: successive halving (``asha``) and its use on a study's trials (``early_stopping``).

Import from the modules.
"""
