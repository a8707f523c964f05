"""The bound on disk: trained once per cohort, network and budget, found by content hash.

<root>/bounds/<hash16>/{try-64,try-96,try-112,first,second,all}/   weights + manifest

``try-<crop>`` learn, for a share of the steps, on half of the validation subjects; the crop with the least
error on the rest is the bound's. With it ``first`` learns on the same subjects, ``second`` on the rest and
``all`` on both. A validation subject is translated by the network of the half without it, any other one by
``all``: no weight has seen the 3 T of a subject that it translates; the choice among three crops alone has.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainers import weights
from trainers.bounds import training
from trainers.bounds.config import VERSION, BoundConfig
from trainers.config import build, canonical, digest
from trainers.data.arrays import Array
from trainers.data.neighbours import surrounded
from trainers.data.sampling import halves
from trainers.data.store import Cohort, Split
from trainers.places import mounts
from trainers.references.store import progress_file, with_progress

TRY, FIRST, SECOND, ALL = "try-", "first", "second", "all"
NETWORK = "network"
TRIED = 3
"""The crop is chosen by trainings of one in so many steps."""
LEAST = 2
"""Paired validation subjects without which there is no half to learn from."""


def bound_folder(root: Path, cohort: Cohort, config: BoundConfig) -> Path:
    """The folder of the bound that ``config`` gives on ``cohort``."""
    return root / "bounds" / digest(cohort.hash, canonical(config), str(VERSION))[:16]


def has_bound(cohort: Cohort) -> bool:
    """Whether the cohort has enough paired validation subjects."""
    return len(cohort.split("val").subjects("3T")) >= LEAST


def stages(cohort: Cohort, config: BoundConfig, splits: Collection[str]) -> list[list[str]]:
    """The parts that ``splits`` need, those of a stage at the same time: the choice of the crop, the rest."""
    halved, whole = "val" in splits, any(split != "val" for split in splits)
    chosen = [part for part, needed in ((FIRST, halved), (SECOND, halved), (ALL, whole)) if needed]
    return [[f"{TRY}{crop}" for crop in config.crops(cohort.shape)], chosen]


def steps(part: str, cohort: Cohort, config: BoundConfig, folder: Path) -> int:
    """How many optimiser steps a part takes; all but ``try-`` come after these."""
    if part.startswith(TRY):
        return max(1, config.steps_at(crop_of(part, folder), cohort.shape) // TRIED)
    return config.steps_at(crop_of(part, folder), cohort.shape)


def crop_of(part: str, folder: Path) -> int:
    """The crop on which a part is trained."""
    return int(part.removeprefix(TRY)) if part.startswith(TRY) else chosen_crop(folder)


def is_trained(folder: Path, part: str) -> bool:
    """Whether a part is published; raises InputError where it is damaged."""
    if not weights.is_published(folder / part):
        return False
    weights.verify(folder / part)
    return True


def train_part(cohort_path: Path, config: BoundConfig, root: Path, part: str) -> None:
    """Train and publish one part, its step count in its progress file; all but ``try-`` come after these."""
    cohort = Cohort.open(cohort_path)
    folder, split = bound_folder(root, cohort, config), cohort.split("val")
    first, second = (rows.numpy() for rows in halves(_rows(split)))
    learnt = {SECOND: second, ALL: np.concatenate((first, second))}.get(part, first)
    crop, count = crop_of(part, folder), steps(part, cohort, config, folder)
    run = partial(training.train, config, split, learnt, crop, count)
    network = with_progress(progress_file(folder, part), run)
    facts = {"config": asdict(config), "crop": crop, "steps": count, "trained_on": _ids(split, learnt)}
    if part.startswith(TRY):
        facts["error"] = training.squared_error(network, config, split, second)
    weights.publish(folder / part, {NETWORK: network.state_dict()}, facts, "bound")


def chosen_crop(folder: Path) -> int:
    """The crop with the least error on the half that the trainings for it have not seen."""
    tried = [weights.read_manifest(part) for part in mounts.below(folder, TRY)]
    return int(min(tried, key=lambda facts: (facts["error"], facts["crop"]))["crop"])


def translated(folder: Path, split: str, source: Tensor, subjects: Sequence[tuple[int, int]]) -> Tensor:
    """Raw outputs [N, 3, H, W] of whole slices, each by a network that has not learnt from its subject.

    ``subjects``: rows (start, stop) of each. Raises InputError for a missing or damaged part.
    """
    given = surrounded(source, subjects)
    if split != "val":
        return training.translate(read_network(folder, ALL), given)
    output = torch.empty_like(source)
    for part, rows in zip((SECOND, FIRST), halves(subjects), strict=True):  # of the other half each
        output[rows] = training.translate(read_network(folder, part), given[rows])
    return output


def read_network(folder: Path, part: str) -> nn.Module:
    """A trained part, verified; raises InputError where it is missing or damaged."""
    tensors = weights.read_tensors(folder / part, NETWORK)
    network = training.build_network(build(BoundConfig, weights.read_manifest(folder / part)["config"]))
    network.load_state_dict(tensors)
    return network.requires_grad_(False).eval()


def describe(folder: Path) -> str:
    """The bound in words, for reports."""
    facts = weights.read_manifest(
        next(folder / part for part in (FIRST, ALL) if weights.is_published(folder / part))
    )
    config = build(BoundConfig, facts["config"])
    return (
        f"width {config.width}, {config.blocks} blocks, closed-form start and L1 on others' pairs, "
        f"{facts['steps']} steps of crop {facts['crop']}, learning rate {config.lr:g}: "
        f"{config.share:g} of a trial's operations"
    )


def _rows(split: Split) -> list[tuple[int, int]]:
    return [(subject.start, subject.stop) for subject in split.subjects("64mT")]


def _ids(split: Split, rows: Array) -> list[str]:
    return [s.id for s in split.subjects("64mT") if s.start in rows]
