"""Outputs that no trial gives, scored beside the candidates in every table: what a gain has to exceed.

``input``: the untouched 64 mT. ``matched``: each contrast's histogram made that of the 3 T pool, without
pairs. ``restored``: the closed form from which trials with restoration start, without pairs too. Two are
learnt from the pairs of *other* subjects, and therefore no candidates but bounds: ``lookup``, the mean 3 T
intensities of each (T1, T2), is what intensities alone allow; ``supervised``, the trials' network
(:mod:`trainers.bounds`), is what this network allows.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainers.bounds import store as bounds
from trainers.data import channels, sampling
from trainers.data.neighbours import surrounded
from trainers.data.sampling import whole_slices
from trainers.metrics.aggregate import balanced_rows
from trainers.metrics.intensity_maps import HistogramMatch, Images, JointLookup
from trainers.metrics.judge import Judge, clamp_and_mask, in_parts
from trainers.metrics.names import BASELINES

_POOLED = 8  # slices of a training subject: enough for a histogram


def scores(judge: Judge, bound: Path | None = None) -> dict[str, dict[str, float]]:
    """The scores of each baseline, by its name; as :attr:`Judge.baselines` has them for the input."""
    found = {name: output(name, judge, bound) for name in BASELINES if name != "input"}
    return judge.baselines | {name: judge.score(each) for name, each in found.items() if each is not None}


def output(name: str, judge: Judge, bound: Path | None = None) -> Tensor | None:
    """A baseline's output [N, 3, H, W] in [-1, 1] of all rows of the judge's split.

    What is learnt from pairs is, for ``val``, learnt from the other half of its subjects, for any other split
    from ``val``; None without pairs to learn from. ``bound``: the folder of the supervised bound, if there is
    one; raises InputError where it is damaged.
    """
    if name == "input":
        return judge.source
    if name == "matched":
        return _joined(judge, _matched(judge))
    if name == "restored":
        return _restored(judge)
    if name == "supervised":
        return None if bound is None else _supervised(judge, bound)
    halves = sampling.halves(judge.subjects)
    if not judge.paired or (judge.split == "val" and not all(map(len, halves))):
        return None
    if judge.split == "val":
        return _joined(judge, _applied(judge, [_lookup(judge, rows) for rows in halves[::-1]], halves))
    others = Judge.of(judge.cohort, judge.references, "val", judge.version)
    if not others.paired:
        return None
    learnt = _lookup(others, torch.arange(len(others.truth)))
    return _joined(judge, _applied(judge, [learnt], [torch.arange(len(judge.source))]))


def _restored(judge: Judge) -> Tensor | None:
    """None where no trial restores: the degradation is not estimated then."""
    restorer = judge.references.restorers.get(True)
    if restorer is None:
        return None
    return clamp_and_mask(in_parts(restorer, surrounded(judge.source, judge.subjects)), judge.mask)


def _supervised(judge: Judge, bound: Path) -> Tensor:
    raw = bounds.translated(bound, judge.split, judge.source, judge.subjects)
    return channels.delivered(clamp_and_mask(raw, judge.mask), judge.references.config.channels)


def _matched(judge: Judge) -> Images:
    train, layout = judge.cohort.split("train"), judge.references.config.channels

    def pool(field: str) -> tuple[Images, Tensor]:
        subjects = [(s.start, s.stop) for s in train.subjects(field)]
        fewest = min(stop - start for start, stop in subjects)
        rows = balanced_rows(subjects, min(_POOLED, fewest)).numpy()
        mask = torch.from_numpy(np.asarray(train.mask(field)[rows]) > 0)
        return judge.unit(whole_slices(train, field, layout, rows)), mask

    return HistogramMatch.of(*pool("64mT"), *pool("3T")).apply(judge.unit(judge.source), judge.mask)


def _lookup(judge: Judge, rows: Tensor) -> JointLookup:
    source, truth = judge.unit(judge.source[rows]), judge.unit(judge.truth[rows])
    return JointLookup.of(source, truth, judge.region[rows])


def _applied(judge: Judge, lookups: Sequence[JointLookup], parts: Sequence[Tensor]) -> Images:
    """Each lookup applied to its part of the rows."""
    found = {c: torch.zeros_like(x) for c, x in judge.unit(judge.source).items()}
    for lookup, rows in zip(lookups, parts, strict=True):
        for contrast, image in lookup.apply(judge.unit(judge.source[rows]), judge.mask[rows]).items():
            found[contrast][rows] = image
    return found


def _joined(judge: Judge, images: Images) -> Tensor:
    """Contrasts in [0, 1] as an output in [-1, 1]."""
    return channels.restack({c: 2 * x - 1 for c, x in images.items()}, judge.references.config.channels)
