"""One training of a comparison or a confirmation, before it has a number."""

from dataclasses import dataclass
from typing import Any

from trainers.config import canonical


@dataclass(frozen=True)
class Training:
    """One training: a system's method and settings, and a seed."""

    system: str
    label: str
    """The system's name in tables."""
    seed: int
    method: str
    config: Any

    @property
    def params(self) -> dict[str, Any]:
        """What the ledger holds of it, by which it is found again."""
        return {"system": self.system, "seed": self.seed, "config": canonical(self.config)}
