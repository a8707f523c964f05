"""Python's own ``platform`` module, with this folder grafted on as its path."""

import importlib.util
import os
import sys

_spec = importlib.util.spec_from_file_location(
    "platform",
    os.path.join(os.path.dirname(os.__file__), "platform.py"),
    submodule_search_locations=list(__path__),
)
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["platform"] = _module
_spec.loader.exec_module(_module)
