"""The sensitivity card of a cohort: whether each distance that trials report can see anatomy.

<storage>/cards/<cohort16>-<layout>-<split>-<version of the measures>-<digest>.json      needs no references
<storage>/cards/<cohort16>-<references16>-<split>-<version of the measures>-<digest>.json

The digest is of the corruptions and their wanted order, so that a card of others is never read.
<storage>/cards/<cohort16>.lock is locked while they are computed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainers.config import digest
from trainers.data import channels
from trainers.data.channels import Layout
from trainers.data.sampling import whole_slices
from trainers.data.store import Cohort
from trainers.errors import InputError
from trainers.files import one_at_a_time, write_text
from trainers.metrics.corruptions import BIAS, BLOCK, CORRUPTIONS, CORTEX, SEAM, WARP, WARP_SIGMA, Pairs
from trainers.metrics.judge import Judge, encode
from trainers.metrics.names import VERSION
from trainers.metrics.patch_distance import BLOCKS, PatchPool
from trainers.metrics.realism import patch_pool, some_rows
from trainers.metrics.resampling import Comparison, Jackknifed, repeated
from trainers.metrics.sensitivity import NOT_BEYOND, ORDER, SensitivityCard, cards
from trainers.metrics.spatial_frechet import SpatialPool

LEAST = 2
"""Paired subjects without which no interval is known."""

Compare = Callable[[Tensor, Tensor, Sequence[tuple[int, int]]], list[Comparison]]
"""Of images [N, C, H, W] in [0, 1] in masks [N, H, W], rows (start, stop) of subjects: some distances."""


def read_or_compute(
    root: Path, judge: Judge, waiting: Callable[[], None] = lambda: None
) -> dict[str, SensitivityCard]:
    """The card of each distance on a judge's split, by its name; computed once and kept below ``root``.

    Empty for a split with fewer than :data:`LEAST` paired subjects. ``waiting`` is called before another
    process that computes them is waited for.
    """
    cohort, layout = judge.cohort, judge.references.config.channels
    kinds = {
        judge.references.hash[:16]: lambda: _of_encoder(judge),
        layout: lambda: _of_patches(cohort, layout),
    }
    return _read_or_compute(root, cohort, judge.split, layout, kinds, waiting)


def read_or_compute_patches(
    root: Path,
    cohort: Cohort,
    layout: Layout,
    split: str = "val",
    waiting: Callable[[], None] = lambda: None,
) -> dict[str, SensitivityCard]:
    """As :func:`read_or_compute`, of the distances that need no references: ``patch_fd`` and its parts.

    Empty where the cohort is too small for them too.
    """
    kinds: dict[str, Callable[[], Compare]] = {layout: lambda: _of_patches(cohort, layout)}
    return _read_or_compute(root, cohort, split, layout, kinds, waiting)


def refusal(cohort: Cohort, layout: Layout, split: str = "val") -> InputError | None:
    """Why there is no card of ``patch_fd``."""
    count = len(cohort.split(split).subjects("3T"))
    if count < LEAST:
        return InputError(
            f"patch_fd: {count} paired subjects of {split} are not allowed; allowed: {LEAST} or more"
        )
    pool = patch_pool(cohort, layout)
    return pool if isinstance(pool, InputError) else None


def _read_or_compute(
    root: Path,
    cohort: Cohort,
    split: str,
    layout: Layout,
    kinds: Mapping[str, Callable[[], Compare]],
    waiting: Callable[[], None],
) -> dict[str, SensitivityCard]:
    """``kinds``: how each file's distances are compared, made if it is missing, by a part of its name."""
    if len(cohort.split(split).subjects("3T")) < LEAST:
        return {}
    sizes = BLOCK, SEAM, WARP, WARP_SIGMA, CORTEX, BIAS
    definition = digest(*map(str, (*CORRUPTIONS, sizes, ORDER, NOT_BEYOND, dict(BLOCKS))))[:12]
    names = {kind: f"{cohort.hash[:16]}-{kind}-{split}-{VERSION}-{definition}.json" for kind in kinds}
    paths = {kind: root / "cards" / name for kind, name in names.items()}
    if not all(path.exists() for path in paths.values()):
        with one_at_a_time(root / "cards" / f"{cohort.hash[:16]}.lock", waiting):
            missing = {path: kinds[kind]() for kind, path in paths.items() if not path.exists()}
            if missing:
                compute(missing, paired_slices(cohort, split, layout))
    return {name: card for path in paths.values() for name, card in _read(path).items()}


def compute(files: Mapping[Path, Compare], pairs: Pairs) -> None:
    """Write the cards of each file's distances; every corruption is made once for all of them."""
    written_to: dict[str, Path] = {}

    def distances(images: Tensor, mask: Tensor) -> Mapping[str, Jackknifed]:
        found: dict[str, Jackknifed] = {}
        for path, compare in files.items():
            for comparison in compare(images, mask, pairs.subjects):
                values = comparison.jackknifed()
                written_to.update(dict.fromkeys(values, path))
                found |= values
        return found

    made = cards(pairs, distances)
    for path in files:
        own = {name: card.to_json() for name, card in made.items() if written_to[name] == path}
        write_text(path, json.dumps(own, indent=1))


def paired_slices(cohort: Cohort, split: str, layout: Layout) -> Pairs:
    """A few slices of each paired subject of a split, as the distances of realism take them."""
    rows = cohort.split(split)
    chosen, groups = some_rows([(subject.start, subject.stop) for subject in rows.subjects("3T")])

    def of(domain: str) -> tuple[Tensor, Tensor]:
        slices = whole_slices(rows, domain, layout, chosen.numpy())
        images = torch.stack([(x + 1) / 2 for x in channels.split(slices, layout).values()], 1)
        return images, torch.from_numpy(np.asarray(rows.mask(domain)[chosen.numpy()]) > 0)

    return Pairs(*of("3T"), *of("64mT"), groups, cohort.spacing)


def _of_encoder(judge: Judge) -> Compare:
    """``fid`` and, where the cohort allows it, ``fid_spatial``."""
    layout = judge.references.config.channels
    names, spatial = channels.contrasts(layout), judge.realism.spatial

    def compare(images: Tensor, mask: Tensor, subjects: Sequence[tuple[int, int]]) -> list[Comparison]:
        by_contrast = {c: 2 * image - 1 for c, image in zip(names, images.unbind(1), strict=True)}
        output = channels.restack(by_contrast, layout)
        features = encode(judge.references.domain, output)
        found = [repeated("fid", judge.pools["domain"].frechet, features, subjects)]
        return (
            [*found, spatial.compare(output, mask, subjects)] if isinstance(spatial, SpatialPool) else found
        )

    return compare


def _of_patches(cohort: Cohort, layout: Layout) -> Compare:
    pool = patch_pool(cohort, layout)
    return lambda *slices: [pool.compare(*slices)] if isinstance(pool, PatchPool) else []


def _read(path: Path) -> dict[str, SensitivityCard]:
    try:
        kept = json.loads(path.read_text())
        return {name: SensitivityCard.from_json(card) for name, card in kept.items()}
    except (ValueError, InputError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); allowed: the card as written, or no file"
        ) from None
