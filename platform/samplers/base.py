"""What a sampler is: observations in, a proposal out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from platform.study.observation import Observation, Params
from typing import Any, Protocol


@dataclass(frozen=True)
class Proposal:
    """A point to try: the active parameters, and what the sampler wants to read again later."""

    params: Params
    memory: Mapping[str, Any] = field(default_factory=dict)
    """Plain values; an observation of the trial carries them."""


class Sampler(Protocol):
    """A way of searching. The same observations give the same proposal."""

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """A point that the space accepts; None: the space has no more."""
