"""What to try next: one module per family of samplers, ``factory`` makes one by name, ``suggester`` drives it.

Import from the modules; only ``factory`` and ``optuna_samplers`` load Optuna.
"""
