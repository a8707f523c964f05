"""Bare ``pytest`` binds Python's own ``platform`` before the root is on its path: ours takes its place."""

import importlib
import sys

if not hasattr(sys.modules["platform"], "__path__"):
    del sys.modules["platform"]
    importlib.import_module("platform")
