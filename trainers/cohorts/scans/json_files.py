"""JSON files of users."""

import json
from pathlib import Path
from typing import Any

from trainers.errors import InputError


def read(path: Path, key: str = "") -> Any:
    """Its content; raises InputError, after the setting's ``key``, for a file that is no JSON in UTF-8."""
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = f"{key}{path}: cannot be read ({error.__class__.__name__})"
        raise InputError(f"{reason}; allowed: a JSON object in UTF-8") from None
