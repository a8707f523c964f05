"""What a sampler is: observations in, a proposal out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from platform.study.observation import Observation, Params
from typing import Any, Protocol


@dataclass(frozen=True)
class Proposal:
    """Parameters to try, those of active dimensions only, and what the sampler stores with them."""

    params: Params
    memory: Mapping[str, Any] = field(default_factory=dict)
    """Plain values; an observation of the trial carries them."""


def params_key(params: Params) -> frozenset[tuple[str, Any]]:
    """Parameters in a form that can be hashed; their order does not matter."""
    return frozenset(params.items())


class Sampler(Protocol):
    """A search strategy. The same observations give the same proposal."""

    def propose(self, observed: Sequence[Observation]) -> Proposal | None:
        """Parameters that the space accepts; None: the space has no more."""
