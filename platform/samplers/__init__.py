"""What to try next: ``factory`` makes a sampler by name, ``suggester`` drives it for a study.

Import from the modules; only ``factory`` and ``optuna_samplers`` load Optuna.
"""
