"""import-linter on our packages, whose contracts are in pyproject.toml.

It looks packages up by their specification, and that of ``platform`` is Python's own module's: ours takes its
place first.
"""

import importlib.util
import platform
import sys

from importlinter.cli import lint_imports_command

if __name__ == "__main__":
    platform.__spec__ = importlib.util.spec_from_file_location(
        "platform", "platform/__init__.py", submodule_search_locations=["platform"]
    )
    sys.exit(lint_imports_command())
