"""Points of a search space without conditions, from the unit cube and back."""

from collections.abc import Mapping, Sequence
from platform.study.dimensions import Dimension, point_at
from typing import Any

import numpy as np
from numpy.typing import NDArray

Params = dict[str, Any]


def draw(search: Sequence[Dimension], rng: np.random.Generator) -> Params:
    """A random point, uniform in the unit cube."""
    return point_at(search, rng.random(len(search)).tolist())


def cube_of(search: Sequence[Dimension], params: Mapping[str, Any]) -> NDArray[np.float64]:
    """Coordinates [d] in [0, 1]; integers and choices lie in the middle of their shares."""
    return np.array([dimension.unit(params[dimension.name]) for dimension in search])
