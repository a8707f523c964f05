"""What messages and listings say of names and values that users gave, which may be long or unprintable."""

from collections.abc import Sequence
from pathlib import PurePath

SHOWN = 5
"""Names in a message."""
LENGTH = 40
"""Characters of a value in a message."""


def some(names: Sequence[str], joint: str = ", ") -> str:
    """The first names, and how many more there are."""
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return joint.join([*names[:SHOWN], *more])


def short(value: object) -> str:
    """The value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}..."


def shown(path: PurePath | str) -> str:
    """A path as text of one line in UTF-8: other characters, and bytes that are no text, are escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]
