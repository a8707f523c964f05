"""The sensitivity card of a cohort: whether each distance that trials report can see anatomy.

<storage>/cards/<cohort16>-<references16>.json
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from trainers.data import channels
from trainers.files import write_text
from trainers.metrics.corruptions import Pairs
from trainers.metrics.judge import Judge, encode
from trainers.metrics.names import VERSION
from trainers.metrics.resampling import Jackknifed, repeated
from trainers.metrics.sensitivity import SensitivityCard, cards

LEAST = 2
"""Paired subjects without which no interval is known."""


def read_or_compute(root: Path, cohort: str, judge: Judge) -> dict[str, SensitivityCard]:
    """The card of each distance on a paired split, by its name; computed once and kept below ``root``.

    ``cohort``: its content hash. Empty for a cohort with fewer than :data:`LEAST` paired subjects.
    """
    if not judge.paired or len(judge.subjects) < LEAST:
        return {}
    path = root / "cards" / f"{cohort[:16]}-{judge.references.hash[:16]}-{VERSION}.json"
    if path.exists():
        kept = json.loads(path.read_text())
        return {name: SensitivityCard.from_json(card) for name, card in kept.items()}
    found = compute(judge)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({name: card.to_json() for name, card in found.items()}, indent=1))
    return found


def compute(judge: Judge) -> dict[str, SensitivityCard]:
    """The card of each distance on the judge's paired subjects."""
    layout = judge.references.config.channels
    names = channels.contrasts(layout)

    def contrasts(slices: Tensor) -> Tensor:
        return torch.stack(list(judge.unit(slices).values()), 1)

    def distances(images: Tensor, mask: Tensor) -> Mapping[str, Jackknifed]:
        by_contrast = {c: 2 * image - 1 for c, image in zip(names, images.unbind(1), strict=True)}
        output = channels.restack(by_contrast, layout)
        count = len(judge.balanced) // len(judge.subjects)
        groups = [(i * count, (i + 1) * count) for i in range(len(judge.subjects))]
        features = encode(judge.references.domain, output[judge.balanced])
        compared = [repeated("fid", judge.pools["domain"].frechet, features, groups)]
        compared += judge.realism.compare(output, mask, judge.subjects)
        return {name: value for each in compared for name, value in each.jackknifed().items()}

    pairs = Pairs(
        contrasts(judge.truth),
        judge.truth_mask,
        contrasts(judge.source),
        judge.mask,
        judge.subjects,
        judge.spacing,
    )
    return cards(pairs, distances)
