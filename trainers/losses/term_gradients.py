"""How strongly each term of a generator's loss pulls at its output: norms of gradients, and their shares."""

from collections.abc import Mapping

import torch
from torch import Tensor

MEASURE_EVERY = 10
"""Steps between measurements, which cost a pass back from the losses to the output."""


def due(step: int) -> bool:
    """Whether a step measures: the last of every :data:`MEASURE_EVERY`."""
    return (step + 1) % MEASURE_EVERY == 0


def gradient_norms(
    terms: Mapping[str, Tensor], outputs: Mapping[str, Tensor], rows: int | None = None
) -> dict[str, Tensor]:
    """L2 norm of each term's gradient at its output [B, C, H, W] (the first ``rows`` images), float32.

    0 for a term that does not depend on it. The graph is kept, no parameter's gradient is computed.
    """
    norms = {}
    for name, term in terms.items():
        output = outputs[name]
        found = torch.autograd.grad(term, output, retain_graph=True, allow_unused=True)[0]
        norms[name] = output.new_zeros(()).float() if found is None else found[:rows].float().norm()
    return norms


def measured(
    step: int, losses: Mapping[str, Tensor], outputs: Mapping[str, Tensor], weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """At a step that measures, what is :func:`logged` of weighted ``losses`` at their ``outputs``.

    Of those alone that have one; ``weights``: of some losses, those of weight 0 are left out.
    """
    if not due(step):
        return {}
    terms = {name: losses[name] for name in outputs if weights.get(name, 1.0)}
    return logged(gradient_norms(terms, outputs), dict.fromkeys(terms, 1.0))


def shares(norms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each norm over the sum of all; 0 where all are."""
    total = torch.stack([*norms.values()]).sum().clamp_min(1e-30)
    return {name: norm / total for name, norm in norms.items()}


def logged(norms: Mapping[str, Tensor], weights: Mapping[str, float | Tensor]) -> dict[str, Tensor]:
    """``norm_`` and ``share_`` of each term by its unweighted ``norms``; none at the number 0."""
    weighted = {
        name: (norm * weights[name]).abs()
        for name, norm in norms.items()
        if isinstance(weights[name], Tensor) or weights[name]
    }
    parts = shares(weighted) if weighted else {}
    return {f"norm_{n}": v for n, v in weighted.items()} | {f"share_{n}": v for n, v in parts.items()}
