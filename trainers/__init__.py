"""The worker's side: cohorts, networks, losses, methods, metrics and one training trial.

Imports nothing of ``platform`` (the law); only :mod:`trainers.trial` knows of Ray.
"""

VERSION = "0.1.0"
"""Part of every trial key and content hash: raise it when numbers change."""
