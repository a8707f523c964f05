"""Differences between trainings of equal seeds, with intervals over seeds and subjects."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from platform.stats.confidence import SeedGroup, intervals
from platform.stats.scores import Score
from typing import Any

import numpy as np

from tests.bench.evidence.plan import CELLS, ENDS, FACTORS, FULL, RESTORED
from tests.bench.evidence.results import Scores, Trained

METRICS = {
    "patch_fd": "minimize",
    "ms_ssim": "maximize",
    "psnr": "maximize",
    "dice": "maximize",
    "edges_unsupported_by_3t": "minimize",
    "edges_missed": "minimize",
    "lesion_contrast": "minimize",
    "fid": "minimize",
}
"""What the tables show, with the direction in which it is better."""
Of = Callable[[Trained], Scores]
Pair = tuple[Scores, Scores]
"""Of one seed: without and with what is asked about."""


@dataclass(frozen=True)
class Effect:
    """A mean difference and its 95 % interval, by metric."""

    name: str
    values: Mapping[str, tuple[float, float, float]]

    def verdict(self, metric: str) -> str:
        """``better``, ``worse`` or ``tie``: whether the interval excludes zero, and on which side."""
        _, low, high = self.values[metric]
        if not (low > 0 or high < 0):
            return "tie"
        return "better" if (low > 0) == (METRICS[metric] == "maximize") else "worse"


def chosen(split: str) -> Of:
    """The scores on a split at the step count that validation has chosen."""
    return lambda trained: getattr(trained, split)[trained.chosen]


def effects(pairs: Mapping[str, Sequence[Sequence[Pair]]]) -> list[Effect]:
    """Of each name's pairs, context by context within a seed: the mean over contexts, then over seeds."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {name: {} for name in pairs}
    for metric in METRICS:
        kept = {name: seeds for name, seeds in pairs.items() if seeds and metric in seeds[0][0][0]}
        for name, seeds in kept.items():
            subjects = min(pair[0][metric].subjects for seed in seeds for pair in seed)
            # One at a time: seeds of trials with and without restoration do not deviate alike.
            mean, low, high = (float(x[0, 0]) for x in intervals([_group(seeds, metric)], [subjects]))
            found[name][metric] = mean, low, high
    return [Effect(name, values) for name, values in found.items()]


def _group(seeds: Sequence[Sequence[Pair]], metric: str) -> SeedGroup:
    def mean(of: Callable[[Score], Any]) -> list[Any]:
        return [
            np.mean([np.subtract(of(b[metric]), of(a[metric])) for a, b in contexts], 0) for contexts in seeds
        ]

    estimates = np.array(mean(lambda score: score.estimate), float)
    draws = np.array(mean(lambda score: np.asarray(score.draws)), float)
    return SeedGroup(estimates[:, None, None], draws[:, :, None, None])


def ablation(all_trained: Iterable[Trained], of: Of) -> dict[str, list[list[Pair]]]:
    """What each factor changes: restoration in all contexts, the others without and with it."""
    by = {(each.system, each.seed): each for each in all_trained}
    seeds = sorted({seed for _, seed in by})
    names: Mapping[tuple[bool, ...], str] = {cell: system for system, cell in CELLS.items()}
    found: dict[str, list[list[Pair]]] = {}
    for i, factor in enumerate(FACTORS):
        for label, contexts in _contexts(i).items():
            rows = []
            for seed in seeds:
                pairs = [_switched(by, names, context, i, seed, of) for context in contexts]
                rows.append([pair for pair in pairs if pair])
            found[factor + label] = [row for row in rows if len(row) == max(map(len, rows)) > 0]
    return found


def _contexts(factor: int) -> dict[str, list[tuple[bool, ...]]]:
    cells = [cell for cell in CELLS.values() if not cell[factor]]
    if factor == 0:
        return {"": list(cells)}
    return {
        ", without restoration": [cell for cell in cells if not cell[0]],
        ", with restoration": [cell for cell in cells if cell[0]],
    }


def _switched(
    by: Mapping[tuple[str, int], Trained],
    names: Mapping[tuple[bool, ...], str],
    context: tuple[bool, ...],
    factor: int,
    seed: int,
    of: Of,
) -> Pair | None:
    """The scores without and with a factor; None where either was not trained."""
    switched = (*context[:factor], True, *context[factor + 1 :])
    both = [by.get((names[cell], seed)) for cell in (context, switched)]
    if None in both:
        return None
    without, with_it = (of(each) for each in both if each)
    return without, with_it


def steps(all_trained: Sequence[Trained], split: str) -> dict[str, list[list[Pair]]]:
    """What k steps change against one, of the full method without and with restoration."""
    found: dict[str, list[list[Pair]]] = {}
    for end, label in (("", "published"), (RESTORED, "with restoration")):
        own = [getattr(each, split) for each in all_trained if each.system == FULL + end]
        counts = sorted(set.intersection(*map(set, own))) if own else []
        found |= {f"{label}, k = {k}": [[(each[1], each[k])] for each in own] for k in counts if k > 1}
    return found


def fields(all_trained: Iterable[Trained], names: Iterable[str], of: Of) -> dict[str, list[list[Pair]]]:
    """What each searched field changes from the low end of its range to the high one."""
    by = {(each.system, each.seed): each for each in all_trained}
    seeds = sorted({seed for _, seed in by})
    found: dict[str, list[list[Pair]]] = {}
    for name in names:
        both = [[by.get((f"{name}_{end}", seed)) for end in ENDS] for seed in seeds]
        found[name] = [[(of(low), of(high))] for low, high in both if low and high]
    return found


def against(
    all_trained: Iterable[Trained], baseline: Scores, split: str, names: Iterable[str]
) -> dict[str, list[list[Pair]]]:
    """What each system changes against a baseline's scores on the same split."""
    of = chosen(split)
    own = {name: [each for each in all_trained if each.system == name] for name in names}
    return {name: [[(baseline, of(each))] for each in found] for name, found in own.items()}
