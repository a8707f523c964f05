"""What a check has found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis; a problem would end or damage a study, a warning may."""

    subject: str
    state: State
    text: str
